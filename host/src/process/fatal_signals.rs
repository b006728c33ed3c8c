//! What happens when the data file turns out to be damaged where LMDB trusts it: the process ends at
//! once, and says why. Owns three signals; knows nothing of what is stored.
//!
//! LMDB reads the file through a map. Behind the end of a file that was cut short, or at an address
//! that damaged bytes make up, the system sends SIGBUS or SIGSEGV. Nothing can be mended then, and
//! nothing acknowledged is lost by ending: a restart finds the last commit. All other faults end the
//! process as the system has it, with a core where it keeps some; aborts too, since LMDB is built without
//! its assertions.
#![expect(unsafe_code, reason = "signals are handled by functions that may use next to nothing")]

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

use libc::{c_int, c_void, sigaction, siginfo_t};

/// The exit code: the data file is damaged.
pub const EXIT_DAMAGED: i32 = 74;

const DAMAGED: &[u8] =
    b"larder: the data file is damaged: it could not be read where it is mapped; \
nothing was lost by ending here. Stop the server, run `larder check`, and restore a backup.\n";
const SIGNALS: [c_int; 3] = [libc::SIGBUS, libc::SIGSEGV, libc::SIGABRT];
/// How long the log has for what led to an abort, and whoever reads it to make room.
const LAST_WORDS_MS: c_int = 100;
/// Longest line of the list of maps that is looked at; paths that are longer are cut.
const LINE_BYTES_MAX: usize = 512;

/// What was there before, for faults that are not the data file's.
static BEFORE: [OnceLock<sigaction>; SIGNALS.len()] = [const { OnceLock::new() }; SIGNALS.len()];

/// Installs the handlers. To be called once, before anything else installs some: what comes later,
/// as the sandbox does for its guests' traps, hands on what is not its own.
pub fn watch() {
    for (signal, before) in SIGNALS.into_iter().zip(&BEFORE) {
        let mut old = MaybeUninit::<sigaction>::zeroed();
        // SAFETY: both structures are valid for the call, zero is a valid sigaction, and the
        // handler does only what a handler may.
        let installed = unsafe {
            let mut new = MaybeUninit::<sigaction>::zeroed().assume_init();
            new.sa_sigaction = handle as *const () as usize;
            new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigemptyset(&raw mut new.sa_mask);
            libc::sigaction(signal, &raw const new, old.as_mut_ptr()) == 0
        };
        if installed {
            // SAFETY: the call has filled it.
            let _ = before.set(unsafe { old.assume_init() });
        }
    }
}

/// Has writes beyond the limit of file sizes fail, so that they can be told; by itself the system ends
/// the process without a word.
#[expect(unsafe_code, reason = "a call of the C library that no safe function stands for")]
pub fn tell_size_limits() {
    // SAFETY: no handler is installed, a signal is ignored.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Ends the process when the fault is the data file's. Else puts back what was there before, and the
/// instruction that faults does so again when this returns; a signal that somebody sent is sent again.
extern "C" fn handle(signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    // SAFETY: the system passes a valid structure to handlers that were installed with SA_SIGINFO.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    if code <= 0 {
        // SAFETY: all of them may be called in a handler, and the signal is not held back while this runs.
        unsafe {
            if signal == libc::SIGABRT {
                libc::poll(ptr::null_mut(), 0, LAST_WORDS_MS);
            }
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        return;
    }
    if in_data_file(address) {
        end(DAMAGED);
    }
    let before = SIGNALS.iter().position(|known| *known == signal).and_then(|at| BEFORE[at].get());
    let before = before.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: what was there before is valid; without it the default is put back.
    unsafe {
        if before.is_null() {
            libc::signal(signal, libc::SIG_DFL);
        } else {
            libc::sigaction(signal, before, ptr::null_mut());
        }
    }
}

fn end(message: &[u8]) -> ! {
    let mut room = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: poll, write and _exit may be called in a handler; what they take is valid for its length.
    unsafe {
        // Where nobody reads, a write would wait for ever.
        if libc::poll(&raw mut room, 1, LAST_WORDS_MS) == 1 {
            libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
        }
        libc::_exit(EXIT_DAMAGED)
    }
}

/// Whether an address is in a map of a `data.mdb`, as the system lists them. Allocates nothing.
fn in_data_file(address: usize) -> bool {
    // SAFETY: open, read and close may be called in a handler; buffers are valid for their lengths.
    let file = unsafe { libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY) };
    if file < 0 {
        return false;
    }
    let mut line = Line { bytes: [0; LINE_BYTES_MAX], length: 0 };
    let mut found = false;
    let mut buffer = [0u8; 1024];
    loop {
        // SAFETY: as above.
        let read = unsafe { libc::read(file, buffer.as_mut_ptr().cast(), buffer.len()) };
        let Some(read) = usize::try_from(read).ok().filter(|read| *read > 0) else { break };
        for byte in buffer.iter().take(read) {
            if *byte == b'\n' {
                found |= line.is_data_file_at(address);
                line.length = 0;
            } else {
                line.push(*byte);
            }
        }
    }
    // SAFETY: as above.
    unsafe { libc::close(file) };
    found
}

/// One line of the list of maps: `start-end rights offset device inode path`.
struct Line {
    bytes: [u8; LINE_BYTES_MAX],
    length: usize,
}

impl Line {
    fn push(&mut self, byte: u8) {
        if self.length == self.bytes.len() {
            // The path's end is what matters.
            let from = self.bytes.len() / 2;
            self.bytes.copy_within(from.., from - 1);
            self.length -= 1;
        }
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn is_data_file_at(&self, address: usize) -> bool {
        let line = &self.bytes[..self.length];
        let (start, rest) = hex(line);
        let (end, _) = hex(rest.get(1..).unwrap_or_default());
        line.ends_with(b"/data.mdb") && (start..end).contains(&address)
    }
}

/// The hexadecimal number that bytes begin with, and what follows it.
fn hex(bytes: &[u8]) -> (usize, &[u8]) {
    let mut value = 0usize;
    for (at, byte) in bytes.iter().enumerate() {
        match char::from(*byte).to_digit(16) {
            Some(digit) => value = (value << 4) | digit as usize,
            None => return (value, &bytes[at..]),
        }
    }
    (value, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let mut line = Line { bytes: [0; LINE_BYTES_MAX], length: 0 };
        text.bytes().for_each(|byte| line.push(byte));
        line
    }

    #[test]
    fn an_address_in_a_data_file_s_map_is_told_from_others() {
        let map = line("7f0000001000-7f0000003000 r--s 00000000 fe:00 123   /srv/data/data.mdb");
        assert!(map.is_data_file_at(0x7f00_0000_1000) && map.is_data_file_at(0x7f00_0000_2fff));
        assert!(!map.is_data_file_at(0x7f00_0000_3000) && !map.is_data_file_at(0));
        let other = line("7f0000001000-7f0000003000 r--s 00000000 fe:00 123   /srv/data/other");
        assert!(!other.is_data_file_at(0x7f00_0000_1000));
    }

    #[test]
    fn a_path_that_is_too_long_is_known_by_its_end() {
        let long = format!("10-20 r--s 0 fe:00 123 /{}/data.mdb", "d".repeat(LINE_BYTES_MAX));
        assert!(line(&long).is_data_file_at(0x18));
    }

    #[test]
    fn the_maps_of_this_process_are_read_without_finding_what_is_not_there() {
        let here = 0u8;
        assert!(!in_data_file(ptr::from_ref(&here) as usize));
    }
}
