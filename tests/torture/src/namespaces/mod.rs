//! Histories of namespaces are linearizable: threads list, read and change several keys at once, limit and
//! delete the namespaces and make them again, over kills and with answers that nobody waits for, on a driven
//! clock. Then each namespace's history is judged by itself, and the versions of all of them together.

pub mod batch;
pub mod checker;
pub mod draw;
pub mod http;
pub mod lies;
pub mod model;
#[cfg(test)]
mod mutants;
pub mod op;
pub mod recorder;
pub mod state;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fastrand::Rng;

use self::http::Http;
use self::op::Store;
use self::recorder::Recorder;
use crate::driven::Driven;
use crate::rounds::{Tally, Trial};

/// Phases of a round; the server is killed at the end of each but the last.
const PHASES: usize = 3;

/// The trial.
pub struct Namespaces {
    program: PathBuf,
    bed: Mutex<Option<Driven>>,
}

impl Namespaces {
    /// `program` is `larder-torture`, which runs the servers.
    #[must_use]
    pub fn new(program: &Path) -> Self {
        Self { program: program.to_owned(), bed: Mutex::new(None) }
    }

    /// A round whose answers pass through `lie` on their way into the history.
    ///
    /// # Errors
    /// The history that no order explains, or what the check of the data directory found.
    pub fn judge<S: Store>(
        &self,
        seed: u64,
        tally: &mut Tally,
        lie: &(dyn Fn(Http, Rng) -> S + Sync),
    ) -> Result<(), String> {
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        let driven = match bed.take() {
            Some(driven) => driven,
            None => Driven::start(&self.program).map_err(|error| error.to_string())?,
        };
        let recorder = Recorder::new(seed, driven);
        let mut rng = Rng::with_seed(seed);
        for phase in 0..PHASES {
            recorder.phase(&mut rng, lie)?;
            if phase + 1 < PHASES {
                recorder.restart()?;
                tally.add("kills", 1);
            }
        }
        let (histories, driven) = recorder.finish();
        *bed = Some(driven);
        drop(bed);
        tally.add("operations", histories.values().map(|history| history.len() as u64).sum());
        checker::check_versions(histories.values().flatten())?;
        histories.iter().try_for_each(|(name, history)| {
            checker::check(history).map_err(|error| format!("{name}: {error}"))
        })
    }
}

impl Trial for Namespaces {
    fn name(&self) -> &'static str {
        "namespaces"
    }

    fn goal(&self) -> (&'static str, u64) {
        ("operations", 1_000_000)
    }

    fn round(&self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        self.judge(seed, tally, &|http, _| http)
    }
}
