//! Flags, variables and file become one [`Config`], complete and valid, or an error that names the
//! key. Nothing after this looks at where a setting came from.

mod mounts;

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::CommandFactory;
use serde::Deserialize;

use self::mounts::{Api, FileMount};
pub use self::mounts::{BUILTIN_API, Component, HOST_PATHS, Mount, is_under};
use crate::auth::Token;
use crate::cli::{Cli, DataArgs, LogFormat, ServeArgs};
use crate::http::HttpLimits;
use crate::http::connection::ConnectionLimits;
use crate::storage;
use crate::tls::TlsFiles;
use crate::workers::Workers;

const VARIABLE_PREFIX: &str = "LARDER_";
const TOKEN_VARIABLE: &str = "LARDER_ADMIN_TOKEN";
const DATA_DEFAULT: &str = "data";
/// No limit of calls is higher: each takes address space.
const CALLS_MAX: usize = 16 << 10;
/// No configured duration is longer than this: a year.
const MS_MAX: u64 = 366 * 24 * 60 * 60 * 1000;

/// Why the configuration cannot be used. Names the key and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

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
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Worker threads, and how they serve connections.
    pub workers: Workers,
    /// Limits of the request path.
    pub http: HttpLimits,
    /// Whether metrics can be read.
    pub metrics: bool,
    /// Limits of the store.
    pub storage: storage::Options,
    /// This program, to compile strangers' guests in processes of their own; without it they are
    /// compiled in this process.
    pub compiler: Option<PathBuf>,
    /// Guests and their paths.
    pub mounts: Vec<Mount>,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    plain_http: Option<bool>,
    data: Option<PathBuf>,
    admin_token: Option<String>,
    api: Option<PathBuf>,
    log: Option<String>,
    log_format: Option<LogFormat>,
    workers: Option<usize>,
    connections_max: Option<usize>,
    calls_max: Option<usize>,
    call_wait_ms_max: Option<u64>,
    header_ms_max: Option<u64>,
    idle_ms_max: Option<u64>,
    body_ms_max: Option<u64>,
    body_bytes_max: Option<u64>,
    bodies_bytes_max: Option<usize>,
    answer_ms_max: Option<u64>,
    answers_bytes_max: Option<usize>,
    drain_ms_max: Option<u64>,
    metrics: Option<bool>,
    storage_bytes_max: Option<u64>,
    #[serde(default)]
    mount: Vec<FileMount>,
}

fn fail<T>(message: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError(message.into()))
}

impl Config {
    /// Resolves flags (with the variables that clap has read into them), the other variables and
    /// the file.
    pub fn resolve(
        args: ServeArgs,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let token = check_variables(variables)?;
        let (file, file_dir) = read_file(args.config.as_deref())?;
        Self::merge(args, token, file, &file_dir)
    }

    /// Resolves the text of a file alone, whose paths count from `dir`.
    pub fn of_text(text: &str, dir: &Path) -> Result<Self, ConfigError> {
        Self::merge(ServeArgs::default(), None, parse_file(text)?, dir)
    }

    fn merge(
        args: ServeArgs,
        token: Option<String>,
        file: File,
        file_dir: &Path,
    ) -> Result<Self, ConfigError> {
        let at_file = |path: PathBuf| file_dir.join(path);
        // Both are checked, also the one that is overruled.
        let of_file = file.admin_token.map(|token| parse_token(&token, "admin_token"));
        let of_variable = token.map(|token| parse_token(&token, TOKEN_VARIABLE));
        let admin_token = of_variable.transpose()?.or(of_file.transpose()?);
        let body_bytes_max = args.body_bytes_max.or(file.body_bytes_max).unwrap_or(8 << 20);
        let bodies_bytes_max = args.bodies_bytes_max.or(file.bodies_bytes_max).unwrap_or(512 << 20);
        check("body_bytes_max", body_bytes_max, 1..=storage::VALUE_BYTES_MAX as u64)?;
        check("bodies_bytes_max", bodies_bytes_max as u64, body_bytes_max..=1 << 40)?;
        let answers = args.answers_bytes_max.or(file.answers_bytes_max).unwrap_or(512 << 20);
        check("answers_bytes_max", answers as u64, body_bytes_max..=1 << 40)?;
        let calls_max = count("calls_max", args.calls_max.or(file.calls_max), 1024, CALLS_MAX)?;
        let wait = args.call_wait_ms_max.or(file.call_wait_ms_max);
        let body_time = args.body_ms_max.or(file.body_ms_max);
        let header_time = args.header_ms_max.or(file.header_ms_max);
        let idle_time = args.idle_ms_max.or(file.idle_ms_max);
        let answer_time = args.answer_ms_max.or(file.answer_ms_max);
        let http = HttpLimits {
            calls_max,
            calls_waiting_max: 4 * calls_max,
            call_wait_max: duration("call_wait_ms_max", wait, 1000)?,
            body_bytes_max,
            bodies_bytes_max,
            body_time_max: duration("body_ms_max", body_time, 30_000)?,
            answers_bytes_max: answers,
        };
        let connection = ConnectionLimits {
            header_time_max: duration("header_ms_max", header_time, 10_000)?,
            idle_time_max: duration("idle_ms_max", idle_time, 75_000)?,
            answer_time_max: duration("answer_ms_max", answer_time, 60_000)?,
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let connections = args.connections_max.or(file.connections_max);
        let drain_time = args.drain_ms_max.or(file.drain_ms_max);
        let api = args.api.or(file.api.map(at_file));
        let listen = args.listen.or(file.listen).unwrap_or(([127, 0, 0, 1], 8624).into());
        let tls = tls_files(
            args.tls_certificate.or(file.tls_certificate.map(at_file)),
            args.tls_key.or(file.tls_key.map(at_file)),
        )?;
        check_exposure(listen, &tls, args.plain_http.or(file.plain_http).unwrap_or(false))?;
        Ok(Self {
            listen,
            tls,
            data: args.data.or(file.data.map(at_file)).unwrap_or(DATA_DEFAULT.into()),
            admin_token,
            log: args.log.or(file.log).unwrap_or("info".to_owned()),
            log_format: args.log_format.or(file.log_format).unwrap_or(LogFormat::Auto),
            workers: Workers {
                count: count("workers", args.workers.or(file.workers), cores, 1024)?,
                connections_max: count("connections_max", connections, 10_000, 1 << 20)?,
                connection,
                tls: None,
                drain_time_max: duration("drain_ms_max", drain_time, 10_000)?,
            },
            http,
            metrics: args.metrics.or(file.metrics).unwrap_or(true),
            storage: storage_options(
                args.storage_bytes_max.or(file.storage_bytes_max),
                body_bytes_max,
            )?,
            compiler: None,
            mounts: mounts::resolve(
                file.mount,
                &Api { replaced_by: api, body_bytes_max },
                file_dir,
            )?,
        })
    }
}

/// Both files, or neither.
fn tls_files(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<TlsFiles>, ConfigError> {
    match (certificate, key) {
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

/// The data directory that a server with these settings would take.
pub fn data_dir(args: DataArgs) -> Result<PathBuf, ConfigError> {
    if let Some(data) = args.data {
        return Ok(data);
    }
    let (file, file_dir) = read_file(args.config.as_deref())?;
    Ok(file.data.map_or(DATA_DEFAULT.into(), |data| file_dir.join(data)))
}

/// Refuses variables that nobody reads, and gives back the token, which is no flag.
fn check_variables(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Option<String>, ConfigError> {
    let command = Cli::command();
    let serve = command.find_subcommand("serve");
    let known: Vec<&str> = serve
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .filter_map(|argument| argument.get_env()?.to_str())
        .collect();
    let mut token = None;
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else {
            continue;
        };
        if name == TOKEN_VARIABLE {
            token = Some(value.into_string().unwrap_or_default());
        } else if !known.contains(&name) {
            return fail(format!(
                "{name}: there is no such setting; the variables are {}, {TOKEN_VARIABLE}",
                known.join(", ")
            ));
        }
    }
    Ok(token)
}

fn parse_token(token: &str, key: &str) -> Result<Token, ConfigError> {
    Token::new(token).ok_or_else(|| {
        ConfigError(format!(
            "{key}: a token is one or more visible ASCII characters, without spaces"
        ))
    })
}

/// Reads the file that was named, or `larder.toml` if it is there. Paths in it count from where
/// it stands.
fn read_file(named: Option<&Path>) -> Result<(File, PathBuf), ConfigError> {
    let path = named.unwrap_or(Path::new("larder.toml"));
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            return Ok((File::default(), PathBuf::new()));
        }
        Err(error) => return fail(format!("{}: {error}", path.display())),
    };
    let dir = path.parent().unwrap_or(Path::new("")).to_owned();
    match parse_file(&text) {
        Ok(file) => Ok((file, dir)),
        Err(error) => fail(format!("{}: {error}", path.display())),
    }
}

fn parse_file(text: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError(error.to_string()))
}

fn check(key: &str, value: u64, range: std::ops::RangeInclusive<u64>) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    fail(format!("{key} = {value}: must be from {} to {}", range.start(), range.end()))
}

fn count(
    key: &str,
    value: Option<usize>,
    default: usize,
    max: usize,
) -> Result<usize, ConfigError> {
    let value = value.unwrap_or(default);
    check(key, value as u64, 1..=max as u64)?;
    Ok(value)
}

fn duration(key: &str, ms: Option<u64>, default_ms: u64) -> Result<Duration, ConfigError> {
    let ms = ms.unwrap_or(default_ms);
    check(key, ms, 1..=MS_MAX)?;
    Ok(Duration::from_millis(ms))
}

fn storage_options(
    bytes_max: Option<u64>,
    body_bytes_max: u64,
) -> Result<storage::Options, ConfigError> {
    if let Some(bytes_max) = bytes_max {
        check("storage_bytes_max", bytes_max, 1 << 20..=1 << 46)?;
    }
    let value_bytes_max = usize::try_from(body_bytes_max).unwrap_or(usize::MAX);
    Ok(storage::Options { bytes_max, value_bytes_max, ..storage::Options::default() })
}
