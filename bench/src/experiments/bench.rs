//! A run in progress: what it was asked for, and what it has measured. Knows none of the experiments.

use std::fs;
use std::path::PathBuf;

use super::plan::Plan;
use super::rounds::Measured;
use crate::failure::Failure;
use crate::report::results::{Finding, Measurement, Results};
use crate::report::table;
use crate::sides::child;
use crate::sides::fill::Filling;

/// A run in progress.
pub struct Bench {
    /// What was asked for.
    pub plan: Plan,
    /// What was measured.
    pub results: Results,
}

impl Bench {
    /// Keeps a measurement and prints it.
    pub fn keep(&mut self, measurement: &Measurement) {
        table::measurement(measurement);
        self.results.measurements.push(measurement.clone());
    }

    /// Keeps measurements and prints them under a heading.
    pub fn keep_all(&mut self, title: &str, measured: &Measured) {
        table::heading(title);
        for measurement in &measured.0 {
            self.keep(measurement);
        }
    }

    /// Keeps a finding and prints it.
    pub fn find(&mut self, finding: Finding) {
        table::finding(&finding);
        self.results.findings.push(finding);
    }

    /// Where stores lie that more than one experiment uses.
    pub fn stores(&self) -> PathBuf {
        self.plan.dir.join("stores")
    }

    /// Fills a store for sides that then work on it in turn.
    pub fn fill_store(&self, name: &str, filling: &Filling) -> Result<PathBuf, Failure> {
        fs::create_dir_all(self.stores())?;
        let data = self.stores().join(name);
        child::fill(filling, &self.plan.dir, &data)?;
        Ok(data)
    }

    /// Also what a run left that was killed.
    pub fn remove_stores(&self) -> Result<(), Failure> {
        match fs::remove_dir_all(self.stores()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
