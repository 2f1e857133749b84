//! Random choices that can be repeated: a run prints the seed from which all of them follow.

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): good
/// enough to choose test cases, and the same everywhere for ever.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The choices that follow from a seed.
    pub fn from_seed(seed: u64) -> Chance {
        Chance(seed)
    }

    /// The choices of this run: `SEALGATE_SEED` repeats one, otherwise the clock decides. Printed.
    pub fn of_run(what: &str) -> Chance {
        let seed = match std::env::var("SEALGATE_SEED") {
            Ok(seed) => seed.parse().unwrap_or_else(|_| panic!("SEALGATE_SEED is no number: {seed}")),
            Err(_) => {
                std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs() ^ u64::from(now.subsec_nanos()) << 32)
            }
        };
        println!("{what}: SEALGATE_SEED={seed}");
        Chance(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// A number from the environment, or what is usual.
pub fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable)
        .map_or(usual, |number| number.parse().unwrap_or_else(|_| panic!("{variable} is no number: {number}")))
}
