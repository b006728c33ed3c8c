//! Flags, variables and file become one [`Config`], complete and valid, or an error that names the
//! key. Nothing after this looks at where a setting came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory;
use serde::Deserialize;

use crate::auth::Token;
use crate::cli::{Cli, LogFormat, ServeArgs};
use crate::http::connection::ConnectionLimits;
use crate::http::{Auth, HttpLimits};
use crate::runtime::{Access, Limits};
use crate::storage;
use crate::workers::Workers;

/// Names the built-in API where a component's file could stand.
pub const BUILTIN_API: &str = "builtin:api";
/// The world that all guests are of, so far.
const WORLD: &str = "larder:guest/handler";
const VARIABLE_PREFIX: &str = "LARDER_";
const TOKEN_VARIABLE: &str = "LARDER_ADMIN_TOKEN";
/// Paths that are the host's own: no guest is mounted on them, or answers them.
pub const HOST_PATHS: [&str; 4] = ["/livez", "/readyz", "/metrics", "/larder"];
const API_HEALTH: [&str; 2] = ["/api/v1.health.ping", "/api/v1.health.ready"];
/// The built-in API keeps nothing between calls; a new instance now and then keeps memory tidy.
const API_INSTANCE_CALLS_MAX: u32 = 1_000_000;
const API_MEMORY_BYTES_MAX: usize = 128 << 20;
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
    /// Limits of the store.
    pub storage: storage::Options,
    /// Guests and their paths.
    pub mounts: Vec<Mount>,
}

/// A guest to be mounted.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Names the guest in logs and errors.
    pub name: String,
    /// The path prefix.
    pub prefix: String,
    /// Where the component is.
    pub component: Component,
    /// Namespaces that it may reach.
    pub namespaces: BTreeMap<String, Access>,
    /// How callers are judged.
    pub auth: Auth,
    /// Paths that are served under overload too.
    pub health: Vec<String>,
    /// The guest's limits.
    pub limits: Limits,
}

/// Where a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Component {
    /// In this program.
    BuiltinApi,
    /// In a file.
    File(PathBuf),
}

impl Component {
    /// The component's bytes.
    pub fn read(&self, builtin: &'static [u8]) -> Result<Arc<[u8]>, ConfigError> {
        match self {
            Component::BuiltinApi => Ok(builtin.into()),
            Component::File(path) => match fs::read(path) {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) => fail(format!("component {}: {error}", path.display())),
            },
        }
    }
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
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
    drain_ms_max: Option<u64>,
    storage_bytes_max: Option<u64>,
    #[serde(default)]
    mount: Vec<FileMount>,
}

/// A `[[mount]]` of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMount {
    prefix: String,
    component: String,
    name: Option<String>,
    world: Option<String>,
    #[serde(default)]
    namespaces: BTreeMap<String, Access>,
    auth: Option<Auth>,
    #[serde(default)]
    health: Vec<String>,
    call_ms_max: Option<u64>,
    memory_bytes_max: Option<usize>,
    host_calls_max: Option<u32>,
    host_bytes_max: Option<usize>,
    answer_bytes_max: Option<usize>,
    instance_calls_max: Option<u32>,
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
        let at_file = |path: PathBuf| file_dir.join(path);
        // Both are checked, also the one that is overruled.
        let of_file = file.admin_token.map(|token| parse_token(&token, "admin_token"));
        let of_variable = token.map(|token| parse_token(&token, TOKEN_VARIABLE));
        let admin_token = of_variable.transpose()?.or(of_file.transpose()?);
        let body_bytes_max = args.body_bytes_max.or(file.body_bytes_max).unwrap_or(8 << 20);
        let bodies_bytes_max = args.bodies_bytes_max.or(file.bodies_bytes_max).unwrap_or(512 << 20);
        check("body_bytes_max", body_bytes_max, 1..=64 << 20)?;
        check("bodies_bytes_max", bodies_bytes_max as u64, body_bytes_max..=1 << 40)?;
        let calls_max = count("calls_max", args.calls_max.or(file.calls_max), 1024, 16 << 10)?;
        let wait = args.call_wait_ms_max.or(file.call_wait_ms_max);
        let body_time = args.body_ms_max.or(file.body_ms_max);
        let header_time = args.header_ms_max.or(file.header_ms_max);
        let idle_time = args.idle_ms_max.or(file.idle_ms_max);
        let http = HttpLimits {
            calls_max,
            calls_waiting_max: 4 * calls_max,
            call_wait_max: duration("call_wait_ms_max", wait, 1000)?,
            body_bytes_max,
            bodies_bytes_max,
            body_time_max: duration("body_ms_max", body_time, 30_000)?,
        };
        let connection = ConnectionLimits {
            header_time_max: duration("header_ms_max", header_time, 10_000)?,
            idle_time_max: duration("idle_ms_max", idle_time, 75_000)?,
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let connections = args.connections_max.or(file.connections_max);
        let drain_time = args.drain_ms_max.or(file.drain_ms_max);
        let api = args.api.or(file.api.map(at_file));
        Ok(Self {
            listen: args.listen.or(file.listen).unwrap_or(([127, 0, 0, 1], 8624).into()),
            data: args.data.or(file.data.map(at_file)).unwrap_or("data".into()),
            admin_token,
            log: args.log.or(file.log).unwrap_or("info".to_owned()),
            log_format: args.log_format.or(file.log_format).unwrap_or(LogFormat::Auto),
            workers: Workers {
                count: count("workers", args.workers.or(file.workers), cores, 1024)?,
                connections_max: count("connections_max", connections, 10_000, 1 << 20)?,
                connection,
                drain_time_max: duration("drain_ms_max", drain_time, 10_000)?,
            },
            http,
            storage: storage_options(
                args.storage_bytes_max.or(file.storage_bytes_max),
                body_bytes_max,
            )?,
            mounts: mounts(file.mount, &Api { replaced_by: api, body_bytes_max }, &file_dir)?,
        })
    }
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
    match toml::from_str(&text) {
        Ok(file) => Ok((file, dir)),
        Err(error) => fail(format!("{}: {error}", path.display())),
    }
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

/// What the API's mount depends on.
struct Api {
    /// A component in place of the built-in one.
    replaced_by: Option<PathBuf>,
    body_bytes_max: u64,
}

/// The file's mounts, and the built-in API unless one of them is it or takes its place.
fn mounts(found: Vec<FileMount>, api: &Api, file_dir: &Path) -> Result<Vec<Mount>, ConfigError> {
    let mut mounts: Vec<Mount> = Vec::new();
    for mount in found {
        if let Some(other) = mounts.iter().find(|other| other.prefix == mount.prefix) {
            let FileMount { prefix, component, .. } = mount;
            return fail(format!(
                "mount.prefix = {prefix:?}: {component:?} cannot be mounted where {:?} is already",
                other.name
            ));
        }
        if api.replaced_by.is_some() && mount.prefix == "/api" && mount.component != BUILTIN_API {
            return fail(
                "api: the file mounts a component of its own at /api; leave one of them out",
            );
        }
        mounts.push(resolve_mount(mount, api, file_dir)?);
    }
    if !mounts.iter().any(|mount| mount.prefix == "/api") {
        mounts.push(api_mount(api));
    }
    Ok(mounts)
}

/// The built-in API as it is mounted unless the file says otherwise.
fn api_mount(api: &Api) -> Mount {
    let limits = Limits::default();
    let body_bytes_max = usize::try_from(api.body_bytes_max).unwrap_or(usize::MAX);
    let limits = Limits {
        instance_calls_max: API_INSTANCE_CALLS_MAX,
        // As JSON a byte takes up to four, and the guest holds value and text at once.
        memory_bytes_max: (12 * body_bytes_max).max(API_MEMORY_BYTES_MAX),
        host_bytes_max: (6 * body_bytes_max).max(limits.host_bytes_max),
        answer_bytes_max: (6 * body_bytes_max).max(limits.answer_bytes_max),
        ..limits
    };
    Mount {
        name: "api".to_owned(),
        prefix: "/api".to_owned(),
        component: api.replaced_by.clone().map_or(Component::BuiltinApi, Component::File),
        namespaces: [("*".to_owned(), Access::Write)].into(),
        auth: Auth::Guest,
        health: API_HEALTH.map(str::to_owned).into(),
        limits,
    }
}

fn resolve_mount(mount: FileMount, api: &Api, file_dir: &Path) -> Result<Mount, ConfigError> {
    check_prefix(&mount.prefix)?;
    if let Some(world) = mount.world.filter(|world| world != WORLD) {
        return fail(format!("mount.world = {world:?}: only {WORLD:?} is served"));
    }
    let builtin = mount.component == BUILTIN_API;
    if builtin && mount.prefix != "/api" {
        return fail(format!(
            "mount.prefix = {:?}: {BUILTIN_API} answers below /api only",
            mount.prefix
        ));
    }
    let base = if builtin {
        api_mount(api)
    } else {
        let path = file_dir.join(&mount.component);
        let name =
            path.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into_owned());
        let (component, limits) = (Component::File(path), Limits::default());
        let (namespaces, health) = (BTreeMap::new(), Vec::new());
        Mount {
            name,
            prefix: String::new(),
            component,
            namespaces,
            auth: Auth::Required,
            health,
            limits,
        }
    };
    for name in mount.namespaces.keys() {
        if let Err(error) = storage::NamespaceName::new(name) {
            return fail(format!("mount.namespaces.{name:?}: {error}"));
        }
    }
    let or = |given: Option<usize>, default| given.unwrap_or(default);
    let limits = Limits {
        call_time_max: match mount.call_ms_max {
            Some(_) => duration("mount.call_ms_max", mount.call_ms_max, 0)?,
            None => base.limits.call_time_max,
        },
        memory_bytes_max: or(mount.memory_bytes_max, base.limits.memory_bytes_max),
        host_calls_max: mount.host_calls_max.unwrap_or(base.limits.host_calls_max),
        host_bytes_max: or(mount.host_bytes_max, base.limits.host_bytes_max),
        answer_bytes_max: or(mount.answer_bytes_max, base.limits.answer_bytes_max),
        instance_calls_max: mount.instance_calls_max.unwrap_or(base.limits.instance_calls_max),
    };
    check("mount.memory_bytes_max", limits.memory_bytes_max as u64, 64 << 10..=4 << 30)?;
    check("mount.instance_calls_max", limits.instance_calls_max.into(), 1..=u32::MAX.into())?;
    Ok(Mount {
        name: mount.name.unwrap_or(base.name),
        prefix: mount.prefix,
        component: base.component,
        namespaces: if mount.namespaces.is_empty() { base.namespaces } else { mount.namespaces },
        auth: mount.auth.unwrap_or(base.auth),
        health: if mount.health.is_empty() { base.health } else { mount.health },
        limits,
    })
}

fn check_prefix(prefix: &str) -> Result<(), ConfigError> {
    let wrong = |why: &str| fail(format!("mount.prefix = {prefix:?}: {why}"));
    if !prefix.starts_with('/') {
        return wrong("a prefix begins with a slash");
    }
    if prefix != "/" && (prefix.ends_with('/') || prefix.contains("//")) {
        return wrong("a prefix has no empty parts and no slash at its end");
    }
    if !prefix.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%\"<>\\^`{|}".contains(&byte)) {
        return wrong("a prefix is a plain path, without query or encoded characters");
    }
    if let Some(path) = HOST_PATHS.iter().find(|path| is_under(prefix, path)) {
        return wrong(&format!("{path} is the server's own"));
    }
    Ok(())
}

/// Whether `path` is `prefix` or lies below it.
pub fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
