//! Clients that attack through HTTP/2: floods of frames that ask for nothing, streams that end at once
//! or are too many, heads without an end or far larger than they look. Each tells how long the server
//! bore it.

use std::io;
use std::time::Duration;

use larder_tests::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, UNKNOWN,
    WINDOW_UPDATE, frame, opening,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::frames::{bomb, head, references};
use super::server::Server;
use super::slow::connect;
use crate::exchange::now;

/// Frames in one write.
const FRAMES: usize = 100;

/// What is sent without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flood {
    /// Pings.
    Pings,
    /// Settings.
    Settings,
    /// Window updates.
    WindowUpdates,
    /// Frames of a kind that nobody knows.
    Unknown,
    /// Empty pieces of a body.
    EmptyData,
    /// Heads with nothing in them.
    EmptyHeaders,
    /// Empty pieces of a head.
    Continuations,
    /// Requests that are reset at once.
    Resets,
    /// Requests that do not end.
    Streams,
    /// Heads that are huge when they are decoded.
    Bombs,
    /// Requests without an end whose heads have more fields than heads may have, each of one byte.
    Heads,
}

impl Flood {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Pings,
        Self::Settings,
        Self::WindowUpdates,
        Self::Unknown,
        Self::EmptyData,
        Self::EmptyHeaders,
        Self::Continuations,
        Self::Resets,
        Self::Streams,
        Self::Bombs,
        Self::Heads,
    ];

    /// What comes before the flood.
    fn opening(self, token: &str) -> Vec<u8> {
        let begun = |flags| frame(HEADERS, flags, 1, &head(0x83, "/api/v1.kv.set", token));
        let first = match self {
            Self::EmptyData => begun(END_HEADERS),
            Self::Continuations => begun(0),
            _ => Vec::new(),
        };
        [opening(65_535), first].concat()
    }

    /// The next frames, on streams from `stream` on.
    fn frames(self, stream: &mut u32, token: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..FRAMES {
            let next = *stream;
            let request = || head(0x82, "/api/v1.health.ping", token);
            bytes.extend(match self {
                Self::Pings => frame(PING, 0, 0, b"pingpong"),
                Self::Settings => frame(SETTINGS, 0, 0, b""),
                Self::WindowUpdates => frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
                Self::Unknown => frame(UNKNOWN, 0, 0, b"?"),
                Self::EmptyData => frame(DATA, 0, 1, b""),
                Self::EmptyHeaders => frame(HEADERS, END_HEADERS | END_STREAM, next, b""),
                Self::Continuations => frame(CONTINUATION, 0, 1, b""),
                Self::Resets => [
                    frame(HEADERS, END_HEADERS | END_STREAM, next, &request()),
                    frame(RST_STREAM, 0, next, &8_u32.to_be_bytes()),
                ]
                .concat(),
                Self::Streams => frame(HEADERS, END_HEADERS, next, &request()),
                Self::Heads => frame(HEADERS, END_HEADERS, next, &references("/livez", 470)),
                Self::Bombs => frame(HEADERS, END_HEADERS | END_STREAM, next, &bomb()),
            });
            *stream += 2;
        }
        bytes
    }

    /// Floods until the server closes, or until `patience` is over, and says when that was.
    ///
    /// # Errors
    /// When it cannot even begin.
    pub async fn play(
        self,
        server: &Server,
        number: usize,
        patience: Duration,
    ) -> io::Result<Duration> {
        let (mut reader, mut writer) = connect(server.address, number, false).await?.into_split();
        writer.write_all(&self.opening(&server.token)).await?;
        let begun = now();
        let (mut stream, mut sink) = (3, vec![0; 16 << 10]);
        let flood = async {
            while writer.write_all(&self.frames(&mut stream, &server.token)).await.is_ok() {}
        };
        let read = async { while matches!(reader.read(&mut sink).await, Ok(1..)) {} };
        let ended = async {
            tokio::select! {
                () = flood => {}
                () = read => {}
            }
        };
        let _ = timeout(patience, ended).await;
        Ok(begun.elapsed())
    }
}
