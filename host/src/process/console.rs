//! What the program says beside its log, to whoever typed a command. Owns the rule that nothing fails
//! or waits for long because nobody takes what is said; `print!` and its like panic then.

use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Says a line on standard error; lost when that is closed.
pub fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes `text` to `out`; an error when it cannot be written, or is not taken within `time`.
pub fn write_within(
    mut out: impl Write + Send + 'static,
    text: String,
    time: Duration,
) -> io::Result<()> {
    let (done, written) = mpsc::channel();
    // Left behind when it still waits then.
    thread::Builder::new().name("larder-console".to_owned()).spawn(move || {
        let _ = done.send(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    })?;
    written.recv_timeout(time).unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads what is written there"))
    })
}
