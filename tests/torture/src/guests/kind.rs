//! A hostile guest as its caller sees it: how it is asked for, and what must come of the call.

use std::time::{Duration, Instant};

use crate::client::{Answer, Connection};

/// The time of calls that go on until it ends.
pub const CALL_MS_MAX: u64 = 300;
/// The time of others.
pub const LONG_CALL_MS_MAX: u64 = 10_000;
/// How late an end may be told on a busy machine.
const LATE_MAX: Duration = Duration::from_secs(5);

/// What the caller of a hostile guest must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// 500 `internal-error`.
    Internal,
    /// 504 `timeout`.
    Timeout,
    /// One of these.
    Fails,
    /// 200, and this in the body.
    Says(&'static str),
}

/// A kind of hostile guest.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Names it.
    pub name: String,
    /// How it is asked for.
    pub path: String,
    /// What must come of it.
    pub expected: Expected,
}

impl Kind {
    /// Calls it once.
    ///
    /// # Errors
    /// What its caller was told instead of what was due, or that it took too long.
    pub fn call(&self, connection: &mut Connection) -> Result<(), String> {
        let begun = now();
        let answer = connection.send("GET", &self.path, b"");
        let answer = answer.map_err(|lost| format!("{}: no answer: {lost:?}", self.name))?;
        let ms = if self.expected.is_late() { CALL_MS_MAX } else { LONG_CALL_MS_MAX };
        let (took, most) = (begun.elapsed(), Duration::from_millis(ms) + LATE_MAX);
        if !self.expected.is(&answer) {
            let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]);
            return Err(format!(
                "{}: {:?} was due, not {} {body}",
                self.name, self.expected, answer.status
            ));
        }
        if took > most {
            return Err(format!("{}: the answer took {took:?}, at most {most:?}", self.name));
        }
        Ok(())
    }
}

impl Expected {
    /// Whether it may come of a call that goes on until its deadline.
    #[must_use]
    pub fn is_late(self) -> bool {
        matches!(self, Self::Timeout | Self::Fails)
    }

    fn is(self, answer: &Answer) -> bool {
        let says = |text: &str| String::from_utf8_lossy(&answer.body).contains(text);
        let internal = answer.status == 500 && says("\"code\":\"internal-error\"");
        let timeout = answer.status == 504 && says("\"code\":\"timeout\"");
        match self {
            Self::Internal => internal,
            Self::Timeout => timeout,
            Self::Fails => internal || timeout,
            Self::Says(text) => answer.status == 200 && says(text),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "deadlines are judged from outside")]
fn now() -> Instant {
    Instant::now()
}
