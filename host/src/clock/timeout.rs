//! A deadline that costs nothing when it is not needed.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Runs `future` for at most `limit`; None when that is over. What is ready at once, as most
/// requests are, never sets a timer.
pub async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    if let Poll::Ready(output) = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    {
        return Some(output);
    }
    tokio::time::timeout(limit, future).await.ok()
}
