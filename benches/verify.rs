//! Verifying one answer: ours (zkcrypto) beside ark-groth16's prepared verification, each from the
//! proof's bytes with every check of its points; and many answers together.

use sealgate_benches::sample::{CIRCUITS, Sample};
use sealgate_benches::{Cost, Fault, Run, times};
use sealgate_circuits::prover::{ProvingKey, stock};
use sealgate_circuits::verifier::VerifyingKey;

fn main() -> Result<(), Fault> {
    let run = Run::begin("verify", 15);
    let each = run.size("SEALGATE_BENCH_PROOFS", 20, 1);
    let together = run.size("SEALGATE_BENCH_BATCH", 256, 4);
    for (circuit, size) in CIRCUITS {
        let Sample { schema, values, salt, statement } = Sample::new(circuit)?;
        let key = ProvingKey::generate_development(circuit)?;
        let proof = key.prove(&schema, &statement, &values, &salt)?;
        let vk_bytes = key.verifying_key_bytes()?;
        let vk = VerifyingKey::from_bytes(circuit, &vk_bytes)?;
        let prepared = stock::prepare(&key);
        println!("\n{}; one proof", circuit.name());
        let batch = vec![(statement.clone(), proof); together];
        let [ours, peer, zkcrypto, decode, batched] = run.race([
            ("ours", Box::new(|| Cost::of_each(each, || Ok(vk.verify(&statement, &proof)?)))),
            (
                "ark-groth16, prepared",
                Box::new(|| {
                    Cost::of_each(each, || {
                        stock::verify(&prepared, &statement, &proof).then_some(()).ok_or_else(|| "refused".into())
                    })
                }),
            ),
            (
                "zkcrypto's groth16, prepared",
                Box::new(|| Cost::of_each(each, || Ok(vk.verify_stock(&statement, &proof)?))),
            ),
            (
                "reading our verifying key",
                Box::new(|| Cost::of(|| Ok(VerifyingKey::from_bytes(circuit, &vk_bytes).map(drop)?))),
            ),
            ("ours, each of a batch", Box::new(|| Ok(Cost::of(|| Ok(vk.verify_batch(&batch)?))?.over(together)))),
        ])?;
        run.ratio(
            &format!("verify{size}.cpu"),
            times(ours.cpu, peer.cpu),
            "CPU time in units of ark's; 1.5 or less is wanted",
        );
        run.ratio(&format!("verify{size}.wall"), times(ours.wall, peer.wall), "the same in wall time");
        run.ratio(
            &format!("verify{size}.key"),
            times(decode.cpu, ours.cpu),
            "reading the verifying key in units of one verification",
        );
        run.ratio(
            &format!("verify{size}.batch{together}"),
            times(batched.cpu, ours.cpu),
            "a proof of a batch in units of a single one; a fifth is wanted",
        );
        run.ratio(
            &format!("verify{size}.batch{together}_of_zkcrypto"),
            times(batched.cpu, zkcrypto.cpu),
            "in units of zkcrypto's single verification",
        );
        run.ratio(&format!("verify{size}.batch{together}_of_ark"), times(batched.cpu, peer.cpu), "in units of ark's");
    }
    Ok(())
}
