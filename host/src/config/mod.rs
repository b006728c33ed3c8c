//! Flags, variables and file become one [`Config`], complete and valid, or an error that names the
//! key. Nothing after this looks at where a setting came from.

mod checks;
#[cfg(test)]
mod documented;
mod file_mount;
mod listen;
mod memory;
mod mounts;
mod paths;
mod prefixes;
mod settings;
mod sizes;
mod sources;
mod table;
mod units;
mod variables;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::checks::ConfigError;
use self::checks::fail;
pub use self::file_mount::BUILTIN_API;
use self::listen::ListenAddress;
pub use self::memory::{LimitOf, MemoryLimit};
pub use self::mounts::{Component, Mount};
use self::settings::{DATA_DIR, WORKERS_MAX};
pub use self::settings::{DataArgs, Settings};
use self::sizes::Sizes;
pub use self::sources::data_dir;
use crate::auth::Token;
use crate::gateway::{HttpLimits, Origins};
use crate::net::connection::ConnectionLimits;
use crate::net::tls::TlsFiles;
use crate::net::workers::Workers;
use crate::process::logging::{LogFilter, LogFormat};
use crate::storage;

/// All settings, valid.
#[derive(Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// TLS, unless plain HTTP is served.
    pub tls: Option<TlsFiles>,
    /// The data directory.
    pub data: PathBuf,
    /// The admin token, if one was given.
    pub admin_token: Option<Token>,
    /// What is logged.
    pub log: LogFilter,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Worker threads, and how they serve connections.
    pub workers: Workers,
    /// How long a shutdown goes on serving while the server is not ready.
    pub shutdown_delay: Duration,
    /// Limits of the request path.
    pub http: HttpLimits,
    /// Memory of guests, over all calls and idle instances.
    pub guests_bytes_max: usize,
    /// Origins whose pages may use the server's own paths; each mount has its own.
    pub cors_origins: Origins,
    /// Whether metrics can be read.
    pub metrics: bool,
    /// Limits of the store.
    pub storage: storage::Options,
    /// This program, to compile strangers' guests in processes of their own; without it they are
    /// compiled in this process.
    pub compiler: Option<PathBuf>,
    /// Guests and their paths.
    pub mounts: Vec<Mount>,
    /// The memory that sizes were taken from, where that is known.
    pub memory: Option<MemoryLimit>,
    /// What is no error, but hardly meant.
    warnings: Vec<String>,
}

impl Config {
    /// Resolves flags, the process's variables and the file.
    pub fn resolve(
        flags: Settings,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let (given, near_misses) = sources::read(flags, variables)?;
        let mut config = Self::of_settings(given, MemoryLimit::of_this_process())?;
        config.warnings.extend(near_misses);
        Ok(config)
    }

    /// Resolves the text of a file alone, whose paths count from `dir`, on a machine of any size.
    pub fn of_text(text: &str, dir: &Path) -> Result<Self, ConfigError> {
        Self::of_settings(sources::read_text(text, dir)?, None)
    }

    fn of_settings(given: Settings, memory: Option<MemoryLimit>) -> Result<Self, ConfigError> {
        given.check_ranges()?;
        let sizes = Sizes::resolve(&given, memory.as_ref())?;
        let ListenAddress(listen) = given.listen();
        let tls = tls_files(&given)?;
        check_exposure(listen, &tls, given.plain_http())?;
        let plain_kv = given.plain_kv();
        let log = given.log().parse().map_err(|why: String| ConfigError::new(why))?;
        let cors_origins = given.cors_origins.clone().unwrap_or_default();
        let mut config = Self {
            listen,
            tls,
            admin_token: checks::token(given.admin_token.as_deref(), "admin_token")?,
            log,
            log_format: given.log_format(),
            workers: workers(&given, sizes),
            shutdown_delay: Duration::from_millis(given.shutdown_delay_ms()),
            http: http_limits(&given, sizes),
            guests_bytes_max: usize::try_from(sizes.guests).unwrap_or(usize::MAX),
            metrics: given.metrics(),
            storage: storage::Options {
                bytes_max: sizes.storage,
                value_bytes_max: usize::try_from(sizes.body).unwrap_or(usize::MAX),
                ..storage::Options::default()
            },
            compiler: None,
            data: given.data.unwrap_or(DATA_DIR.into()),
            mounts: mounts::resolve(
                given.mount.unwrap_or_default(),
                &mounts::Server {
                    plain_kv,
                    api: given.api,
                    sizes,
                    cors_origins: cors_origins.clone(),
                },
            )?,
            cors_origins,
            memory,
            warnings: Vec::new(),
        };
        config.warnings = config.without_effect();
        Ok(config)
    }

    /// Settings that may stand together, but of which one keeps another from having its effect.
    fn without_effect(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (drain, body) = (self.workers.drain_time_max, self.storage.value_bytes_max);
        for mount in &self.mounts {
            let Mount { name, calls_max, limits, .. } = mount;
            if limits.call_time_max > drain {
                found.push(format!(
                    "mount {name:?}: a call may take {} ms (mount.call_ms_max), and a shutdown waits {} \
                     (drain_ms_max): calls that take longer are cut short",
                    limits.call_time_max.as_millis(),
                    drain.as_millis()
                ));
            }
            if let Some(calls) = calls_max.filter(|calls| *calls > self.http.calls_max) {
                found.push(format!(
                    "mount {name:?}: mount.calls_max = {calls} has no effect: all mounts together have \
                     calls_max = {}",
                    self.http.calls_max
                ));
            }
            for (key, bytes) in mount.limits_of_values().filter(|(_, bytes)| *bytes < body) {
                found.push(format!(
                    "mount {name:?}: mount.{key} = {bytes} is less than the longest value \
                     (body_bytes_max = {body}): calls that hold one{} fail",
                    if mount.is_plain_face() { "" } else { " in JSON" }
                ));
            }
        }
        found
    }

    /// Writes to the log what an operator should know of the settings.
    pub fn log(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(MemoryLimit { bytes, of }) = &self.memory {
            tracing::info!(
                memory_bytes = bytes,
                memory_of = %of,
                bodies_bytes_max = self.http.bodies_bytes_max,
                answers_bytes_max = self.http.answers_bytes_max,
                guests_bytes_max = self.guests_bytes_max,
                connections_max = self.workers.connections_max,
                "room by default: of this memory an eighth for large bodies, as much for large answers, and a \
                 quarter for guests; a connection for each 512 KiB"
            );
        }
    }
}

fn http_limits(given: &Settings, sizes: Sizes) -> HttpLimits {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    HttpLimits {
        calls_max: given.calls_max(),
        calls_waiting_max: 4 * given.calls_max(),
        call_wait_max: Duration::from_millis(given.call_wait_ms_max()),
        body_bytes_max: sizes.body,
        bodies_bytes_max: bytes(sizes.bodies),
        body_time_max: Duration::from_millis(given.body_ms_max()),
        answers_bytes_max: bytes(sizes.answers),
    }
}

fn workers(given: &Settings, sizes: Sizes) -> Workers {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    Workers {
        count: given.workers.unwrap_or_else(|| cores().min(WORKERS_MAX as usize)),
        connections_max: usize::try_from(sizes.connections).unwrap_or(usize::MAX),
        connection: ConnectionLimits {
            header_time_max: Duration::from_millis(given.header_ms_max()),
            idle_time_max: Duration::from_millis(given.idle_ms_max()),
            answer_time_max: Duration::from_millis(given.answer_ms_max()),
            streams_max: u32::try_from(sizes.streams).unwrap_or(u32::MAX),
        },
        tls: None,
        drain_time_max: Duration::from_millis(given.drain_ms_max()),
    }
}

/// Both files, or neither.
fn tls_files(given: &Settings) -> Result<Option<TlsFiles>, ConfigError> {
    match (given.tls_certificate.clone(), given.tls_key.clone()) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => fail("tls_certificate: its private key is missing; set tls_key too"),
        (None, Some(_)) => fail("tls_key: its certificate is missing; set tls_certificate too"),
    }
}

/// Tokens and data travel in the clear over a network only when that was asked for by name.
fn check_exposure(
    listen: SocketAddr,
    tls: &Option<TlsFiles>,
    plain_http: bool,
) -> Result<(), ConfigError> {
    if tls.is_some() || plain_http || listen.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    fail(format!(
        "listen = {listen}: other machines reach it, and without TLS tokens and data would travel in \
         the clear; set tls_certificate and tls_key, or plain_http = true where a proxy in front has TLS"
    ))
}
