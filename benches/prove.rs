//! Proving one answer: ours beside stock `ark_groth16` with full synthesis, on the same key and
//! statement; and loading the proving key.

use sealgate_benches::sample::{CIRCUITS, Sample, constraints};
use sealgate_benches::{Cost, Fault, Run, resident_bytes, times};
use sealgate_circuits::prover::{ProvingKey, stock};

fn main() -> Result<(), Fault> {
    let run = Run::begin("prove", 9);
    for (circuit, size) in CIRCUITS {
        let sample = Sample::new(circuit)?;
        let (Sample { schema, values, salt, statement }, key) = (&sample, ProvingKey::generate_development(circuit)?);
        println!("\n{}", circuit.name());
        if let Some(constraints) = constraints(&key.shape_digest().to_string()) {
            let meaning = format!("{constraints} constraints; with 15 fields under 1,500 are wanted");
            run.ratio(&format!("prove{size}.constraints_of_1500"), f64::from(constraints) / 1500.0, meaning);
        }
        // The first proof makes the key ready.
        let before = resident_bytes();
        let first = Cost::of(|| Ok(key.prove(schema, statement, values, salt).map(drop)?))?;
        let (grown, key_bytes) = (resident_bytes().saturating_sub(before) as f64, key.to_bytes()?.len() as f64);
        let meaning = format!("resident memory that a ready key adds, {:.0} MB, in units of the key", grown / 1e6);
        run.ratio(&format!("prove{size}.memory_of_key"), grown / key_bytes, meaning);
        let [ours, peer] = run.race([
            ("ours", Box::new(|| Cost::of(|| Ok(key.prove(schema, statement, values, salt).map(drop)?)))),
            (
                "stock ark-groth16",
                Box::new(|| Cost::of(|| Ok(stock::prove(&key, schema, statement, values, salt).map(drop)?))),
            ),
        ])?;
        run.ratio(
            &format!("prove{size}.cpu"),
            times(ours.cpu, peer.cpu),
            "CPU time in units of stock's; 0.25 is wanted",
        );
        run.ratio(&format!("prove{size}.wall"), times(ours.wall, peer.wall), "the same in wall time");

        run.ratio(
            &format!("prove{size}.first"),
            times(first.cpu, ours.cpu),
            "the key's first proof, which makes it ready",
        );

        let bytes = key.to_bytes()?;
        println!("proving key of {:.1} MB", bytes.len() as f64 / 1e6);
        let [load, copy] = run.race([
            (
                "loading, digest checked",
                Box::new(|| Cost::of(|| Ok(ProvingKey::from_bytes(circuit, &bytes).map(drop)?))),
            ),
            (
                "copying its bytes",
                Box::new(|| {
                    Cost::of(|| {
                        std::hint::black_box(bytes.clone());
                        Ok(())
                    })
                }),
            ),
        ])?;
        let ms = load.wall.as_secs_f64() * 1e3;
        run.ratio(&format!("load{size}.of_20ms"), ms / 20.0, format!("{ms:.1} ms to load; under 20 ms are wanted"));
        run.ratio(&format!("load{size}.of_copy"), times(load.wall, copy.wall), "in units of copying the bytes once");
    }
    Ok(())
}
