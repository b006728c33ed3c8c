//! Every setting: its name, type, default and bounds, and what help and docs/settings.md say of it. What
//! settings mean together is for `sizes` and the module above.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Args;

use super::checks::ConfigError;
use super::file_mount::FileMount;
use super::listen::ListenAddress;
use super::paths::Base;
use super::table::{Value, settings};
use super::units::{bytes, thousands};
use crate::gateway::Origins;
use crate::process::logging::LogFormat;
use crate::storage;

/// The data directory by default.
pub const DATA_DIR: &str = "data";
/// The file that is read where none is named, if it is there.
pub const FILE: &str = "larder.toml";
/// No limit of calls is higher: each takes address space.
pub const CALLS_MAX: u64 = 16 << 10;
/// No configured duration is longer than this: a year.
pub const MS_MAX: u64 = 366 * 24 * 60 * 60 * 1000;
/// Longest body by default.
pub const BODY_BYTES: u64 = 8 << 20;
/// Room for bodies and for answers by default: this part of the memory each, up to so much.
pub const MEMORY_PART: u64 = 8;
pub const ROOM_BYTES: u64 = 512 << 20;
/// Room for guests by default: this part of the memory, up to so much.
pub const GUESTS_MEMORY_PART: u64 = 4;
pub const GUESTS_BYTES: u64 = 8 << 30;
/// The most that all bodies, answers or calls may take together.
pub const ROOM_BYTES_MAX: u64 = 1 << 40;
/// Connections by default: one for so many bytes of the memory, up to so many.
pub const CONNECTION_MEMORY_BYTES: u64 = 512 << 10;
pub const CONNECTIONS: u64 = 10_000;
/// Worker threads at most.
pub const WORKERS_MAX: u64 = 1024;
const CONNECTIONS_MAX: u64 = 1 << 20;
const BODY_BYTES_MAX: u64 = storage::VALUE_BYTES_MAX as u64;
const STORAGE_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 46;

settings! {
    /// The settings of `larder serve` that one source gives: flags, variables, or the file.
    pub struct Settings {
        /// IP address and port to listen on; port 0 takes a free one, `localhost` is 127.0.0.1
        #[setting("ADDR", default = ListenAddress::LOCAL)]
        listen: ListenAddress,
        /// Certificate for TLS, PEM, the server's own first; read anew on SIGHUP
        #[setting("FILE", described = "none, plain HTTP")]
        tls_certificate: PathBuf,
        /// The certificate's private key, PEM
        #[setting("FILE")]
        tls_key: PathBuf,
        /// Whether to serve without TLS where other machines reach it, as behind a proxy
        #[setting("true|false", default = false)]
        plain_http: bool,
        /// Data directory; made if it is not there, private to you
        #[setting("DIR", described = format!("./{DATA_DIR}"))]
        data: PathBuf,
        /// Configuration file
        #[setting("FILE", described = format!("./{FILE}, if it is there"))]
        #[serde(skip)]
        config: PathBuf,
        /// Component that serves the API in place of the built-in one
        #[setting("FILE")]
        api: PathBuf,
        /// Origins whose pages browsers let use the built-in API and the server's own paths, with commas between;
        /// `*` is all of them
        #[setting("ORIGINS")]
        cors_origins: Origins,
        /// Whether keys and values are at /kv/NAMESPACE/KEY too, unless a mount is there
        #[setting("true|false", default = true)]
        plain_kv: bool,
        /// What is logged: error, warn, info, debug, trace or off, for parts of the program too, as in
        /// `info,larder::gateway=debug`
        #[setting("FILTER", default = "info".to_owned())]
        log: String,
        /// How it is logged: `auto` is text on a terminal, else JSON
        #[setting("FORMAT", default = LogFormat::Auto)]
        log_format: LogFormat,
        /// Worker threads
        #[setting("N", described = "one a core", range = 1..=WORKERS_MAX)]
        workers: usize,
        /// Connections at once; the longest idle makes room for a new one
        #[setting(
            "N",
            described = format!(
                "one for each {} of the memory, at most {}",
                bytes(CONNECTION_MEMORY_BYTES),
                thousands(CONNECTIONS)
            ),
            range = 1..=CONNECTIONS_MAX
        )]
        connections_max: usize,
        /// Calls of guests at once
        #[setting("N", default = 1024, range = 1..=CALLS_MAX)]
        calls_max: usize,
        /// How long a request may wait for its call, before 503
        #[setting("MS", default = 1000, range = 1..=MS_MAX)]
        call_wait_ms_max: u64,
        /// How long a request's head may take to arrive
        #[setting("MS", default = 10_000, range = 1..=MS_MAX)]
        header_ms_max: u64,
        /// How long a connection may be idle
        #[setting("MS", default = 75_000, range = 1..=MS_MAX)]
        idle_ms_max: u64,
        /// How long a body may take to arrive
        #[setting("MS", default = 30_000, range = 1..=MS_MAX)]
        body_ms_max: u64,
        /// Longest body, and longest value
        #[setting(
            "BYTES",
            described = format!("{}, or storage_bytes_max where that is less", bytes(BODY_BYTES)),
            range = 1..=BODY_BYTES_MAX
        )]
        body_bytes_max: u64,
        /// Memory for large bodies, over all requests; at least one body
        #[setting("BYTES", described = part(MEMORY_PART, ROOM_BYTES), range = 1..=ROOM_BYTES_MAX)]
        bodies_bytes_max: usize,
        /// How long a client may take for an answer
        #[setting("MS", default = 60_000, range = 1..=MS_MAX)]
        answer_ms_max: u64,
        /// Memory for large answers that clients have not taken yet; at least one answer of the API, up to four
        /// times body_bytes_max in JSON
        #[setting("BYTES", described = part(MEMORY_PART, ROOM_BYTES), range = 1..=ROOM_BYTES_MAX)]
        answers_bytes_max: usize,
        /// Memory of guests, over all calls and idle instances; at least one call of the API with the longest
        /// body
        #[setting("BYTES", described = part(GUESTS_MEMORY_PART, GUESTS_BYTES), range = 1..=ROOM_BYTES_MAX)]
        guests_bytes_max: usize,
        /// How long a shutdown goes on serving, new connections too, while /readyz tells that it is not ready;
        /// for balancers that need a while to see it. Only then what runs is finished
        #[setting("MS", default = 0, range = 0..=MS_MAX)]
        shutdown_delay_ms: u64,
        /// How long a shutdown waits for what runs
        #[setting("MS", default = 10_000, range = 1..=MS_MAX)]
        drain_ms_max: u64,
        /// Whether /metrics is there, for Prometheus; without the admin token only on a loopback address
        #[setting("true|false", default = true)]
        metrics: bool,
        /// Room for data; above it writes answer 507
        #[setting("BYTES", described = "what the disk holds, at most 1 TiB", range = STORAGE_BYTES)]
        storage_bytes_max: u64,
    }
    apart {
        /// The admin token; no flag, because others could see it there
        admin_token: String,
        /// Guests and their paths
        mount: Vec<FileMount>,
    }
}

/// A part of the memory, as it is described.
fn part(of_memory: u64, bytes_max: u64) -> String {
    format!("1/{of_memory} of the memory, at most {}", bytes(bytes_max))
}

impl Value for ListenAddress {}
impl Value for bool {}
impl Value for usize {}
impl Value for u64 {}
impl Value for String {}
impl Value for LogFormat {}
impl Value for Origins {}

impl Value for PathBuf {
    fn based(self, key: &str, base: Base<'_>) -> Result<Self, ConfigError> {
        base.path(key, self)
    }
}

impl Value for Vec<FileMount> {
    fn based(self, _key: &str, base: Base<'_>) -> Result<Self, ConfigError> {
        self.into_iter().map(|mount| mount.based(base)).collect()
    }
}

/// The settings that say which data directory is meant.
#[derive(Args, Debug, Default)]
pub struct DataArgs {
    /// Data directory [default: as `larder serve` would take it]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration file that may name it [default: ./larder.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
