//! Acknowledged writes survive a killed process: cycles of writing, kill -9, restart and reading, all
//! on one data directory that grows old.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use larder_tests::Larder;

use crate::op::{Http, Store};
use crate::rounds::{Tally, Trial};
use crate::writers::Crew;

const WRITERS: usize = 16;
const KEYS: usize = 6;
/// Cycles in a round.
const CYCLES: usize = 10;
/// Longest time from the first write to the kill.
const WRITING_MS_MAX: u64 = 60;

/// The trial.
#[derive(Default)]
pub struct Kill {
    bed: Mutex<Option<Larder>>,
}

impl Trial for Kill {
    fn name(&self) -> &'static str {
        "kill"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("kills", 10_000)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        let larder = bed.get_or_insert_with(Larder::start);
        let result = cycles(larder, seed, CYCLES, tally, &|http| http);
        if result.is_err() {
            // What is wrong with these data is known now: the next round begins with new ones.
            *bed = None;
        }
        result
    }
}

/// Runs cycles on a server, whose answers pass through `lie` on their way to the writers.
///
/// # Errors
/// What was acknowledged and is not there, or any answer that cannot be right.
pub fn cycles<S: Store + Send>(
    larder: &mut Larder,
    seed: u64,
    cycles: usize,
    tally: &mut Tally,
    lie: &dyn Fn(Http) -> S,
) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let mut crew = Crew::new(&format!("s{seed}-"), WRITERS, KEYS, &mut rng);
    for _ in 0..cycles {
        let address = larder.address();
        let writing = Duration::from_micros(rng.u64(..WRITING_MS_MAX * 1000));
        crew.write(
            || lie(Http::new(address)),
            tally,
            || {
                thread::sleep(writing);
                larder.kill();
            },
        )?;
        tally.add("kills", 1);
        larder.start_again();
        crew.verify(&mut Http::new(larder.address()))?;
    }
    Ok(())
}
