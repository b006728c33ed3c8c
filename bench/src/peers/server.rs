//! The other servers: how each is started on a free port with a directory of its own and synced
//! writes, and ended. Knows nothing of what is measured.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::failure::Failure;
use crate::load::Protocol;
use crate::system::Process;

/// How often, and how many times, a server that starts is looked at.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: usize = 200;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With an append-only file that is synced before each answer.
    Redis,
    /// A cluster of one.
    Etcd,
}

/// All of them.
pub const KINDS: [Kind; 2] = [Kind::Redis, Kind::Etcd];

impl Kind {
    /// Its name in tables and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Etcd => "etcd",
        }
    }

    /// What it speaks.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Redis => Protocol::Redis,
            Self::Etcd => Protocol::Etcd,
        }
    }

    /// What it promises otherwise than larder.
    pub fn difference(self) -> &'static str {
        match self {
            Self::Redis => {
                "redis: its own protocol, one thread for commands; all data in memory, rebuilt from the log at a start; appendfsync always: writes that arrive together share a sync; no checksum for a value, no versions, no authentication here."
            }
            Self::Etcd => {
                "etcd: gRPC, all cores; a Raft log that is synced, with a cluster of one here; every version of a key is kept until compaction; linearizable reads go through Raft; meant for small stores."
            }
        }
    }

    fn command(self, dir: &Path, client: SocketAddr, peer: SocketAddr) -> Command {
        match self {
            Self::Redis => {
                let mut command = Command::new("redis-server");
                command
                    .args(["--port", &client.port().to_string(), "--bind", "127.0.0.1"])
                    .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
                    .arg("--dir")
                    .arg(dir);
                command
            }
            Self::Etcd => {
                let (client, peer) = (format!("http://{client}"), format!("http://{peer}"));
                let mut command = Command::new("etcd");
                command
                    .args(["--name", "bench", "--log-level", "error"])
                    .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
                    .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                    .args(["--initial-cluster", &format!("bench={peer}")])
                    .args(["--quota-backend-bytes", &(8u64 << 30).to_string(), "--data-dir"])
                    .arg(dir.join("data"));
                command
            }
        }
    }
}

/// A running server. It is ended when this is dropped.
pub struct Peer {
    /// Which one.
    pub kind: Kind,
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    _dir: TempDir,
}

impl Peer {
    /// Starts it in a folder of its own; None when it is not installed.
    pub fn start(kind: Kind, dir: &Path) -> Result<Option<Self>, Failure> {
        let dir = tempfile::Builder::new().prefix("data-").tempdir_in(dir)?;
        let path = std::fs::canonicalize(dir.path())?;
        let (address, peer) = (free_port()?, free_port()?);
        let mut command = kind.command(&path, address, peer);
        let spawned =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = match spawned {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut started = Self { kind, address, child, _dir: dir };
        for _ in 0..LOOKS {
            if TcpStream::connect(address).is_ok() {
                return Ok(Some(started));
            }
            if let Some(status) = started.child.try_wait()? {
                return Err(format!("{} ended with {status}", kind.name()).into());
            }
            thread::sleep(LOOK);
        }
        Err(format!("{} does not listen", kind.name()).into())
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Its data goes with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free just now.
fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_a_name_and_a_difference_that_begins_with_it() {
        for kind in KINDS {
            assert!(kind.difference().starts_with(&format!("{}: ", kind.name())));
        }
    }
}
