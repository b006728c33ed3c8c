//! A depth-first search over the orders that time allows, which remembers where it has been (after Wing and
//! Gong, and Lowe). Knows when operations began and ended; what they mean is its caller's.

use std::collections::HashSet;
use std::hash::Hash;

/// Most operations in a history.
pub const EVENTS_MAX: usize = 128;

/// When an operation can have had its effect.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// When it began, on a clock that counts events.
    pub begun: u64,
    /// When it can have had its effect at the latest; None when it may still have it.
    pub ended: Option<u64>,
    /// Whether it had one, which was told; else it may have had none.
    pub must: bool,
}

/// Whether the operations could have taken effect one after the other, each within its span, from the state
/// `first` on. `step` makes of a state what the operation of a number leaves of it, if its answer fits.
///
/// # Panics
/// When there are more than [`EVENTS_MAX`].
#[must_use]
pub fn is_explained<S: Clone + Eq + Hash>(
    spans: &[Span],
    first: &S,
    step: &dyn Fn(&S, usize) -> Option<S>,
) -> bool {
    assert!(spans.len() <= EVENTS_MAX, "a history of {} operations", spans.len());
    Search { spans, step, seen: HashSet::new() }.run(0, first)
}

struct Search<'a, S> {
    spans: &'a [Span],
    step: &'a dyn Fn(&S, usize) -> Option<S>,
    seen: HashSet<(u128, S)>,
}

impl<S: Clone + Eq + Hash> Search<'_, S> {
    /// Whether what is left, with `done` behind it and `state` reached, can be explained.
    fn run(&mut self, done: u128, state: &S) -> bool {
        let left = |at: &usize| done & (1 << at) == 0;
        let must = |at: &usize| self.spans[*at].must;
        let all = 0..self.spans.len();
        let Some(deadline) = all
            .clone()
            .filter(left)
            .filter(must)
            .map(|at| self.spans[at].ended.unwrap_or(u64::MAX))
            .min()
        else {
            return true;
        };
        if !self.seen.insert((done, state.clone())) {
            return false;
        }
        let newest_begun =
            all.clone().filter(|at| !left(at)).map(|at| self.spans[at].begun).max().unwrap_or(0);
        let next: Vec<usize> = all
            .filter(left)
            .filter(|at| {
                let span = &self.spans[*at];
                // Before everything that began after its end, after all that ended before its begin.
                span.begun < deadline && span.ended.is_none_or(|ended| newest_begun < ended)
            })
            .collect();
        next.into_iter().any(|at| match (self.step)(state, at) {
            Some(after) => self.run(done | (1 << at), &after),
            None => false,
        })
    }
}
