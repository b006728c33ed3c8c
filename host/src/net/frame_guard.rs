//! Counts the frames of HTTP/2 that ask for nothing, to tell a flood of them: pings, settings, window
//! updates, resets and their like. Reads no more of a frame than its head; what h2 itself bounds
//! (streams, pending resets, continuations, tiny pieces of bodies, sizes of heads) is left to it.

use std::time::Duration;

use tokio::time::Instant;

/// What HTTP/2 begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
/// Frames that a client may send at once without asking for anything, and how fast they are
/// forgotten. Clients that measure round trips or keep connections alive need a few a second.
const IDLE_FRAMES_MAX: u64 = 2000;
const FRAMES_PER_S: u64 = 1000;
/// Those that a request may bring with it besides.
const FRAMES_PER_ANSWER: u64 = 8;
/// Each piece of an answer may be followed by window updates. Answers to pings are too short to earn
/// another ping.
const ANSWER_BYTES_PER_FRAME: u64 = 1 << 10;

/// What is known of a connection's frames.
pub struct Frames {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// Of the frame at hand, or of what comes before the first.
    payload_left: usize,
    /// Idle frames that nothing has explained yet, when that was judged, and what had been earned.
    idle: u64,
    judged: Option<Instant>,
    earned: u64,
}

impl Default for Frames {
    fn default() -> Self {
        let payload_left = PREFACE.len();
        Self {
            head: [0; HEAD_BYTES],
            head_bytes: 0,
            payload_left,
            idle: 0,
            judged: None,
            earned: 0,
        }
    }
}

impl Frames {
    /// Takes note of the next bytes.
    pub fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let skipped = self.payload_left.min(bytes.len());
                self.payload_left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEAD_BYTES - self.head_bytes).min(bytes.len());
            let (head, rest) = bytes.split_at(taken);
            self.head[self.head_bytes..self.head_bytes + taken].copy_from_slice(head);
            self.head_bytes += taken;
            bytes = rest;
            if self.head_bytes == HEAD_BYTES {
                let [a, b, c, kind, ..] = self.head;
                self.head_bytes = 0;
                self.payload_left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                let asks = matches!(kind, DATA | HEADERS) && self.payload_left > 0;
                self.idle += u64::from(!asks);
            }
        }
    }

    /// Whether there were more idle frames than time, and what was answered and sent so far, can
    /// explain.
    pub fn is_flood(
        &mut self,
        answered: u64,
        sent_bytes: u64,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        // Most connections never come so far that the time must be looked at.
        if self.idle <= IDLE_FRAMES_MAX / 2 {
            return false;
        }
        let earned = FRAMES_PER_ANSWER * answered + sent_bytes / ANSWER_BYTES_PER_FRAME;
        let earned_before = std::mem::replace(&mut self.earned, earned);
        let now = now();
        let time = self.judged.replace(now).map_or(Duration::ZERO, |before| now - before);
        // No more than a burst: what has just come is not excused by how long nothing came before.
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX / FRAMES_PER_S);
        let forgotten = (FRAMES_PER_S * ms / 1000).min(IDLE_FRAMES_MAX);
        self.idle = self.idle.saturating_sub((earned - earned_before).saturating_add(forgotten));
        self.idle > IDLE_FRAMES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingpong";

    fn opened() -> Frames {
        let mut frames = Frames::default();
        frames.read(PREFACE);
        frames
    }

    #[test]
    fn frames_are_counted_however_their_bytes_are_cut() {
        let mut bytes = [PREFACE, PING, b"\0\0\0\x04\0\0\0\0\0"].concat();
        // A request and a piece of its body ask for something; an empty piece does not.
        bytes.extend_from_slice(b"\0\0\x03\x01\x04\0\0\0\x01abc\0\0\x01\0\0\0\0\0\x01d");
        bytes.extend_from_slice(b"\0\0\0\0\0\0\0\0\x01");
        for size in 1..bytes.len() {
            let mut frames = Frames::default();
            bytes.chunks(size).for_each(|chunk| frames.read(chunk));
            assert_eq!((frames.idle, frames.payload_left, frames.head_bytes), (3, 0, 0), "{size}");
        }
    }

    #[test]
    fn a_flood_is_told_unless_time_or_answers_explain_it() {
        let many = PING.repeat(usize::try_from(IDLE_FRAMES_MAX).unwrap());
        let begun = Instant::now();
        for (answered, sent_bytes, told) in
            [(0, 0, true), (1, 1000, true), (250, 0, false), (0, 2 << 20, false)]
        {
            let mut frames = opened();
            frames.read(&many);
            assert!(!frames.is_flood(0, 0, || begun));
            frames.read(&many);
            assert_eq!(frames.is_flood(answered, sent_bytes, || begun), told, "{answered}");
        }
        let mut frames = opened();
        for second in 0..10 {
            frames.read(&many);
            assert!(!frames.is_flood(0, 0, || begun + Duration::from_secs(2 * second)));
        }
        // What was not used up is not kept.
        (0..3).for_each(|_| frames.read(&many));
        assert!(frames.is_flood(0, 0, || begun + Duration::from_secs(3600)));
    }
}
