//! How fast four nodes on one machine are; not a test of anything, so it is run by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealgate_circuits::question::Item;

use super::harness::World;
use crate::testing::{asset_id, register, request, terms};
use crate::tx::TxBody;

#[test]
#[ignore = "a measurement: run it by hand, in a release build"]
fn access_transactions_a_second() {
    let world = World::running(4);
    world.submit(0, 0, register("asset")).unwrap();
    let (asset, to) =
        (asset_id(&world.genesis, &world.parties[0].account.address(), "asset"), world.parties[1].account.address());
    world.submit(0, 0, TxBody::Grant { asset, to, terms: terms() }).unwrap();
    let (done, begun) = (AtomicU64::new(0), Instant::now());
    let slowest = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for sender in 0..512 {
            let (world, done, slowest) = (&world, &done, &slowest);
            scope.spawn(move || {
                while begun.elapsed() < Duration::from_secs(10) {
                    let asked = Instant::now();
                    let at = sender % 4;
                    if world.submit(at, 1, request(asset, vec![Item::Disclose(1)])).is_ok() {
                        done.fetch_add(1, Ordering::Relaxed);
                        slowest.fetch_max(asked.elapsed().as_millis() as u64, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (count, seconds) = (done.load(Ordering::Relaxed), begun.elapsed().as_secs_f64());
    let blocks = world.node(0).head().height.0;
    println!("{:.0} a second, {blocks} blocks, slowest {} ms", count as f64 / seconds, slowest.load(Ordering::Relaxed));
}
