//! From a component's bytes to a pre-instance: checks that it exports what the host calls and
//! imports only what the host offers, compiles and links it. Owns the words in which a component
//! is refused.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use super::cache::Cache;
use super::compiler::Compiler;
use crate::runtime::call::exports::{Has, Indices};
use crate::runtime::imports::bindings::Guests;
use crate::runtime::state::State;

/// The package that guests are written against, and the version that is offered.
const PACKAGE: &str = "larder:guest";
const PACKAGE_VERSION: (u64, u64, u64) = (0, 1, 2);
const INTERFACES: [&str; 8] =
    ["types", "blobs", "requests", "kv", "namespaces", "storage", DEFERRED, DEFERRAL];
const HANDLER: &str = "incoming-handler";
/// What ends a call with changes, and what is called after them; only guests that do the one have the
/// other.
const DEFERRED: &str = "deferred";
const COMPLETION: &str = "completion";
const DEFERRAL: &str = "deferral";
const CONTINUATION: &str = "continuation";
/// The parts of WASI 0.2 that are offered.
const WASI_PACKAGES: [&str; 6] =
    ["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:io", "wasi:random", "wasi:sockets"];
/// Largest component that is compiled.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// Why the guests could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The engine could not be built; most often address space is short.
    #[error(
        "cannot reserve address space for the guests' memory: {0:#}; allow more (ulimit -v), or lower calls_max and workers"
    )]
    Engine(wasmtime::Error),
    /// The ticker's thread could not be started.
    #[error("cannot start the engine's clock: {0}")]
    Ticker(io::Error),
    /// A component is not a guest that this host can run.
    #[error("guest {name}: {reason}")]
    Refused {
        /// The guest's name.
        name: String,
        /// What is wrong, wanted and offered.
        reason: String,
    },
}

/// Loads components into one engine.
pub struct Loader {
    engine: Engine,
    linker: Linker<State>,
    cache: Cache,
    /// What was loaded, by its bytes: a component on several mounts is compiled and linked once.
    loaded: RefCell<Vec<(Arc<[u8]>, Linked)>>,
}

impl Loader {
    /// Prepares a linker that offers this package and closed WASI.
    pub fn new(engine: Engine, cache: Cache) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(&engine);
        Guests::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        Ok(Self { engine, linker, cache, loaded: RefCell::default() })
    }

    /// Forgets compiled guests that were not loaded; to be called after the last one was.
    pub fn forget_others(&self) {
        self.cache.prune();
    }

    /// Loads one component, or hands out what the same bytes were loaded as.
    pub fn load(
        &self,
        name: &str,
        wasm: &Arc<[u8]>,
        compiler: &Compiler,
    ) -> Result<Linked, LoadError> {
        if let Some((_, linked)) = self.loaded.borrow().iter().find(|(known, _)| known == wasm) {
            return Ok(linked.clone());
        }
        let linked = self.load_anew(name, wasm, compiler)?;
        self.loaded.borrow_mut().push((Arc::clone(wasm), linked.clone()));
        Ok(linked)
    }

    fn load_anew(&self, name: &str, wasm: &[u8], compiler: &Compiler) -> Result<Linked, LoadError> {
        let refused = |reason| LoadError::Refused { name: name.to_owned(), reason };
        check_bytes(wasm).map_err(refused)?;
        let component = self
            .cache
            .component(&self.engine, name, wasm, compiler)
            .map_err(|error| refused(format!("it cannot be compiled: {error:#}")))?;
        let r#type = component.component_type();
        let imports: Vec<String> =
            r#type.imports(&self.engine).map(|(import, _)| import.to_owned()).collect();
        let exports: Vec<String> =
            r#type.exports(&self.engine).map(|(export, _)| export.to_owned()).collect();
        check_imports(&imports).map_err(refused)?;
        let has = check_exports(&exports).map_err(refused)?;
        check_deferral(&imports, has).map_err(refused)?;
        let link = || {
            let pre = self.linker.instantiate_pre(&component)?;
            let indices = Indices::new(&pre, has)?;
            Ok(Linked { pre, indices })
        };
        link().map_err(|error: wasmtime::Error| refused(format!("it does not fit: {error:#}")))
    }
}

/// A component, linked: ready to be instantiated.
#[derive(Clone)]
pub struct Linked {
    /// What instances are made of.
    pub pre: InstancePre<State>,
    /// Where in an instance its functions are.
    pub indices: Indices,
}

impl Linked {
    /// The engine that it was compiled for.
    pub fn engine(&self) -> &Engine {
        self.pre.engine()
    }
}

fn check_bytes(wasm: &[u8]) -> Result<(), String> {
    if wasm.len() > COMPONENT_BYTES_MAX {
        return Err(format!("it is larger than {COMPONENT_BYTES_MAX} bytes"));
    }
    match wasm.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => Ok(()),
        Some(b"\0asm\x01\0\0\0") => Err(
            "it is a core module, not a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
                .to_owned(),
        ),
        _ => Err("it is not a WebAssembly component".to_owned()),
    }
}

/// A name such as `larder:guest/kv@0.1.0` in its parts.
fn split(name: &str) -> (&str, &str, Option<(u64, u64, u64)>) {
    let (path, version) = name.split_once('@').map_or((name, None), |(path, v)| (path, Some(v)));
    let (package, interface) = path.split_once('/').unwrap_or((path, ""));
    let version = version.and_then(|version| {
        let mut numbers = version.split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??, numbers.next()??))
    });
    (package, interface, version)
}

/// Whether a guest written against `wanted` can run here: the same 0.x, and not a later one.
fn is_offered(wanted: Option<(u64, u64, u64)>) -> bool {
    let (major, minor, patch) = PACKAGE_VERSION;
    wanted.is_some_and(|wanted| (wanted.0, wanted.1) == (major, minor) && wanted.2 <= patch)
}

fn offered_version() -> String {
    let (major, minor, patch) = PACKAGE_VERSION;
    format!("{PACKAGE}@{major}.{minor}.{patch}")
}

fn check_imports(imports: &[String]) -> Result<(), String> {
    for import in imports {
        let (package, interface, version) = split(import);
        let known = match package {
            PACKAGE if INTERFACES.contains(&interface) => {
                if !is_offered(version) {
                    let offered = offered_version();
                    return Err(format!(
                        "it imports {import}, but this host offers {offered}; build it against that version, or use a newer larder"
                    ));
                }
                true
            }
            _ => {
                let wasi = WASI_PACKAGES.contains(&package);
                wasi && matches!(version, Some((0, 2, _)))
            }
        };
        if !known {
            let offered = offered_version();
            return Err(format!(
                "it imports {import}, which this host does not offer; it offers {offered} ({}) and WASI 0.2 ({})",
                INTERFACES.join(", "),
                WASI_PACKAGES.join(", ")
            ));
        }
    }
    Ok(())
}

/// Whether a guest has all that may be called after its changes.
fn check_deferral(imports: &[String], has: Has) -> Result<(), String> {
    let offered = offered_version();
    for (import, export, world, there) in [
        (DEFERRED, COMPLETION, "deferring-handler", has.completion),
        (DEFERRAL, CONTINUATION, "continuing-handler", has.continuation),
    ] {
        if !there && imports.iter().any(|name| is(name, import)) {
            return Err(format!(
                "it imports {PACKAGE}/{import} but does not export {PACKAGE}/{export}, which the host calls after a deferred write; build it for the world `{world}` of {offered}"
            ));
        }
    }
    Ok(())
}

fn is(name: &str, wanted: &str) -> bool {
    let (package, interface, _) = split(name);
    package == PACKAGE && interface == wanted
}

/// What a component has besides its handler.
fn check_exports(exports: &[String]) -> Result<Has, String> {
    let find = |wanted| exports.iter().find(|export| is(export, wanted));
    let offered = offered_version();
    let Some(handler) = find(HANDLER) else {
        let found = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        return Err(format!(
            "it does not export {PACKAGE}/{HANDLER}, which the host calls; it exports {found}. A guest is a component of the world `handler` of {offered}"
        ));
    };
    let (completion, continuation) = (find(COMPLETION), find(CONTINUATION));
    for export in [Some(handler), completion, continuation].into_iter().flatten() {
        if !is_offered(split(export).2) {
            return Err(format!(
                "it exports {export}, but this host calls that of {offered}; build it against that version, or use a newer larder"
            ));
        }
    }
    Ok(Has { completion: completion.is_some(), continuation: continuation.is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(name: &str) -> Result<(), String> {
        check_imports(&[name.to_owned()])
    }

    #[test]
    fn what_is_offered_may_be_imported() {
        for name in [
            "larder:guest/kv@0.1.0",
            "larder:guest/kv@0.1.1",
            "larder:guest/storage@0.1.2",
            "wasi:cli/stdout@0.2.6",
            "wasi:io/streams@0.2.0",
        ] {
            assert_eq!(imports(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn another_version_is_refused_with_wanted_and_offered() {
        for name in ["larder:guest/kv@0.2.0", "larder:guest/kv@0.1.3", "larder:guest/kv@1.0.0"] {
            let reason = imports(name).unwrap_err();
            assert!(reason.contains(name) && reason.contains("larder:guest@0.1.2"), "{reason}");
        }
        let reason = check_exports(&["larder:guest/incoming-handler@0.2.0".to_owned()]);
        assert!(reason.unwrap_err().contains("incoming-handler@0.2.0"));
    }

    #[test]
    fn an_unknown_import_is_named() {
        for name in
            ["wasi:http/types@0.2.0", "wasi:cli/stdout@0.3.0", "larder:guest/watch@0.1.0", "env"]
        {
            let reason = imports(name).unwrap_err();
            assert!(reason.contains(name) && reason.contains("WASI 0.2"), "{reason}");
        }
    }

    #[test]
    fn a_component_without_the_door_is_told_what_it_lacks() {
        let reason = check_exports(&["wasi:cli/run@0.2.0".to_owned()]).unwrap_err();
        assert!(reason.contains("larder:guest/incoming-handler"), "{reason}");
        assert!(reason.contains("wasi:cli/run@0.2.0"), "{reason}");
    }

    #[test]
    fn who_defers_writes_must_complete_them() {
        let handler = "larder:guest/incoming-handler@0.1.1".to_owned();
        let none = Has::default();
        assert_eq!(check_exports(std::slice::from_ref(&handler)), Ok(none));
        assert_eq!(check_deferral(&[], none), Ok(()));
        for (import, export, has) in [
            (DEFERRED, COMPLETION, Has { completion: true, ..none }),
            (DEFERRAL, CONTINUATION, Has { continuation: true, ..none }),
        ] {
            let imports = [format!("larder:guest/{import}@0.1.1")];
            let reason = check_deferral(&imports, none).unwrap_err();
            assert!(reason.contains(&format!("does not export larder:guest/{export}")), "{reason}");
            let export = format!("larder:guest/{export}@0.1.1");
            assert_eq!(check_exports(&[handler.clone(), export]), Ok(has));
            assert_eq!(check_deferral(&imports, has), Ok(()));
        }
    }

    #[test]
    fn bytes_that_are_no_component_are_told_apart() {
        assert!(check_bytes(b"\0asm\x01\0\0\0").unwrap_err().contains("core module"));
        assert!(check_bytes(b"").unwrap_err().contains("not a WebAssembly component"));
        assert!(check_bytes(b"\0asm\x0d\0\x01\0").is_ok());
    }
}
