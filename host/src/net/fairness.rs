//! How much a connection moves before the others on its worker have their turn: a byte budget. A client that takes
//! bytes as fast as they are copied would otherwise hold the worker for a whole answer. Knows no
//! protocol.

use std::future::Future;
use std::io::IoSlice;
use std::pin::pin;
use std::task::{Context, Poll};

/// What a connection moves at once, in bytes: some 0.1 ms of copying.
const BUDGET_BYTES: usize = 256 << 10;
/// Pieces that go into one write when not all fit into the budget.
const SLICES_MAX: usize = 16;

/// What is left of a connection's budget.
pub struct ByteBudget {
    bytes_left: usize,
}

impl Default for ByteBudget {
    fn default() -> Self {
        Self { bytes_left: BUDGET_BYTES }
    }
}

impl ByteBudget {
    /// The bytes that may be moved now, at least one. When the turn is over the task is woken for the
    /// next one, after all that is ready on this thread had its own.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        if self.bytes_left == 0 {
            self.bytes_left = BUDGET_BYTES;
            // It is pending once, and wakes whoever polled it after the sockets were looked at.
            if pin!(tokio::task::yield_now()).poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(self.bytes_left)
    }

    /// So many were moved.
    pub fn spend(&mut self, bytes: usize) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }
}

/// Does `write` with as much of `slices` as has room in `bytes_max`.
pub fn cut<T>(
    slices: &[IoSlice<'_>],
    bytes_max: usize,
    write: impl FnOnce(&[IoSlice<'_>]) -> T,
) -> T {
    let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
    if bytes <= bytes_max {
        return write(slices);
    }
    let mut pieces = [IoSlice::new(&[]); SLICES_MAX];
    let (mut count, mut left) = (0, bytes_max);
    for (piece, slice) in pieces.iter_mut().zip(slices) {
        if left == 0 {
            break;
        }
        *piece = IoSlice::new(&slice[..slice.len().min(left)]);
        left -= piece.len();
        count += 1;
    }
    write(&pieces[..count])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_budget_that_is_used_up_ends_once_and_has_the_task_woken() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let mut budget = ByteBudget::default();
        assert_eq!(budget.poll(&mut context), Poll::Ready(BUDGET_BYTES));
        budget.spend(BUDGET_BYTES - 1);
        assert_eq!(budget.poll(&mut context), Poll::Ready(1));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        budget.spend(1);
        assert_eq!(budget.poll(&mut context), Poll::Pending);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert_eq!(budget.poll(&mut context), Poll::Ready(BUDGET_BYTES));
    }

    #[test]
    fn slices_are_cut_where_the_room_ends() {
        let slices = ["ab", "", "cde", "f"].map(|text| IoSlice::new(text.as_bytes()));
        let joined = |bytes_max| {
            cut(&slices, bytes_max, |cut| {
                cut.iter()
                    .map(|slice| String::from_utf8_lossy(slice).into_owned())
                    .collect::<String>()
            })
        };
        for (bytes_max, expected) in
            [(1, "a"), (2, "ab"), (3, "abc"), (5, "abcde"), (6, "abcdef"), (9, "abcdef")]
        {
            assert_eq!(joined(bytes_max), expected, "{bytes_max}");
        }
        let many = [IoSlice::new(b"xy"); 40];
        assert_eq!(cut(&many, 50, |cut| cut.len()), SLICES_MAX);
        assert_eq!(cut(&many, 80, |cut| cut.len()), 40);
    }
}
