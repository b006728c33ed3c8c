//! All kinds of hostile guests: where each is mounted, how it is asked for, and what its caller must
//! be told. Knows no server.

use super::kind::{Expected, Kind};
use super::text;
use Expected::{Fails, Internal, Says, Timeout};

/// What the test guest does when it is asked to.
const ACTIONS: [(&str, Expected); 66] = [
    // Time.
    ("loop", Timeout),
    ("sleep", Timeout),
    ("late?4000", Timeout),
    ("flood?random", Timeout),
    ("flood?clock", Timeout),
    ("flood?print", Timeout),
    ("flood?lines", Timeout),
    // Host calls: a write takes a commit, so that time may end before the calls do.
    ("host-calls", Internal),
    ("flood?get", Internal),
    ("flood?get-denied", Internal),
    ("flood?get-large", Internal),
    ("flood?set", Fails),
    ("flood?set-blob", Fails),
    ("flood?delete", Fails),
    ("flood?configure", Fails),
    ("flood?writable", Internal),
    ("flood?namespace", Internal),
    ("flood?header", Internal),
    ("flood?headers", Internal),
    ("flood?prefix", Internal),
    ("flood?blob", Internal),
    ("flood?length", Internal),
    ("flood?read", Internal),
    ("flood?slice", Internal),
    // Bombs.
    ("memory", Internal),
    ("recursion", Internal),
    ("blobs", Internal),
    ("ask?slices", Internal),
    ("ask?pollables", Internal),
    ("ask?random", Internal),
    ("ask?thread", Says("true")),
    ("log-bomb", Says("logged")),
    // Ends.
    ("panic", Internal),
    ("ask?exit", Internal),
    ("ask?abort", Internal),
    // Answers.
    ("huge", Internal),
    ("status", Internal),
    ("own-length", Internal),
    ("hide-header", Internal),
    ("answer?many-headers", Internal),
    ("answer?long-header", Internal),
    ("answer?value-lines", Internal),
    ("answer?value-nul", Internal),
    ("answer?name-lines", Internal),
    ("answer?name-empty", Internal),
    ("answer?name-space", Internal),
    ("answer?connection", Internal),
    ("answer?chunked", Internal),
    ("answer?upgrade", Internal),
    ("answer?status-0", Internal),
    ("answer?status-101", Internal),
    ("answer?status-600", Internal),
    ("answer?many-parts", Says("")),
    ("answer?many-blobs", Internal),
    ("answer?large-parts", Says("\u{1}\u{1}")),
    // What belongs to others.
    ("read?default", Says("Denied")),
    ("read?other", Says("Denied")),
    ("read?*", Says("Denied")),
    ("read?own/../other", Says("Denied")),
    ("read?", Says("Denied")),
    ("write?default", Says("Denied")),
    ("write?other", Says("Denied")),
    ("delete?other", Says("Denied")),
    ("configure?other", Says("Denied")),
    ("configure?new", Says("Denied")),
    ("namespace?other", Says("Denied")),
];

/// All of them.
#[must_use]
pub fn all() -> Vec<Kind> {
    let actions = ACTIONS.iter().map(|(action, expected)| Kind {
        name: (*action).to_owned(),
        path: if expected.is_late() {
            format!("/short/{action}")
        } else {
            format!("/test/{action}")
        },
        expected: *expected,
    });
    let texts = text::ALL.iter().map(|text| Kind {
        name: format!("text {}", text.name),
        path: format!("/{}", text.name),
        expected: text.expected,
    });
    actions.chain(texts).collect()
}
