//! Labels of the HTTP metrics: methods, statuses and outcomes, each by a name of this file and a number to count
//! it by. Nothing that a request says becomes a label.

use http::{Method, StatusCode};

use crate::runtime::{CallError, Response};

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
/// The last of them.
pub const ABORTED: usize = STATUS_COUNT - 1;

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
/// A call whose caller went away.
pub const CALL_ABORTED: usize = CALL_OUTCOMES.len() - 1;

/// Where a method stands among [`METHODS`].
pub fn method_index(method: &Method) -> usize {
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

/// Where a status stands among [`OUTCOMES`].
pub fn class_index(status: StatusCode) -> usize {
    (usize::from(status.as_u16()) / 100).saturating_sub(2).min(CLASSES.len() - 1)
}

/// Where a status stands among all that are counted.
pub fn status_index(status: StatusCode) -> usize {
    let known = STATUSES.iter().position(|known| *known == status.as_u16());
    known.unwrap_or_else(|| STATUSES.len() + class_index(status))
}

/// Where the end of a call stands among [`CALL_OUTCOMES`].
pub fn call_outcome(result: &Result<Response, CallError>) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
