//! How commands of this program reach a server that runs: a socket in the data directory, which is
//! private to whoever runs the server, so that reaching it is proof enough. One request a connection,
//! one line of JSON each way. Knows sockets and lines; what is asked is `auth`'s to do.

use std::convert::Infallible;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::timeout;

use super::{Listed, NewToken, Tokens};

const SOCKET: &str = "control.sock";
/// Who the log says has made or revoked a token here.
const COMMAND: &str = "larder token";
/// Longest request: a new token is at most some 20 KiB.
const REQUEST_BYTES_MAX: u64 = 64 << 10;
/// Longest answer: all tokens there can be, each as large as it can be.
const ANSWER_BYTES_MAX: u64 = 512 << 20;
/// How long a request may take to arrive, and an answer to leave.
const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a command waits for its answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// How long to rest when no connection can be had.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What a command asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Make a token.
    CreateToken(NewToken),
    /// List all tokens.
    ListTokens,
    /// Revoke the token with this id.
    RevokeToken(String),
}

/// How an answer begins to a request that a server does not know, as an older one may not.
const NOT_UNDERSTOOD: &str = "the server does not understand: ";

/// What it is answered.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The token that was made, and its secret.
    Created(Listed, String),
    /// All tokens.
    Tokens(Vec<Listed>),
    /// It is revoked.
    Revoked,
    /// Why it was not done.
    Refused(String),
}

/// Does what is asked.
pub async fn act(request: Request, tokens: &Tokens) -> Answer {
    let done = match request {
        Request::CreateToken(token) => {
            let made = tokens.create(token, COMMAND).await;
            made.map(|(made, secret)| Answer::Created(made, secret))
        }
        Request::ListTokens => Ok(Answer::Tokens(tokens.list())),
        Request::RevokeToken(id) => tokens.revoke(&id, COMMAND).await.map(|()| Answer::Revoked),
    };
    done.unwrap_or_else(|error| Answer::Refused(error.to_string()))
}

/// The socket of the data directory `dir`, under a name that fits into a socket's address however
/// long the directory's is. It holds as long as the file is open.
fn socket(dir: &Path) -> io::Result<(File, PathBuf)> {
    let dir = File::open(dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()));
    Ok((dir, path))
}

/// The listening end of the control socket.
pub struct Control {
    listener: std::os::unix::net::UnixListener,
}

impl Control {
    /// Opens the socket of `dir`, whose lock this process holds. Commands that come before it is served
    /// wait.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let (_dir, path) = socket(dir)?;
        // What an earlier process has left; nobody listens to it.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener })
    }

    /// Answers commands, one after the other, for ever.
    ///
    /// # Errors
    /// The socket cannot be waited for.
    pub async fn serve(self, tokens: Arc<Tokens>) -> io::Result<Infallible> {
        let listener = UnixListener::from_std(self.listener)?;
        loop {
            let answered = match listener.accept().await {
                Ok((stream, _)) => exchange(stream, &tokens).await,
                Err(error) => {
                    tokio::time::sleep(ACCEPT_REST).await;
                    Err(error)
                }
            };
            if let Err(error) = answered {
                tracing::warn!(%error, "a command at the control socket got no answer");
            }
        }
    }
}

async fn exchange(stream: tokio::net::UnixStream, tokens: &Tokens) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut line = Vec::new();
    let mut from = tokio::io::BufReader::new(from.take(REQUEST_BYTES_MAX));
    timeout(EXCHANGE_TIME_MAX, from.read_until(b'\n', &mut line)).await??;
    let answer = match serde_json::from_slice(&line) {
        Ok(request) => act(request, tokens).await,
        Err(error) => Answer::Refused(format!("{NOT_UNDERSTOOD}{error}")),
    };
    let mut answer = serde_json::to_vec(&answer)?;
    answer.push(b'\n');
    timeout(EXCHANGE_TIME_MAX, to.write_all(&answer)).await?
}

/// Whether this is the reason of a server that did not know what it was asked.
#[must_use]
pub fn is_not_understood(refused: &str) -> bool {
    refused.starts_with(NOT_UNDERSTOOD)
}

/// Asks the server that serves `dir`.
pub fn ask(dir: &Path, request: &Request) -> io::Result<Answer> {
    let (_dir, path) = socket(dir)?;
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        let unknown = "it ended first; whether it was done `larder token list` tells";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, unknown));
    }
    Ok(serde_json::from_slice(&answer)?)
}
