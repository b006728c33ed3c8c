//! Keys: their names, all of one length, the random choice among them, and orders to write them
//! in. All of it repeats from run to run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fastrand::Rng;

/// Digits of a key's number: room for a hundred million keys.
const DIGITS: usize = 8;
const PREFIX: &[u8] = b"key-";
/// Length of every key.
pub const KEY_BYTES: usize = PREFIX.len() + DIGITS;
const ORDER_SEED: u64 = 0x5EED_0F0D;

/// The name of a key.
pub fn name(number: u32) -> [u8; KEY_BYTES] {
    let mut name = [0; KEY_BYTES];
    name[..PREFIX.len()].copy_from_slice(PREFIX);
    write_number(number, &mut name);
    name
}

/// Writes a key's number over that of another in the key's place.
pub fn write_number(number: u32, key: &mut [u8]) {
    let mut rest = number;
    for digit in key[PREFIX.len()..KEY_BYTES].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// All keys once, in an order that looks random and is the same in every run.
pub fn shuffled(keys: u32) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..keys).collect();
    Rng::with_seed(ORDER_SEED).shuffle(&mut numbers);
    numbers
}

/// Which key is next.
pub enum Choice {
    /// Any of so many.
    Random {
        /// Repeats from run to run.
        rng: Rng,
        /// How many there are.
        keys: u32,
    },
    /// One after the other, shared by all connections.
    InOrder(Arc<AtomicU32>),
}

impl Choice {
    /// The choice of one of many callers; each has a sequence of its own.
    pub fn random(seed: u64, keys: u32) -> Self {
        Self::Random { rng: Rng::with_seed(seed), keys }
    }

    /// The next key's number.
    pub fn draw(&mut self) -> u32 {
        match self {
            Self::Random { rng, keys } => rng.u32(0..*keys),
            Self::InOrder(next) => next.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// One of two.
    pub fn coin(&mut self) -> bool {
        match self {
            Self::Random { rng, .. } => rng.bool(),
            Self::InOrder(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_place_whatever_stood_there() {
        let mut key = name(99_999_999);
        assert_eq!(&key, b"key-99999999");
        write_number(10_203, &mut key);
        assert_eq!(&key, b"key-00010203");
        assert_eq!(name(0), *b"key-00000000");
    }

    #[test]
    fn a_shuffled_order_has_every_key_once_and_repeats() {
        let order = shuffled(1000);
        assert_eq!(order, shuffled(1000));
        assert_ne!(order, (0..1000).collect::<Vec<u32>>());
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<u32>>());
    }

    #[test]
    fn choices_repeat_by_seed_and_stay_in_range() {
        let draw = |seed| {
            let mut choice = Choice::random(seed, 10);
            (0..100).map(|_| choice.draw()).collect::<Vec<u32>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(3).iter().all(|key| *key < 10));
    }
}
