//! A `[[mount]]` as the file gives it. Owns the names and types of its keys; their defaults and bounds
//! are for `mounts`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::checks::ConfigError;
use super::paths::Base;
use crate::auth::access::Access;
use crate::gateway::{Auth, Origins};
use crate::runtime::Priority;

/// Names the built-in API where a component's file could stand.
pub const BUILTIN_API: &str = "builtin:api";

/// A `[[mount]]` of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileMount {
    /// The path on which the guest is mounted.
    pub prefix: String,
    /// The component's file, or [`BUILTIN_API`].
    pub component: PathBuf,
    /// The guest's name in the log and in metrics.
    pub name: Option<String>,
    /// The world of the component.
    pub world: Option<String>,
    /// What the guest may read or write.
    #[serde(default)]
    pub namespaces: BTreeMap<String, Access>,
    /// Who may call.
    pub auth: Option<Auth>,
    /// Origins whose pages may use it.
    pub cors_origins: Option<Origins>,
    /// Paths that are served under overload too.
    #[serde(default)]
    pub health: Vec<String>,
    /// Paths that metrics count apart.
    #[serde(default)]
    pub operations: Vec<String>,
    /// Whose processor time its calls take.
    pub priority: Option<Priority>,
    /// Percent of each thread's time that its calls take together.
    pub cpu_percent_max: Option<u32>,
    /// Calls of this mount at once.
    pub calls_max: Option<usize>,
    /// Calls that an instance serves.
    pub instance_calls_max: Option<u32>,
    /// Time of a call.
    pub call_ms_max: Option<u64>,
    /// Memory of a call.
    pub memory_bytes_max: Option<usize>,
    /// Imports that a call uses.
    pub host_calls_max: Option<u32>,
    /// Bytes that a call moves through imports.
    pub host_bytes_max: Option<usize>,
    /// Size of an answer.
    pub answer_bytes_max: Option<usize>,
}

impl FileMount {
    /// Whether it is the API that came with the program.
    pub fn is_builtin(&self) -> bool {
        self.component == Path::new(BUILTIN_API)
    }

    /// The same with the component's path as its source means it.
    pub fn based(mut self, base: Base<'_>) -> Result<Self, ConfigError> {
        if !self.is_builtin() {
            self.component = base.path("mount.component", self.component)?;
        }
        Ok(self)
    }
}
