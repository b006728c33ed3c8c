//! Why a call has no answer. What that looks like to the caller is for the gateway to say.

use crate::runtime::budget::LimitReached;
use crate::runtime::guest_memory::NoRoom;

/// Longest account of a trap: it holds names that a stranger's component gives.
const TRAP_BYTES_MAX: usize = 4 << 10;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The guest missed its deadline.
    #[error("the guest missed its deadline")]
    Deadline,
    /// The guest ran into a limit.
    #[error("{0}")]
    Limit(LimitReached),
    /// All calls together used what they may of memory.
    #[error("{NoRoom}")]
    NoRoom {
        /// Whether the call had written before.
        has_written: bool,
    },
    /// The guest trapped, or could not be instantiated.
    #[error("the guest trapped: {0}")]
    Trap(String),
    /// The guest's answer cannot be sent.
    #[error("the guest's answer cannot be sent: {0}")]
    Invalid(&'static str),
}

impl From<wasmtime::Error> for CallError {
    fn from(error: wasmtime::Error) -> Self {
        if error.is::<NoRoom>() {
            return CallError::NoRoom { has_written: false };
        }
        match error.downcast::<LimitReached>() {
            Ok(limit) => CallError::Limit(limit),
            Err(error) => {
                let mut account = format!("{error:#}");
                account.truncate(account.floor_char_boundary(TRAP_BYTES_MAX));
                CallError::Trap(account)
            }
        }
    }
}

impl From<NoRoom> for CallError {
    fn from(NoRoom: NoRoom) -> Self {
        CallError::NoRoom { has_written: false }
    }
}

impl CallError {
    /// The same of a call that has written before.
    #[must_use]
    pub fn after_write(self) -> Self {
        match self {
            CallError::NoRoom { .. } => CallError::NoRoom { has_written: true },
            other => other,
        }
    }
}
