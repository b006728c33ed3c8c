//! Counts requests: one thread's counters of one route, and what is noted of a request until its end. Each counter
//! is written by one thread. Knows neither guests nor how counters are shown.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use super::http_metrics::{CallCounts, MountMetrics, OperationCounts, OperationMetrics};
use super::labels::{ABORTED, CALL_ABORTED, call_outcome, class_index, method_index, status_index};
use crate::clock::Clock;
use crate::metrics::Own;
use crate::runtime::{CallError, Response};

/// One thread's counters of one route, or of the host.
pub struct ThreadCounters {
    /// By the operation's path.
    operations: Vec<(Box<str>, Arc<Own<OperationCounts>>)>,
    other: Arc<Own<OperationCounts>>,
    calls: Arc<Own<CallCounts>>,
}

impl ThreadCounters {
    /// The calling thread's counters of a mount with these operations. It goes on with those that it has.
    #[must_use]
    pub fn new(mount: &MountMetrics, operations: &[Arc<OperationMetrics>]) -> Self {
        let counts = |operation: &OperationMetrics| operation.threads.of_this_thread();
        let of =
            |operation: &Arc<OperationMetrics>| (operation.name.as_str().into(), counts(operation));
        Self {
            operations: operations.iter().map(of).collect(),
            other: counts(&mount.other),
            calls: mount.calls.of_this_thread(),
        }
    }

    fn operation(&self, path: &str) -> &OperationCounts {
        // Few have the length of the one that is looked for, and only those are compared.
        let found = self.operations.iter().find(|(known, _)| **known == *path);
        found.map_or(&self.other, |(_, counts)| counts)
    }

    /// Begins to count one request.
    pub fn begin<'a>(&'a self, clock: &'a Clock, method: &Method, path: &str) -> Counting<'a> {
        let (operation, calls) = (self.operation(path), &**self.calls);
        let method = method_index(method);
        let (arrived, calling, answered) = (None, None, None);
        Counting { clock, calls, operation, method, arrived, calling, answered, is_over: false }
    }
}

/// A request that is being answered. Dropped before its end it counts as aborted.
pub struct Counting<'a> {
    clock: &'a Clock,
    calls: &'a CallCounts,
    operation: &'a OperationCounts,
    method: usize,
    arrived: Option<Duration>,
    calling: Option<Duration>,
    answered: Option<Duration>,
    is_over: bool,
}

impl Counting<'_> {
    /// The request has arrived whole: its time counts from here.
    pub fn arrive(&mut self) {
        self.arrived = Some(self.clock.monotonic());
    }

    /// The guest is called, after the request `waited` for it or at once.
    pub fn begin_call(&mut self, waited: bool) {
        self.calling = self.arrived.filter(|_| !waited).or_else(|| Some(self.clock.monotonic()));
    }

    /// The guest has answered, or failed.
    pub fn end_call(&mut self, result: &Result<Response, CallError>) {
        // One look at the clock serves call and request.
        let now = self.clock.monotonic();
        self.answered = Some(now);
        if let Some(began) = self.calling.take() {
            self.calls.times.observe_time(now.saturating_sub(began));
        }
        self.calls.ended[call_outcome(result)].increment();
    }

    /// The answer is ready.
    pub fn end(mut self, status: StatusCode) {
        self.is_over = true;
        self.operation.answers[self.method][status_index(status)].increment();
        if let Some(arrived) = self.arrived {
            let now = self.answered.unwrap_or_else(|| self.clock.monotonic());
            let times = &self.operation.times[class_index(status)];
            times.observe_time(now.saturating_sub(arrived));
        }
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.operation.answers[self.method][ABORTED].increment();
        if self.calling.is_some() {
            self.calls.ended[CALL_ABORTED].increment();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{DrivenClock, Millis};
    use crate::gateway::http_metrics::HttpMetrics;
    use crate::metrics::{Distribution, Histogram};

    #[test]
    fn a_request_counts_from_its_arrival_and_one_that_is_given_up_as_aborted() {
        let driver = DrivenClock::at(Millis(0));
        let clock = Clock::driven(&driver);
        let metrics = HttpMetrics::new(&["/livez"]);
        let counters = ThreadCounters::new(&metrics.host, &metrics.host_operations);
        let begin = || counters.begin(&clock, &Method::GET, "/livez");
        let mut counting = begin();
        driver.advance(1000);
        counting.arrive();
        driver.advance(2);
        counting.begin_call(true);
        driver.advance(3);
        counting.end_call(&Err(CallError::Deadline));
        driver.advance(4);
        counting.end(StatusCode::GATEWAY_TIMEOUT);
        let mut given_up = begin();
        given_up.begin_call(false);
        drop(given_up);
        let ThreadCounters { operations, calls, .. } = &counters;
        let (operation, CallCounts { ended, times }) = (&operations[0].1, &***calls);
        let all = |histogram: &Histogram| Distribution::from(histogram).count();
        assert_eq!(operation.answers[0][status_index(StatusCode::GATEWAY_TIMEOUT)].get(), 1);
        assert_eq!(operation.answers[0][ABORTED].get(), 1);
        assert_eq!((all(&operation.times[3]), all(times)), (1, 1));
        assert_eq!((ended[1].get(), ended[CALL_ABORTED].get()), (1, 1));
    }
    #[test]
    fn a_path_is_counted_as_its_operation_and_others_together() {
        let (metrics, clock) = (HttpMetrics::new(&["/b/one", "/b/two"]), Clock::system());
        let counters = ThreadCounters::new(&metrics.host, &metrics.host_operations);
        for path in ["/b/two", "/b/twofold", "/b"] {
            counters.begin(&clock, &Method::GET, path).end(StatusCode::OK);
        }
        let count =
            |counts: &OperationCounts| counts.answers[0][status_index(StatusCode::OK)].get();
        let counts = counters.operations.iter().map(|(_, counts)| count(counts));
        assert_eq!(counts.chain([count(&counters.other)]).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
