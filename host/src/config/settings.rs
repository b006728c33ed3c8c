//! Every setting, as one source gives it: flags, variables or the file. Owns names, types and what
//! `--help` says of each; what they mean together is the module above's.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::checks::ConfigError;
use super::file_mount::FileMount;
use super::listen;
use super::paths::Base;
use crate::process::logging::LogFormat;

/// The data directory by default.
pub const DATA_DIR: &str = "data";
/// The file that is read where none is named, if it is there.
pub const FILE: &str = "larder.toml";
/// No limit of calls is higher: each takes address space.
pub const CALLS_MAX: u64 = 16 << 10;
/// No configured duration is longer than this: a year.
pub const MS_MAX: u64 = 366 * 24 * 60 * 60 * 1000;
/// The most that all bodies, answers or calls may take together.
pub const ROOM_BYTES_MAX: u64 = 1 << 40;

/// The settings of `larder serve` that one source gives: flags, variables, or the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// IP address and port to listen on; port 0 takes a free one, `localhost` is 127.0.0.1 [default: 127.0.0.1:8624]
    #[arg(long, value_name = "ADDR", value_parser = listen::parse)]
    #[serde(default, deserialize_with = "listen::deserialize")]
    pub listen: Option<SocketAddr>,
    /// Certificate for TLS, PEM, the server's own first; read anew on SIGHUP [default: none, plain HTTP]
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Whether to serve without TLS where other machines reach it, as behind a proxy [default: false]
    #[arg(long, value_name = "true|false")]
    pub plain_http: Option<bool>,
    /// Data directory; made if it is not there, private to you [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration file [default: ./larder.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Component that serves the API in place of the built-in one
    #[arg(long, value_name = "FILE")]
    pub api: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, trace or off, for parts of the program too, as in `info,larder::gateway=debug` [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// How it is logged: `auto` is text on a terminal, else JSON [default: auto]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Connections at once; the longest idle makes room for a new one [default: one for each 512 KiB of the memory, up to 10000]
    #[arg(long, value_name = "N")]
    pub connections_max: Option<usize>,
    /// Calls of guests at once [default: 1024]
    #[arg(long, value_name = "N")]
    pub calls_max: Option<usize>,
    /// How long a request may wait for its call, before 503 [default: 1000]
    #[arg(long, value_name = "MS")]
    pub call_wait_ms_max: Option<u64>,
    /// How long a request's head may take to arrive [default: 10000]
    #[arg(long, value_name = "MS")]
    pub header_ms_max: Option<u64>,
    /// How long a connection may be idle [default: 75000]
    #[arg(long, value_name = "MS")]
    pub idle_ms_max: Option<u64>,
    /// How long a body may take to arrive [default: 30000]
    #[arg(long, value_name = "MS")]
    pub body_ms_max: Option<u64>,
    /// Longest body, and longest value [default: 8388608, or storage_bytes_max where that is less]
    #[arg(long, value_name = "BYTES")]
    pub body_bytes_max: Option<u64>,
    /// Memory for large bodies, over all requests [default: an eighth of the memory that there is, or that
    /// the cgroup may take: at least one body, at most 536870912]
    #[arg(long, value_name = "BYTES")]
    pub bodies_bytes_max: Option<usize>,
    /// How long a client may take for an answer [default: 60000]
    #[arg(long, value_name = "MS")]
    pub answer_ms_max: Option<u64>,
    /// Memory for large answers that clients have not taken yet; at least one answer of the API, up to four
    /// times body_bytes_max in JSON [default: as for bodies]
    #[arg(long, value_name = "BYTES")]
    pub answers_bytes_max: Option<usize>,
    /// Memory of guests, over all calls and idle instances [default: a quarter of the memory that there is, or
    /// that the cgroup may take: at least one call of the API with the longest body, at most 8589934592]
    #[arg(long, value_name = "BYTES")]
    pub guests_bytes_max: Option<usize>,
    /// How long a shutdown goes on serving, new connections too, while /readyz tells that it is not ready;
    /// for balancers that need a while to see it. Only then what runs is finished [default: 0]
    #[arg(long, value_name = "MS")]
    pub shutdown_delay_ms: Option<u64>,
    /// How long a shutdown waits for what runs [default: 10000]
    #[arg(long, value_name = "MS")]
    pub drain_ms_max: Option<u64>,
    /// Whether /metrics is there, for Prometheus; without the admin token only on a loopback address [default: true]
    #[arg(long, value_name = "true|false")]
    pub metrics: Option<bool>,
    /// Room for data; above it writes answer 507 [default: what the disk holds]
    #[arg(long, value_name = "BYTES")]
    pub storage_bytes_max: Option<u64>,
    /// The admin token, which is no flag: others could see it there.
    #[arg(skip)]
    pub admin_token: Option<String>,
    /// Guests and their paths; the file alone has them.
    #[arg(skip)]
    #[serde(default)]
    pub mount: Vec<FileMount>,
}

impl Settings {
    /// These, and those of a source that they overrule where they say nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        macro_rules! first {
            ($($name:ident),*) => {
                Self {
                    $($name: self.$name.or(below.$name),)*
                    mount: if self.mount.is_empty() { below.mount } else { self.mount },
                }
            };
        }
        first!(
            listen,
            tls_certificate,
            tls_key,
            plain_http,
            data,
            config,
            api,
            log,
            log_format,
            workers,
            connections_max,
            calls_max,
            call_wait_ms_max,
            header_ms_max,
            idle_ms_max,
            body_ms_max,
            body_bytes_max,
            bodies_bytes_max,
            answer_ms_max,
            answers_bytes_max,
            guests_bytes_max,
            shutdown_delay_ms,
            drain_ms_max,
            metrics,
            storage_bytes_max,
            admin_token
        )
    }

    /// The same with all paths as their source means them.
    pub fn based(mut self, base: Base<'_>) -> Result<Self, ConfigError> {
        for (key, path) in [
            ("tls_certificate", &mut self.tls_certificate),
            ("tls_key", &mut self.tls_key),
            ("data", &mut self.data),
            ("config", &mut self.config),
            ("api", &mut self.api),
        ] {
            if let Some(given) = path.take() {
                *path = Some(base.path(key, given)?);
            }
        }
        self.mount =
            self.mount.into_iter().map(|mount| mount.based(base)).collect::<Result<_, _>>()?;
        Ok(self)
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
