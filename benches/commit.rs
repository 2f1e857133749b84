//! Committing a record, on one core: ours beside the stock arkworks sponge used as its examples
//! show (a hiding commitment for each of 16 fields, then one hash over them), beside the stock
//! sponge in our flat shape, and beside the multiplications of our permutation alone.

use std::hint::black_box;

use ark_bls12_381::Fr;
use ark_crypto_primitives::sponge::poseidon::{PoseidonConfig, PoseidonSponge, find_poseidon_ark_and_mds};
use ark_crypto_primitives::sponge::{CryptographicSponge, FieldBasedCryptographicSponge};
use ark_ff::Field;
use sealgate_benches::sample::{SIZES, schema, value};
use sealgate_benches::{Cost, Fault, Run, a_second, times};
use sealgate_circuits::record::{RATE, RecordHasher, Salt, WIDTH};
use sealgate_circuits::schema::Schema;
use sealgate_circuits::value::{ColumnType, Value};

/// Rounds of the paper's instances at x^5 and 128 bits.
const FULL_ROUNDS: usize = 8;
const PARTIAL_ROUNDS_3: usize = 57;
const PARTIAL_ROUNDS_17: usize = 68;

fn main() -> Result<(), Fault> {
    let run = Run::begin("commit", 7);
    let records = run.size("SEALGATE_BENCH_RECORDS", 200, 2);
    let (narrow, wide) = (sponge(2, PARTIAL_ROUNDS_3), sponge(RATE, PARTIAL_ROUNDS_17));
    let salt = Salt::derive(&[1; 32], b"key", 1);
    for (size, fields) in SIZES {
        let permutations = (usize::from(fields) + 1) / RATE;
        let mixed = (RecordHasher::new(&schema(fields)), (0..fields).map(value).collect::<Vec<_>>());
        let plain = (RecordHasher::new(&integers(fields)), (0..fields).map(|i| Value::Int(i64::from(i))).collect());
        let elements: Vec<Fr> = (1u64..).take(RATE * permutations).map(Fr::from).collect();
        println!("\n{size} fields, {permutations} permutations; one record");
        let [ours, bare, peer, flat, limit] = run.race([
            ("ours, integers and text", Box::new(|| commit(records, &mixed, &salt))),
            ("ours, integers only: the bare permutations", Box::new(|| commit(records, &plain, &salt))),
            (
                "stock sponge, a commitment for each field",
                Box::new(|| {
                    Cost::of_each(records.div_ceil(10), || {
                        let field = |value: &Fr| hash(&narrow, &[*value, Fr::from(7u64)]);
                        let fields: Vec<Fr> = elements.iter().map(field).collect();
                        black_box(hash(&wide, &fields));
                        Ok(())
                    })
                }),
            ),
            (
                "stock sponge, flat: its bare permutations",
                Box::new(|| {
                    Cost::of_each(records.div_ceil(10), || {
                        black_box(hash(&wide, &elements));
                        Ok(())
                    })
                }),
            ),
            (
                "the multiplications alone",
                Box::new(|| {
                    Cost::of_each(records, || {
                        (0..permutations).for_each(|_| multiplications());
                        Ok(())
                    })
                }),
            ),
        ])?;
        println!("  {:.0} records a second and core; stock {:.0}", a_second(ours.cpu), a_second(peer.cpu));
        let name = |part: &str| format!("commit{size}.{part}");
        run.ratio(&name("stock"), times(peer.cpu, ours.cpu), "records a second in units of stock's; 12 are wanted");
        run.ratio(&name("stock_flat"), times(flat.cpu, ours.cpu), "in units of the stock sponge in our shape");
        run.ratio(&name("permutations"), times(bare.cpu, ours.cpu), "in units of our bare permutations");
        run.ratio(&name("limit"), times(limit.cpu, ours.cpu), "in units of the multiplications alone");
    }
    Ok(())
}

/// A schema whose values become field elements at no cost.
fn integers(fields: u8) -> Schema {
    let mut schema = schema(fields);
    schema.columns.iter_mut().for_each(|column| column.kind = ColumnType::Int);
    schema
}

fn commit(records: usize, (hasher, values): &(RecordHasher, Vec<Value>), salt: &Salt) -> Result<Cost, Fault> {
    Cost::of_each(records, || {
        black_box(hasher.commit(black_box(values), salt)?);
        Ok(())
    })
}

fn sponge(rate: usize, partial_rounds: usize) -> PoseidonConfig<Fr> {
    let (full, partial) = (FULL_ROUNDS as u64, partial_rounds as u64);
    let (ark, mds) = find_poseidon_ark_and_mds(255, rate, full, partial, 0);
    PoseidonConfig::new(FULL_ROUNDS, partial_rounds, 5, mds, ark, rate, 1)
}

fn hash(config: &PoseidonConfig<Fr>, input: &[Fr]) -> Fr {
    let mut sponge = PoseidonSponge::new(config);
    sponge.absorb(&input);
    sponge.squeeze_native_field_elements(1).first().copied().unwrap_or_default()
}

/// As many multiplications as one permutation of width 17 needs with sparse partial rounds: its
/// S-boxes, the dense products of full rounds and of the block that sparse rounds leave, and a row
/// and a column for each partial round. What they compute means nothing.
fn multiplications() {
    let row: [Fr; WIDTH] = std::array::from_fn(|i| Fr::from(i as u64 + 3).square());
    let mut state = row;
    for _ in 0..(FULL_ROUNDS * WIDTH + PARTIAL_ROUNDS_17) {
        state[0] = state[0].square().square() * row[1];
    }
    for i in 0..((FULL_ROUNDS + 1) * WIDTH + PARTIAL_ROUNDS_17) {
        let sum = <Fr as Field>::sum_of_products(&row, &state);
        if let Some(lane) = state.get_mut(i % WIDTH) {
            *lane = sum;
        }
    }
    for _ in 0..PARTIAL_ROUNDS_17 {
        let powered = state[0];
        for (lane, factor) in state.iter_mut().zip(&row).skip(1) {
            *lane += powered * factor;
        }
    }
    black_box(state);
}
