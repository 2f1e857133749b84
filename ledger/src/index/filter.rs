//! A Bloom filter that grows: tells of most hashes that they were never added.

/// Bits for each hash in a part that is full: one in 150 that was never added passes it.
const BITS_EACH: u64 = 12;
/// Hashes that the first part takes; each further one takes twice as many as the one before.
const FIRST: u64 = 1 << 16;

/// A set of hashes, inexact: what was added is always found.
#[derive(Debug, Default)]
pub(super) struct Filter {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    bits: Vec<u64>,
    room: u64,
}

impl Filter {
    /// Adds a hash, of which the first 32 bytes count; they must be as good as random.
    pub(super) fn add(&mut self, hash: &[u8]) {
        if self.parts.last().is_none_or(|part| part.room == 0) {
            let room = FIRST << self.parts.len().min(40);
            let words = usize::try_from((room * BITS_EACH).div_ceil(64)).unwrap_or(usize::MAX);
            self.parts.push(Part { bits: vec![0; words], room });
        }
        if let Some(part) = self.parts.last_mut() {
            part.room -= 1;
            for (word, bit) in places(hash, part.bits.len()) {
                if let Some(word) = part.bits.get_mut(word) {
                    *word |= bit;
                }
            }
        }
    }

    /// False only if the hash was never added.
    pub(super) fn may_have(&self, hash: &[u8]) -> bool {
        self.parts.iter().any(|part| {
            places(hash, part.bits.len()).all(|(word, bit)| part.bits.get(word).is_some_and(|word| word & bit != 0))
        })
    }
}

/// A word and a bit in it for each eight bytes of the hash.
fn places(hash: &[u8], words: usize) -> impl Iterator<Item = (usize, u64)> {
    hash.chunks(8).take(4).map(move |chunk| {
        let number = chunk.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let word = (u128::from(number >> 6) * (words as u128)) >> 58;
        (usize::try_from(word).unwrap_or_default(), 1 << (number & 63))
    })
}

#[cfg(test)]
mod tests {
    use sealgate_circuits::bytes::tagged_hash;

    use super::*;

    #[test]
    fn what_was_added_is_found_and_little_else() {
        let hash = |number: u64| tagged_hash("test", &[&number.to_le_bytes()]);
        let mut filter = Filter::default();
        assert!(!filter.may_have(&hash(0)));
        let added = 5 * FIRST / 2;
        (0..added).for_each(|number| filter.add(&hash(number)));
        assert_eq!(filter.parts.len(), 2);
        assert!((0..added).all(|number| filter.may_have(&hash(number))));
        let passing = (added..added + 20_000).filter(|number| filter.may_have(&hash(*number))).count();
        assert!(passing < 20_000 / 60, "{passing}");
    }
}
