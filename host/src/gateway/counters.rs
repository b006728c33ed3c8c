//! What a worker counts of the requests that it answers, and under which names. The names are those
//! of the configuration and of this file: nothing that a request says becomes one. Knows nothing of
//! how the numbers are shown.

use std::time::Duration;

use http::{Method, StatusCode};

use super::errors::Reason;
use super::routes::Route;
use crate::clock::Clock;
use crate::metrics::{Counter, Histogram, TIMES};
use crate::runtime::{Answer, CallError};

/// What the host answers by itself is counted as this guest's.
pub const HOST: &str = "host";
/// What none of a guest's operations is.
pub const OTHER: &str = "other";

/// Methods by name; the last stands for all others.
pub const METHODS: [&str; 8] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];
/// Statuses that are counted one by one.
const STATUSES: [u16; 28] = [
    200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 410,
    412, 413, 415, 422, 429, 500, 502, 503, 504,
];
/// The rest are counted by their class.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
/// All statuses by name. The last is a caller's that went away before the answer.
pub const STATUS_COUNT: usize = STATUSES.len() + CLASSES.len() + 1;
const ABORTED: usize = STATUS_COUNT - 1;

/// The name of each status, in the order in which they are counted.
pub fn status_names() -> impl Iterator<Item = String> {
    let statuses = STATUSES.iter().map(u16::to_string);
    statuses.chain(CLASSES.map(str::to_owned)).chain(["aborted".to_owned()])
}

/// How answers turn out, for their times: classes of statuses.
pub const OUTCOMES: [&str; CLASSES.len()] = CLASSES;

/// How calls of a guest turn out.
pub const CALL_OUTCOMES: [&str; 10] = [
    "answered",
    "deadline",
    "trap",
    "invalid-answer",
    "host_calls_max",
    "host_bytes_max",
    "answer_bytes_max",
    "guests_bytes_max",
    "other-limit",
    "aborted",
];
const CALL_ANSWERED: usize = 0;
const CALL_ABORTED: usize = CALL_OUTCOMES.len() - 1;

fn method_index(method: &Method) -> usize {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    known.iter().position(|known| known == method).unwrap_or(known.len())
}

fn class_index(status: StatusCode) -> usize {
    (usize::from(status.as_u16()) / 100).saturating_sub(2).min(CLASSES.len() - 1)
}

fn status_index(status: StatusCode) -> usize {
    let known = STATUSES.iter().position(|known| *known == status.as_u16());
    known.unwrap_or_else(|| STATUSES.len() + class_index(status))
}

fn call_outcome(result: &Result<Answer, CallError>) -> usize {
    let name = match result {
        Ok(_) => return CALL_ANSWERED,
        Err(CallError::Deadline) => "deadline",
        Err(CallError::NoRoom { .. }) => "guests_bytes_max",
        Err(CallError::Trap(_)) => "trap",
        Err(CallError::Invalid(_)) => "invalid-answer",
        Err(CallError::Limit(limit)) if CALL_OUTCOMES.contains(&limit.0) => limit.0,
        Err(CallError::Limit(_)) => "other-limit",
    };
    CALL_OUTCOMES.iter().position(|known| *known == name).unwrap_or(CALL_ANSWERED)
}

/// The names under which a guest's requests are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestNames {
    /// The guest, told from all others.
    pub guest: String,
    /// Paths that are operations.
    operations: Vec<String>,
}

impl GuestNames {
    /// Names for guests with operations, in their order, and for the host itself, which comes last.
    pub fn all(routes: &[Route], host: &[&str]) -> Vec<Self> {
        let guest = |route: &Route| {
            let Route { prefix, operations, guest, .. } = route;
            (guest.name().to_owned(), prefix.clone(), operations.clone())
        };
        Self::of(routes.iter().map(guest), host)
    }

    /// The same for guests by name, prefix and operations.
    fn of(guests: impl Iterator<Item = (String, String, Vec<String>)>, host: &[&str]) -> Vec<Self> {
        let mut all = vec![Self::new(HOST, host.iter().map(|path| (*path).to_owned()))];
        for (mut guest, prefix, operations) in guests {
            // Two of one name are told apart by where they are mounted.
            while all.iter().any(|other| other.guest == guest) {
                guest = format!("{guest}:{prefix}");
            }
            all.push(Self::new(&guest, operations.into_iter()));
        }
        all.rotate_left(1);
        all
    }

    fn new(guest: &str, operations: impl Iterator<Item = String>) -> Self {
        let mut operations: Vec<String> = operations.collect();
        operations.sort_unstable();
        operations.dedup();
        Self { guest: guest.to_owned(), operations }
    }

    /// All operations in the order in which they are counted.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.operations.iter().map(String::as_str).chain([OTHER])
    }

    fn operation_index(&self, path: &str) -> usize {
        // Few have the length of the one that is looked for, and only those are compared.
        let found = self.operations.iter().position(|known| known == path);
        found.unwrap_or(self.operations.len())
    }
}

/// Counts of one operation.
#[derive(Debug)]
pub struct OperationCounts {
    /// Answers by method and status.
    pub answers: [[Counter; STATUS_COUNT]; METHODS.len()],
    /// Their times by outcome.
    pub times: [Histogram; OUTCOMES.len()],
}

/// Counts of one guest.
#[derive(Debug)]
pub struct GuestCounts {
    /// By operation.
    pub operations: Box<[OperationCounts]>,
    /// Calls by outcome.
    pub calls: [Counter; CALL_OUTCOMES.len()],
    /// Times of calls.
    pub call_times: Histogram,
}

/// Counts of one worker thread.
#[derive(Debug)]
pub struct Meter {
    /// By guest.
    pub guests: Box<[GuestCounts]>,
    /// Requests that the host refused, by reason.
    pub refused: [Counter; Reason::ALL.len()],
}

impl Meter {
    /// Counts nothing yet, under these names.
    pub fn new(names: &[GuestNames]) -> Self {
        let operation = || OperationCounts {
            answers: std::array::from_fn(|_| std::array::from_fn(|_| Counter::default())),
            times: std::array::from_fn(|_| Histogram::new(&TIMES)),
        };
        let guest = |names: &GuestNames| GuestCounts {
            operations: names.operations().map(|_| operation()).collect(),
            calls: std::array::from_fn(|_| Counter::default()),
            call_times: Histogram::new(&TIMES),
        };
        let guests = names.iter().map(guest).collect();
        Self { guests, refused: std::array::from_fn(|_| Counter::default()) }
    }

    /// Counts a request that the host refused.
    pub fn refused(&self, reason: Option<Reason>) {
        if let Some(reason) = reason {
            self.refused[reason as usize].increment();
        }
    }

    /// Begins to count one request of the guest that has these names at this place.
    pub fn begin<'a>(
        &'a self,
        clock: &'a Clock,
        (place, names): (usize, &GuestNames),
        method: &Method,
        path: &str,
    ) -> Counting<'a> {
        let guest = &self.guests[place];
        let operation = &guest.operations[names.operation_index(path)];
        let method = method_index(method);
        let (arrived, calling, answered) = (None, None, None);
        Counting { clock, guest, operation, method, arrived, calling, answered, is_over: false }
    }
}

/// A request that is being answered. Dropped before its end it counts as aborted.
pub struct Counting<'a> {
    clock: &'a Clock,
    guest: &'a GuestCounts,
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
    pub fn end_call(&mut self, result: &Result<Answer, CallError>) {
        // One look at the clock serves call and request.
        let now = self.clock.monotonic();
        self.answered = Some(now);
        if let Some(began) = self.calling.take() {
            self.guest.call_times.observe_time(now.saturating_sub(began));
        }
        self.guest.calls[call_outcome(result)].increment();
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
            self.guest.calls[CALL_ABORTED].increment();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{DrivenClock, Millis};
    use crate::metrics::Distribution;

    #[test]
    fn every_status_and_method_has_one_of_a_few_names() {
        let names: Vec<String> = status_names().collect();
        assert_eq!(names.len(), STATUS_COUNT);
        for status in 200..600 {
            let name = &names[status_index(StatusCode::from_u16(status).unwrap())];
            let class = format!("{}xx", status / 100);
            assert!(*name == status.to_string() || *name == class, "{status}: {name}");
        }
        for name in METHODS {
            assert_eq!(METHODS[method_index(&Method::from_bytes(name.as_bytes()).unwrap())], name);
        }
        assert_eq!(METHODS[method_index(&Method::TRACE)], "other");
    }

    #[test]
    fn guests_of_one_name_are_told_apart() {
        let paths = ["/b/two", "/b/one", "/b/two"];
        let guests = [("g", "/a", &[][..]), ("g", "/b", &paths), ("host", "/h", &[])];
        let all = GuestNames::of(
            guests.into_iter().map(|(name, prefix, paths)| {
                let paths = paths.iter().map(|path| (*path).to_owned());
                (name.to_owned(), prefix.to_owned(), paths.collect())
            }),
            &["/livez"],
        );
        let guests: Vec<&str> = all.iter().map(|names| names.guest.as_str()).collect();
        assert_eq!(guests, ["g", "g:/b", "host:/h", "host"]);
        assert_eq!(all[1].operations().collect::<Vec<_>>(), ["/b/one", "/b/two", "other"]);
        assert_eq!(all[1].operation_index("/b/two"), 1);
        assert_eq!(all[1].operation_index("/b/twofold"), 2);
    }

    #[test]
    fn a_request_counts_from_its_arrival_and_one_that_is_given_up_as_aborted() {
        let driver = DrivenClock::at(Millis(0));
        let clock = Clock::driven(&driver);
        let names = GuestNames::of(std::iter::empty(), &["/livez"]);
        let meter = Meter::new(&names);
        let begin = || meter.begin(&clock, (0, &names[0]), &Method::GET, "/livez");
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
        let GuestCounts { operations, calls, call_times } = &meter.guests[0];
        let all = |histogram: &Histogram| Distribution::from(histogram).count();
        assert_eq!(operations[0].answers[0][status_index(StatusCode::GATEWAY_TIMEOUT)].get(), 1);
        assert_eq!(operations[0].answers[0][ABORTED].get(), 1);
        assert_eq!((all(&operations[0].times[3]), all(call_times)), (1, 1));
        assert_eq!((calls[1].get(), calls[CALL_ABORTED].get()), (1, 1));
    }
}
