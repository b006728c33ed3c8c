//! WASI for guests that need it, with nothing behind it: no files, no sockets, no environment, no
//! arguments. Standard output and error become lines of the server's log, under the guest's name.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::process::logging::GUEST_TARGET;
use crate::runtime::state::State;

/// Longest line that is logged; the rest of it is left out.
const LINE_BYTES_MAX: usize = 4 << 10;
/// What a line costs besides its text.
const LINE_COST_BYTES: usize = 128;
/// Most bytes that a guest may write at a time, and random bytes that it may ask for.
const CHUNK_BYTES_MAX: usize = 64 << 10;

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Most calls never touch WASI: it is made when it is first asked for.
        let (name, left) = (&self.profile.name, self.budget.log_bytes_left());
        let ctx = self.wasi.get_or_insert_with(|| closed(name, left));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

/// A WASI context that reaches nothing but the log, and of that what `bytes_left` allows.
fn closed(guest: &Arc<str>, bytes_left: &Arc<AtomicUsize>) -> WasiCtx {
    let stream =
        |stream| Log { guest: Arc::clone(guest), stream, bytes_left: Arc::clone(bytes_left) };
    WasiCtxBuilder::new()
        .stdout(stream("stdout"))
        .stderr(stream("stderr"))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(CHUNK_BYTES_MAX as u64)
        .build()
}

/// Where a guest's output goes.
#[derive(Clone)]
struct Log {
    guest: Arc<str>,
    stream: &'static str,
    /// Shared by all streams of the instance, however often it opens them.
    bytes_left: Arc<AtomicUsize>,
}

impl IsTerminal for Log {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Log {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Lines::new(self.clone()))
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Lines::new(self.clone()))
    }
}

/// Cuts output into lines and logs them.
struct Lines {
    log: Log,
    line: Vec<u8>,
}

impl Lines {
    fn new(log: Log) -> Self {
        Self { log, line: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.emit();
            }
        }
    }

    fn emit(&mut self) {
        let line = std::mem::take(&mut self.line);
        let Log { guest, stream, bytes_left } = &self.log;
        let left = bytes_left.load(Ordering::Relaxed);
        if line.is_empty() || left == 0 {
            return;
        }
        let cost = line.len() + LINE_COST_BYTES;
        bytes_left.store(left.saturating_sub(cost), Ordering::Relaxed);
        if cost >= left {
            tracing::warn!(target: GUEST_TARGET, %guest, stream, "the guest logs too much; the rest is left out");
            return;
        }
        let text = String::from_utf8_lossy(&line);
        tracing::info!(target: GUEST_TARGET, %guest, stream, "{text}");
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.emit();
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > CHUNK_BYTES_MAX {
            return Err(StreamError::trap("wrote more than was permitted"));
        }
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK_BYTES_MAX)
    }
}

impl Pollable for Lines {
    fn ready<'life, 'async_trait>(
        &'life mut self,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'async_trait>>
    where
        'life: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(std::future::ready(()))
    }
}

impl AsyncWrite for Lines {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
