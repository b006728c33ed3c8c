//! The log: what is logged, what a line looks like, and where it goes. Standard error always, and never
//! at the cost of whoever logs: `queue` takes the lines. Never a token or a value, which nobody hands
//! to it.

mod filter;
mod format;
mod queue;
mod text;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, IsTerminal, Write, stderr};
use std::os::fd::AsFd;
use std::panic::{self, PanicHookInfo};
use std::thread;

use tracing::{Dispatch, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

pub use self::filter::LogFilter;
pub use self::format::LogFormat;
pub use self::queue::{Dropped, Log};
use self::queue::{Lines, Share};

/// The target of what guests print: it has a share of the queue, so that the server's own lines have
/// room whatever guests do.
pub const GUEST_TARGET: &str = "larder::guest";

/// Lines of this process's log that were lost.
static DROPPED: Dropped = Dropped::new();

/// Lines that were lost so far, for whoever counts them.
#[must_use]
pub fn dropped() -> &'static Dropped {
    &DROPPED
}

/// How lines look.
#[derive(Clone, Copy)]
enum Look {
    Json,
    Text { colours: bool },
}

/// Starts the log. What is returned writes the last lines when it is dropped; an error tells what the
/// system refused.
pub fn start(filter: &LogFilter, format: LogFormat) -> Result<Log, String> {
    let terminal = stderr().is_terminal();
    let look = match format {
        LogFormat::Auto if !terminal => Look::Json,
        LogFormat::Json => Look::Json,
        LogFormat::Auto | LogFormat::Text => Look::Text { colours: terminal },
    };
    let system = |error: io::Error| format!("the log cannot be started: {error}");
    // A descriptor of its own, so that nobody waits for a lock that is held while it is written.
    let out = File::from(stderr().as_fd().try_clone_to_owned().map_err(system)?);
    let (lines, log) = queue::start(out, &DROPPED).map_err(system)?;
    let dispatch = dispatch(filter.to_env_filter(), look, Entrance { lines, look });
    tracing::dispatcher::set_global_default(dispatch)
        .map_err(|error| format!("the log cannot be started: {error}"))?;
    panic::set_hook(Box::new(panicked));
    Ok(log)
}

/// What takes events, and gives each on as one line.
fn dispatch<W>(filter: EnvFilter, look: Look, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        // What cannot be written is counted; the library would panic when it cannot say so.
        .log_internal_errors(false);
    match look {
        Look::Json => Dispatch::new(builder.json().flatten_event(true).finish()),
        Look::Text { colours } => {
            let builder = builder.with_ansi(colours).with_target(false);
            Dispatch::new(builder.fmt_fields(text::Fields).finish())
        }
    }
}

/// Logs a panic as everything else: by itself the standard library would write it on the thread that
/// panics, and wait there for whoever reads.
fn panicked(info: &PanicHookInfo<'_>) {
    let words = info.payload_as_str().unwrap_or("it says nothing");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = thread::current();
    let thread = thread.name().unwrap_or_default();
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, place, %backtrace, "a panic: {words}");
    } else {
        tracing::error!(thread, place, "a panic: {words}");
    }
}

/// Where formatted lines go in.
struct Entrance {
    lines: Lines,
    look: Look,
}

/// One line on its way in.
struct Line<'a> {
    entrance: &'a Entrance,
    share: Share,
}

impl<'a> MakeWriter<'a> for Entrance {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { entrance: self, share: Share::Whole }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        let share = if metadata.target() == GUEST_TARGET { Share::Guests } else { Share::Whole };
        Line { entrance: self, share }
    }
}

impl Write for Line<'_> {
    /// Takes a whole line: the formatter writes each event at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let escaped = match self.entrance.look {
            Look::Json => text::escape_json(line),
            Look::Text { .. } => None,
        };
        self.entrance.lines.push(escaped.as_deref().unwrap_or(line), self.share);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What strangers may call their functions: a second line, colours, and their eight-bit forms.
    const HOSTILE: &str =
        "a\n2026-01-01T00:00:00Z ERROR forged\x1b[2J\u{9b}2J\r\x07\u{7f}\u{202e}\u{2028}b";

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of a hostile name, wherever it stands in an event.
    fn logged(look: Look) -> String {
        let written = Written::default();
        let writer = written.clone();
        let filter = EnvFilter::new("info");
        let dispatch = dispatch(filter, look, move || writer.clone());
        tracing::dispatcher::with_default(&dispatch, || {
            let error = io::Error::other(HOSTILE);
            let source = &error as &(dyn std::error::Error + 'static);
            tracing::info!("{HOSTILE}");
            tracing::info!(message = HOSTILE);
            tracing::info!(name = HOSTILE, "a name");
            tracing::info!(name = %HOSTILE, "a name");
            tracing::info!(name = ?HOSTILE, "a name");
            tracing::info!(error = source, "an error");
        });
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn no_control_character_of_what_is_logged_reaches_a_text_log() {
        let log = logged(Look::Text { colours: false });
        assert_eq!(log.lines().count(), 6, "{log}");
        for line in log.lines() {
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
            assert!(line.contains(r"a\n2026"), "{line:?}");
            assert!(
                line.contains(r"forged\u{1b}[2J\u{9b}2J\r\u{7}\u{7f}\u{202e}\u{2028}b"),
                "{line:?}"
            );
        }
    }

    #[test]
    fn colours_are_the_log_s_own() {
        let log = logged(Look::Text { colours: true });
        assert_eq!(log.lines().count(), 6, "{log}");
        assert!(log.contains("\x1b[32m INFO\x1b[0m"), "{log:?}");
        assert!(!log.contains("\x1b[2J") && !log.contains('\u{9b}'), "{log:?}");
    }

    #[test]
    fn json_says_what_was_said_without_control_characters() {
        let log = logged(Look::Json);
        assert_eq!(log.lines().count(), 6, "{log}");
        let entrance = |line: &str| match text::escape_json(line.as_bytes()) {
            Some(escaped) => String::from_utf8(escaped).unwrap().trim_end().to_owned(),
            None => line.to_owned(),
        };
        for line in log.lines() {
            let line = entrance(line);
            assert!(!line.contains(char::is_control), "{line:?}");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            let mut said =
                ["message", "name", "error"].iter().filter_map(|key| event[key].as_str());
            assert!(said.any(|said| said == HOSTILE || said == format!("{HOSTILE:?}")), "{line}");
        }
    }
}
