//! The closed loop: each caller asks, waits for the answer and asks again.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::caller::Caller;
use super::latency::Tally;
use super::window::Window;
use crate::clock::now_ns;

/// Runs one caller until the window is over.
pub async fn drive(mut caller: Caller, window: Window, tally: Arc<Mutex<Tally>>) -> io::Result<()> {
    let mut asked = now_ns();
    loop {
        let done = caller.turn().await?;
        let now = now_ns();
        if now >= window.end_ns {
            return Ok(());
        }
        if now >= window.begin_ns {
            tally.lock().unwrap_or_else(PoisonError::into_inner).add(now - asked, done);
        }
        asked = now;
    }
}
