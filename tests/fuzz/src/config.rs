//! The target `config`: the text of a configuration file. It is refused with a word about where, or
//! every setting is what the text says, or its default, and in its range.

use std::path::Path;
use std::time::Duration;

use larder::config::{Component, Config, ConfigError, Mount};
use larder::gateway::{HOST_PATHS, Origins, is_under};
use toml::{Table, Value};

use crate::target::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "config",
    input_bytes_max: 512,
    judge: |text| judge(text, &|text| Config::of_text(text, Path::new("dir"))),
};

/// What resolves a text, under test.
pub type Resolve = dyn Fn(&str) -> Result<Config, ConfigError>;

const ANSWER_BYTES_MAX: usize = 1 << 40;
const MS_MAX: u64 = 366 * 24 * 60 * 60 * 1000;

/// A setting that is a number: its name, least, most, default, and where it went.
type Number = (&'static str, u64, u64, u64, fn(&Config) -> u64);

/// All of them, as docs/settings.md and `larder serve --help` tell them.
const NUMBERS: [Number; 16] = [
    ("workers", 1, 1024, 0, |config| config.workers.count as u64),
    ("connections_max", 1, 1 << 20, 10_000, |config| config.workers.connections_max as u64),
    ("calls_max", 1, 16 << 10, 1024, |config| config.http.calls_max as u64),
    ("call_wait_ms_max", 1, MS_MAX, 1000, |config| ms(config.http.call_wait_max)),
    ("header_ms_max", 1, MS_MAX, 10_000, |config| ms(config.workers.connection.header_time_max)),
    ("idle_ms_max", 1, MS_MAX, 75_000, |config| ms(config.workers.connection.idle_time_max)),
    ("body_ms_max", 1, MS_MAX, 30_000, |config| ms(config.http.body_time_max)),
    ("body_bytes_max", 1, 64 << 20, 8 << 20, |config| config.http.body_bytes_max),
    ("bodies_bytes_max", 1, 1 << 40, 512 << 20, |config| config.http.bodies_bytes_max as u64),
    ("answer_ms_max", 1, MS_MAX, 60_000, |config| ms(config.workers.connection.answer_time_max)),
    ("answers_bytes_max", 1, 1 << 40, 512 << 20, |config| config.http.answers_bytes_max as u64),
    ("guests_bytes_max", 1, 1 << 40, 8 << 30, |config| config.guests_bytes_max as u64),
    ("shutdown_delay_ms", 0, MS_MAX, 0, |config| ms(config.shutdown_delay)),
    ("drain_ms_max", 1, MS_MAX, 10_000, |config| ms(config.workers.drain_time_max)),
    ("storage_bytes_max", 1 << 20, 1 << 46, 0, |config| config.storage.bytes_max.unwrap_or(0)),
    ("metrics", 0, 1, 1, |config| config.metrics.into()),
];

/// The other settings, and those of mounts.
const OTHERS: [&str; 29] = [
    "listen",
    "tls_certificate",
    "tls_key",
    "plain_http",
    "data",
    "admin_token",
    "api",
    "plain_kv",
    "log",
    "log_format",
    "mount",
    "prefix",
    "component",
    "name",
    "world",
    "namespaces",
    "auth",
    "cors_origins",
    "health",
    "operations",
    "call_ms_max",
    "memory_bytes_max",
    "host_calls_max",
    "host_bytes_max",
    "answer_bytes_max",
    "instance_calls_max",
    "cpu_percent_max",
    "metrics",
    "workers",
];

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Tries a text.
///
/// # Errors
/// What was promised and did not hold.
pub fn judge(text: &[u8], resolve: &Resolve) -> Result<(), String> {
    // The file is read as UTF-8, so nothing else comes so far.
    let Ok(text) = std::str::from_utf8(text) else {
        return Ok(());
    };
    let table = text.parse::<Table>();
    match (resolve(text), table) {
        (Ok(config), Ok(table)) => {
            numbers(&config, &table)?;
            others(&config, &table)?;
            origins(&config, &table)?;
            config.mounts.iter().try_for_each(|mount| mount_is_valid(mount, &config.mounts))
        }
        (Ok(_), Err(error)) => Err(format!("it was taken, and is no TOML: {error}")),
        (Err(error), table) => {
            refused(&error.to_string())?;
            match table {
                Ok(table) if is_plain_and_valid(&table) => Err(format!("refused: {error}")),
                _ => Ok(()),
            }
        }
    }
}

/// A refusal names a setting, or the line that holds it.
fn refused(error: &str) -> Result<(), String> {
    let names = NUMBERS.iter().map(|number| number.0).chain(OTHERS);
    let line = error.strip_prefix("TOML parse error at line ");
    let line = line.is_some_and(|line| line.starts_with(|digit: char| digit.is_ascii_digit()));
    if line || names.into_iter().any(|name| error.contains(name)) {
        return Ok(());
    }
    Err(format!("it names no setting: {error}"))
}

fn numbers(config: &Config, table: &Table) -> Result<(), String> {
    for (name, least, most, default, read) in NUMBERS {
        let found = read(config);
        let told = match table.get(name) {
            Some(Value::Integer(told)) => u64::try_from(*told).ok(),
            Some(Value::Boolean(told)) => Some((*told).into()),
            Some(other) => return Err(format!("{name} = {other:?}, and it was taken")),
            None => None,
        };
        // As many workers as cores, and no bound on storage: these have no number for a default. Others
        // follow what was told: a body fits the store, and room for answers those of mounts.
        let wanted = told.or((default > 0).then_some(default));
        let follows = told.is_none()
            && match name {
                "body_bytes_max" => found < default,
                "answers_bytes_max" => found > default,
                _ => false,
            };
        if wanted.is_some_and(|wanted| wanted != found) && !follows {
            return Err(format!("{name} is {found}, not {wanted:?}"));
        }
        if (told.is_some() || default > 0) && !(least..=most).contains(&found) {
            return Err(format!("{name} is {found}, not from {least} to {most}"));
        }
    }
    let one = value_bytes_max(config);
    if config.workers.count == 0
        || config.storage.bytes_max.is_some_and(|most| most < config.http.body_bytes_max)
        || config.http.bodies_bytes_max < one
        || config.http.answers_bytes_max < one
    {
        return Err("no worker, or no room for one value, body or answer".to_owned());
    }
    if config.storage.value_bytes_max != one {
        return Err("a value may be longer or shorter than a body".to_owned());
    }
    Ok(())
}

fn value_bytes_max(config: &Config) -> usize {
    usize::try_from(config.http.body_bytes_max).unwrap_or(usize::MAX)
}

fn others(config: &Config, table: &Table) -> Result<(), String> {
    let flag = |name: &str| table.get(name).and_then(Value::as_bool).unwrap_or(false);
    let loopback = config.listen.ip().to_canonical().is_loopback();
    if !loopback && config.tls.is_none() && !flag("plain_http") {
        return Err(format!("it listens at {} in the clear", config.listen));
    }
    if config.tls.is_some() != table.contains_key("tls_certificate")
        || config.tls.is_some() != table.contains_key("tls_key")
    {
        return Err("TLS with half of what it needs".to_owned());
    }
    let token = table.get("admin_token").and_then(Value::as_str);
    let visible =
        |token: &str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if token.is_some_and(|token| !visible(token)) || token.is_some() != config.admin_token.is_some()
    {
        return Err("a token that no header can carry, or none".to_owned());
    }
    let mounts = table.get("mount").and_then(Value::as_array).map_or(0, Vec::len);
    let at = |prefix| config.mounts.iter().filter(|mount| mount.prefix == prefix).count();
    let (apis, plain_faces, all) = (at("/api"), at("/kv"), config.mounts.len());
    let has_plain_face = table.get("plain_kv").and_then(Value::as_bool).unwrap_or(true);
    if apis != 1 || (has_plain_face && plain_faces == 0) || !(mounts..=mounts + 2).contains(&all) {
        return Err(format!("{all} mounts of {mounts}, {apis} at /api, {plain_faces} at /kv"));
    }
    Ok(())
}

/// Whose pages may come in: as told, of the mount or else of the server, but to no guest unasked.
fn origins(config: &Config, table: &Table) -> Result<(), String> {
    let told = |table: &Table| {
        let listed = table.get("cors_origins")?.as_array()?;
        Some(listed.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect::<Vec<_>>())
    };
    let check = |found: &Origins, wanted: &[String]| {
        let alone = wanted.len() == 1;
        let whole = |origin: &String| {
            let (_, rest) = origin.split_once("://").unwrap_or_default();
            let plain =
                rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@*".contains(&byte));
            !rest.is_empty() && plain && *origin == origin.to_ascii_lowercase()
        };
        if !found.iter().eq(wanted) {
            return Err(format!("origins are {found:?}, not {wanted:?}"));
        }
        match wanted.iter().find(|one| *one != "null" && !(alone && *one == "*") && !whole(one)) {
            Some(origin) => Err(format!("no browser sends the origin {origin:?}")),
            None => Ok(()),
        }
    };
    let server = told(table).unwrap_or_default();
    check(&config.cors_origins, &server)?;
    let tables = table.get("mount").and_then(Value::as_array).into_iter().flatten();
    let own = tables.map(|mount| mount.as_table().and_then(told)).chain([None]);
    config.mounts.iter().zip(own).try_for_each(|(mount, own)| {
        let default = || match mount.component {
            Component::BuiltinApi => server.clone(),
            Component::File(_) => Vec::new(),
        };
        check(&mount.cors_origins, &own.unwrap_or_else(default))
    })
}

fn mount_is_valid(mount: &Mount, all: &[Mount]) -> Result<(), String> {
    let Mount { prefix, limits, .. } = mount;
    let wrong = |what: &str| Err(format!("{what}: {mount:?}"));
    let whole = prefix == "/"
        || prefix
            .strip_prefix('/')
            .is_some_and(|parts| parts.split('/').all(|part| !part.is_empty()));
    let plain =
        prefix.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%\"<>\\^`{|}".contains(&byte));
    if !whole || !plain || HOST_PATHS.iter().any(|path| is_under(prefix, path)) {
        return wrong("a prefix that cannot be");
    }
    if all.iter().filter(|other| other.prefix == *prefix).count() != 1 {
        return wrong("a prefix that is there twice");
    }
    if !(64 << 10..=4 << 30).contains(&limits.memory_bytes_max) || limits.instance_calls_max == 0 {
        return wrong("a limit out of its range");
    }
    if !(1..=100).contains(&limits.cpu_percent_max) || mount.calls_max == Some(0) {
        return wrong("a share that is none, or more than all");
    }
    let answer = limits.answer_bytes_max;
    if answer > ANSWER_BYTES_MAX {
        return wrong("an answer for which there is never room");
    }
    if limits.call_time_max.is_zero() || ms(limits.call_time_max) > MS_MAX {
        return wrong("a time out of its range");
    }
    if mount.namespaces.keys().any(|name| name.is_empty() || name.len() > 256) {
        return wrong("a namespace that cannot be");
    }
    let label =
        |path: &String| path.len() <= 64 && path.bytes().all(|byte| byte.is_ascii_graphic());
    let below = |path: &String| prefix == "/" || is_under(path, prefix);
    if mount.operations.len() > 64
        || !mount.operations.iter().all(|path| label(path) && below(path))
    {
        return wrong("an operation that cannot be a label");
    }
    Ok(())
}

/// Whether the text holds nothing but numbers in their ranges, which must be taken.
fn is_plain_and_valid(table: &Table) -> bool {
    let number = |name: &str| table.get(name).and_then(Value::as_integer);
    let storage = number("storage_bytes_max").unwrap_or(i64::MAX);
    let body = number("body_bytes_max").unwrap_or(storage.min(8 << 20));
    let room = |name| number(name).unwrap_or(512 << 20);
    let answer = body.saturating_mul(4).saturating_add(4 << 10);
    let call = body.saturating_mul(8).saturating_add(4 << 20);
    let fits = body <= storage
        && body <= room("bodies_bytes_max")
        && answer <= room("answers_bytes_max")
        && number("guests_bytes_max").is_none_or(|guests| call <= guests);
    let known = |(name, value): (&String, &Value)| {
        let Some((_, least, most, ..)) = NUMBERS.iter().find(|number| number.0 == *name) else {
            return false;
        };
        match value {
            Value::Integer(value) if name != "metrics" => {
                u64::try_from(*value).is_ok_and(|value| (*least..=*most).contains(&value))
            }
            Value::Boolean(_) => name == "metrics",
            _ => false,
        }
    };
    fits && table.iter().all(known)
}
