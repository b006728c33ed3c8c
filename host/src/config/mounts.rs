//! Mounts: from the `[[mount]]`s of the file to guests on paths, with the API among them. Owns the
//! defaults and limits of a mount; which paths it may have is `prefixes`'.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::checks::{ConfigError, fail, in_range};
use super::file_mount::{BUILTIN_API, FileMount};
use super::prefixes::{self, API, PLAIN_FACE, check_prefix};
use super::settings::{CALLS_MAX, MS_MAX, ROOM_BYTES_MAX};
use super::sizes::Sizes;
use crate::auth::access::Access;
use crate::gateway::{Auth, Origins};
use crate::runtime::{COMPONENT_BYTES_MAX, Limits, PERCENT_ALL, Priority};
use crate::storage;

/// The world that all guests are of, so far.
pub const WORLD: &str = "larder:guest/handler";
const API_HEALTH: [&str; 2] = ["/api/v1.health.ping", "/api/v1.health.ready"];
const API_OPERATIONS: [&str; 16] = [
    "/api/v1.health.error",
    "/api/v1.health.ping",
    "/api/v1.health.ready",
    "/api/v1.kv.add",
    "/api/v1.kv.batch",
    "/api/v1.kv.delete",
    "/api/v1.kv.get",
    "/api/v1.kv.get_many",
    "/api/v1.kv.list",
    "/api/v1.kv.namespace.configure",
    "/api/v1.kv.namespace.delete",
    "/api/v1.kv.namespace.get",
    "/api/v1.kv.namespace.list",
    "/api/v1.kv.namespace.usage",
    "/api/v1.kv.set",
    "/api/v1.kv.touch",
];
/// The built-in API keeps nothing between calls; a new instance now and then keeps memory tidy.
const API_INSTANCE_CALLS_MAX: u32 = 1_000_000;
const API_MEMORY_BYTES_MAX: usize = 128 << 20;

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
    /// Origins whose pages may use it.
    pub cors_origins: Origins,
    /// Paths that are served under overload too.
    pub health: Vec<String>,
    /// Paths that metrics count apart.
    pub operations: Vec<String>,
    /// Calls that may run or wait at once; None is all of the server's.
    pub calls_max: Option<usize>,
    /// The guest's limits.
    pub limits: Limits,
    /// Whose processor time it takes.
    pub priority: Priority,
}

impl Mount {
    /// Whether it is the plain face of the built-in API.
    pub fn is_plain_face(&self) -> bool {
        self.component == Component::BuiltinApi && self.prefix == PLAIN_FACE
    }

    /// The limits that a call of the built-in API must have for a value, by their keys. Its plain face takes
    /// none into its memory.
    pub fn limits_of_values(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let Limits { memory_bytes_max, host_bytes_max, answer_bytes_max, .. } = self.limits;
        let is_api = self.component == Component::BuiltinApi;
        let in_memory = ("memory_bytes_max", memory_bytes_max);
        let outside = [("host_bytes_max", host_bytes_max), ("answer_bytes_max", answer_bytes_max)];
        let in_memory = (!self.is_plain_face()).then_some(in_memory);
        in_memory.into_iter().chain(outside).filter(move |_| is_api)
    }
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
            Component::File(path) => match read_up_to(path, COMPONENT_BYTES_MAX + 1) {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) => fail(format!("component {}: {error}", path.display())),
            },
        }
    }
}

/// The beginning of a file, which may have no end.
fn read_up_to(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What mounts depend on.
pub struct Server {
    /// A component in place of the built-in API.
    pub api: Option<PathBuf>,
    /// Whether the plain face is mounted where the file does not say so.
    pub plain_kv: bool,
    /// The sizes that all mounts share.
    pub sizes: Sizes,
    /// Origins whose pages may use what is built in.
    pub cors_origins: Origins,
}

impl Server {
    /// The limits of a mount that says nothing of them.
    fn limits(&self) -> Limits {
        let limits = Limits::default();
        // What has no room is never sent, and what there is never room for cannot be had.
        let answer_bytes_max = limits.answer_bytes_max.min(bytes(self.sizes.answers));
        let memory_bytes_max = limits.memory_bytes_max.min(bytes(self.sizes.guests));
        Limits { answer_bytes_max, memory_bytes_max, ..limits }
    }

    /// The origins of a mount that says nothing of them: what strangers made answers no page by default.
    fn origins_for(&self, component: &Component) -> Origins {
        match component {
            Component::BuiltinApi => self.cors_origins.clone(),
            Component::File(_) => Origins::default(),
        }
    }
}

/// A number of bytes in memory.
fn bytes(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// The file's mounts, and the built-in API with its plain face unless some of them are it or take its place.
pub fn resolve(found: Vec<FileMount>, server: &Server) -> Result<Vec<Mount>, ConfigError> {
    let mut mounts: Vec<Mount> = Vec::new();
    prefixes::check(&found, server.plain_kv)?;
    for mount in found {
        if let Some(other) = mounts.iter().find(|other| other.prefix == mount.prefix) {
            let FileMount { prefix, component, .. } = mount;
            return fail(format!(
                "mount.prefix = {prefix:?}: {component:?} cannot be mounted where {:?} is already",
                other.name
            ));
        }
        if server.api.is_some() && mount.prefix == API && !mount.is_builtin() {
            return fail(
                "api: the file mounts a component of its own at /api; leave one of them out",
            );
        }
        mounts.push(resolve_one(mount, server)?);
    }
    let is_free = |prefix| !mounts.iter().any(|mount: &Mount| mount.prefix == prefix);
    let (api, plain_face) = (is_free(API), is_free(PLAIN_FACE) && server.plain_kv);
    mounts.extend(api.then(|| api_mount(server)));
    mounts.extend(plain_face.then(|| plain_face_mount(server)));
    Ok(mounts)
}

/// The built-in API as it is mounted unless the file says otherwise.
fn api_mount(server: &Server) -> Mount {
    let limits = server.limits();
    let body = bytes(server.sizes.body);
    let limits = Limits {
        instance_calls_max: API_INSTANCE_CALLS_MAX,
        // As JSON a byte takes up to four, and the guest holds value and text at once.
        memory_bytes_max: (12 * body).max(API_MEMORY_BYTES_MAX),
        host_bytes_max: (6 * body).max(limits.host_bytes_max),
        answer_bytes_max: bytes(server.sizes.api_answer).max(limits.answer_bytes_max),
        ..limits
    };
    let component = server.api.clone().map_or(Component::BuiltinApi, Component::File);
    Mount {
        name: "api".to_owned(),
        prefix: API.to_owned(),
        cors_origins: server.origins_for(&component),
        component,
        namespaces: [("*".to_owned(), Access::Admin)].into(),
        auth: Auth::Guest,
        health: API_HEALTH.map(str::to_owned).into(),
        operations: API_OPERATIONS.map(str::to_owned).into(),
        calls_max: None,
        limits,
        priority: Priority::Usual,
    }
}

/// The plain face of the built-in API as it is mounted unless the file says otherwise. It hands values on as
/// they are and encodes none.
fn plain_face_mount(server: &Server) -> Mount {
    let limits = server.limits();
    let body = bytes(server.sizes.body);
    let limits = Limits {
        instance_calls_max: API_INSTANCE_CALLS_MAX,
        host_bytes_max: (2 * body).max(limits.host_bytes_max),
        answer_bytes_max: body.max(limits.answer_bytes_max),
        ..limits
    };
    Mount {
        name: "kv".to_owned(),
        prefix: PLAIN_FACE.to_owned(),
        cors_origins: server.origins_for(&Component::BuiltinApi),
        component: Component::BuiltinApi,
        health: Vec::new(),
        operations: Vec::new(),
        limits,
        ..api_mount(server)
    }
}

fn resolve_one(mount: FileMount, server: &Server) -> Result<Mount, ConfigError> {
    check_prefix(&mount.prefix)?;
    if let Some(world) = mount.world.as_deref().filter(|world| *world != WORLD) {
        return fail(format!("mount.world = {world:?}: only {WORLD:?} is served"));
    }
    let builtin = mount.is_builtin();
    let base = if builtin {
        match mount.prefix.as_str() {
            API => api_mount(server),
            PLAIN_FACE => plain_face_mount(server),
            other => {
                return fail(format!(
                    "mount.prefix = {other:?}: {BUILTIN_API} answers below {API} and {PLAIN_FACE} only"
                ));
            }
        }
    } else {
        let path = mount.component.clone();
        let name =
            path.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into_owned());
        let component = Component::File(path);
        let (namespaces, health, operations) = (BTreeMap::new(), Vec::new(), Vec::new());
        Mount {
            name,
            prefix: String::new(),
            cors_origins: server.origins_for(&component),
            component,
            namespaces,
            auth: Auth::Required,
            health,
            operations,
            calls_max: None,
            limits: server.limits(),
            priority: Priority::Low,
        }
    };
    for name in mount.namespaces.keys() {
        if let Err(error) = storage::check_name(name.as_bytes()) {
            return fail(format!("mount.namespaces.{name:?}: {error}"));
        }
    }
    if let Some(calls) = mount.calls_max {
        in_range("mount.calls_max", calls as u64, 1..=CALLS_MAX)?;
    }
    let limits = limits(&mount, base.limits)?;
    Ok(Mount {
        name: mount.name.unwrap_or(base.name),
        prefix: mount.prefix,
        component: base.component,
        namespaces: if mount.namespaces.is_empty() { base.namespaces } else { mount.namespaces },
        auth: mount.auth.unwrap_or(base.auth),
        cors_origins: mount.cors_origins.unwrap_or(base.cors_origins),
        health: if mount.health.is_empty() { base.health } else { mount.health },
        operations: if mount.operations.is_empty() { base.operations } else { mount.operations },
        calls_max: mount.calls_max,
        limits,
        priority: mount.priority.unwrap_or(base.priority),
    })
}

/// The limits that a mount was given, and those of `base` for the rest.
fn limits(mount: &FileMount, base: Limits) -> Result<Limits, ConfigError> {
    let or = |given: Option<usize>, default| given.unwrap_or(default);
    let limits = Limits {
        call_time_max: match mount.call_ms_max {
            Some(ms) => {
                in_range("mount.call_ms_max", ms, 1..=MS_MAX)?;
                Duration::from_millis(ms)
            }
            None => base.call_time_max,
        },
        memory_bytes_max: or(mount.memory_bytes_max, base.memory_bytes_max),
        host_calls_max: mount.host_calls_max.unwrap_or(base.host_calls_max),
        host_bytes_max: or(mount.host_bytes_max, base.host_bytes_max),
        answer_bytes_max: or(mount.answer_bytes_max, base.answer_bytes_max),
        instance_calls_max: mount.instance_calls_max.unwrap_or(base.instance_calls_max),
        cpu_percent_max: mount.cpu_percent_max.unwrap_or(base.cpu_percent_max),
    };
    in_range("mount.memory_bytes_max", limits.memory_bytes_max as u64, 64 << 10..=4 << 30)?;
    in_range("mount.answer_bytes_max", limits.answer_bytes_max as u64, 0..=ROOM_BYTES_MAX)?;
    in_range("mount.cpu_percent_max", limits.cpu_percent_max.into(), 1..=PERCENT_ALL.into())?;
    in_range("mount.instance_calls_max", limits.instance_calls_max.into(), 1..=u32::MAX.into())?;
    Ok(limits)
}
