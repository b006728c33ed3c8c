//! Random changes to inputs, all determined by a seed: what the short form tries in libFuzzer's place.
//! Knows nothing of formats.

use fastrand::Rng;

/// Bytes that formats give a meaning.
const TELLING: &[u8] = b"\0\x01\x7f\x80\xa0\xc0\xc1\xd9\xdf\xff\"\\{}[]:,.-+0e\n";

/// An input made from one of `corpus`, and now and then from two.
#[must_use]
pub fn mutated(rng: &mut Rng, corpus: &[Vec<u8>], bytes_max: usize) -> Vec<u8> {
    let mut input = pick(rng, corpus);
    for _ in 0..=rng.usize(..4) {
        change(rng, &mut input, corpus);
    }
    input.truncate(bytes_max);
    input
}

fn pick(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    rng.choice(corpus).cloned().unwrap_or_default()
}

fn change(rng: &mut Rng, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = rng.usize(..=input.len());
    let end = rng.usize(at..=input.len().min(at + 16));
    match rng.u8(..9) {
        0 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
        1 if at < input.len() => input[at] = rng.u8(..),
        2 if at < input.len() => input[at] = input[at].wrapping_add(rng.u8(..3).wrapping_sub(1)),
        3 => drop(input.drain(at..end)),
        4 => input.truncate(at),
        5 => {
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        6 => {
            let other = pick(rng, corpus);
            let from = rng.usize(..=other.len());
            let until = rng.usize(from..=other.len().min(from + 64));
            input.splice(at..end, other[from..until].iter().copied());
        }
        7 => {
            let telling = rng.choice(TELLING).copied().unwrap_or(0);
            input.splice(at..at, [telling]);
        }
        _ => {
            let telling = rng.choice(TELLING).copied().unwrap_or(0);
            if at < input.len() {
                input[at] = telling;
            } else {
                input.push(telling);
            }
        }
    }
}
