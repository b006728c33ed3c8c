//! Compiled guests on disk, so that a start does not compile. Loading compiled code runs it, so
//! only what this program wrote is loaded: from a private directory of the same user, under a name
//! bound to component, engine and program, and with a checksum over every byte. What no guest has used
//! for long is removed, so that versions that are gone do not pile up.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::compiler::Compiler;
use crate::hex;

const CHECKSUM_BYTES: usize = 32;
/// How files end that hold compiled code, whole and not yet.
const COMPILED: &str = "cwasm";
const UNFINISHED: &str = "tmp";
/// Compiled code that no guest uses any more and that is kept, for whoever goes back to it: the newest by
/// their last use, so many of them, and so many bytes together.
const UNUSED_MAX: usize = 16;
const UNUSED_BYTES_MAX: u64 = 256 << 20;

/// A directory of compiled components.
pub struct Cache {
    dir: PathBuf,
    engine_hash: String,
    /// What was asked for since it was opened.
    used: RefCell<HashSet<PathBuf>>,
}

impl Cache {
    /// Uses `dir`, which is made when something is first stored.
    pub fn open(dir: PathBuf, engine: &Engine) -> Self {
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let program = concat!(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        hasher.0.update(program);
        Self { dir, engine_hash: hex::encode(&hasher.0.finalize()), used: RefCell::default() }
    }

    /// The compiled form of `wasm`: from the cache, or compiled and stored there.
    pub fn component(
        &self,
        engine: &Engine,
        name: &str,
        wasm: &[u8],
        compiler: &Compiler,
    ) -> wasmtime::Result<Component> {
        let path = self.path(wasm);
        self.used.borrow_mut().insert(path.clone());
        match load(engine, &path) {
            Ok(Some(component)) => return Ok(component),
            Ok(None) => tracing::info!(guest = name, "compiling the guest, once"),
            Err(error) => {
                tracing::warn!(guest = name, path = %path.display(), %error, "the compiled guest cannot be used; compiling it again");
            }
        }
        let code = compiler.compile(engine, wasm)?;
        if let Err(error) = self.store(&path, &code) {
            tracing::warn!(guest = name, path = %path.display(), %error, "the compiled guest cannot be kept; the next start compiles again");
        }
        deserialize(engine, &code)
    }

    /// Removes what was not asked for since the cache was opened, but for some that were used last. To be
    /// called when all guests are loaded.
    pub fn prune(&self) {
        if let Err(error) = self.remove_unused() {
            tracing::warn!(path = %self.dir.display(), %error, "compiled guests that nobody uses cannot be removed");
        }
    }

    fn remove_unused(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut unused = Vec::new();
        for entry in entries {
            let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
            let extension = path.extension().unwrap_or_default();
            if extension == UNFINISHED {
                fs::remove_file(&path)?;
            } else if extension == COMPILED && !self.used.borrow().contains(&path) {
                unused.push((metadata.modified()?, metadata.len(), path));
            }
        }
        unused.sort_unstable_by(|one, other| other.cmp(one));
        let mut kept_bytes = 0;
        for (at, (_, bytes, path)) in unused.iter().enumerate() {
            kept_bytes += bytes;
            if at >= UNUSED_MAX || kept_bytes > UNUSED_BYTES_MAX {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, wasm: &[u8]) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(&self.engine_hash);
        hash.update(wasm);
        self.dir.join(hex::encode(&hash.finalize())).with_extension(COMPILED)
    }

    fn store(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let unfinished = path.with_extension(UNFINISHED);
        let mut options = OpenOptions::new();
        // Whatever the umask, nobody else may write what is going to be run.
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&Sha256::digest(code))?;
        file.write_all(code)?;
        file.sync_all()?;
        fs::rename(unfinished, path)?;
        Ok(())
    }
}

/// The present, as the file system has it.
const NOW: Timestamps = {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Timestamps { last_access: now, last_modification: now }
};

/// Loads a compiled component; None when there is none.
fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Option<Component>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    check_private(path)?;
    // When it was used last decides how long it stays; nothing else depends on it.
    let _ = futimens(&file, &NOW);
    let intact = bytes
        .split_first_chunk::<CHECKSUM_BYTES>()
        .filter(|(checksum, code)| **checksum == *Sha256::digest(code));
    let Some((_, code)) = intact else {
        return Err(wasmtime::Error::msg("its checksum does not fit"));
    };
    // Nobody else can write to the directory, and the checksum tells damage. The name binds the code
    // to this engine, program and component.
    deserialize(engine, code).map(Some)
}

/// Takes code that this program compiled, here or in a process of its own.
#[expect(unsafe_code, reason = "compiled code can only be trusted, not checked")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: both callers have it from this program's own compiler.
    unsafe { Component::deserialize(engine, code) }
}

/// Neither the file nor its directory may be writable by, or belong to, anybody else.
fn check_private(path: &Path) -> wasmtime::Result<()> {
    let me = rustix::process::geteuid().as_raw();
    for path in [Some(path), path.parent()].into_iter().flatten() {
        let metadata = fs::metadata(path)?;
        if metadata.uid() != me || metadata.mode() & 0o022 != 0 {
            return Err(wasmtime::Error::msg("somebody else could have written it"));
        }
    }
    Ok(())
}

/// Feeds what is hashed to SHA-256: `Hash` knows no other way out.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn cached() -> (tempfile::TempDir, Engine, Cache, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let cache = Cache::open(dir.path().join("cache"), &engine);
        cache.component(&engine, "empty", EMPTY, &Compiler::Here).unwrap();
        let path = cache.path(EMPTY);
        (dir, engine, cache, path)
    }

    /// The smallest component: a header and nothing in it.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_compiled_component_is_kept_and_loaded_again() {
        let (_dir, engine, _, path) = cached();
        assert!(load(&engine, &path).unwrap().is_some());
    }

    #[test]
    fn a_damaged_or_foreign_artefact_is_not_loaded_but_compiled_anew() {
        let (_dir, engine, cache, path) = cached();
        let good = fs::read(&path).unwrap();
        let mut damaged = good.clone();
        damaged[CHECKSUM_BYTES + 100] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert!(load(&engine, &path).is_err());
        cache.component(&engine, "empty", EMPTY, &Compiler::Here).unwrap();
        assert!(load(&engine, &path).unwrap().is_some());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(load(&engine, &path).is_err());
    }

    /// Components that differ in a section that means nothing.
    fn version(number: u8) -> Vec<u8> {
        [EMPTY, &[0, 3, 1, b'v', number]].concat()
    }

    #[test]
    fn of_many_versions_those_in_use_stay_and_the_last_that_were() {
        let (dir, engine, _, first) = cached();
        let old = |path: &Path, seconds: u64| {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        };
        // Each version is served by a start of its own; the first by all of them.
        for number in 0..40 {
            let cache = Cache::open(dir.path().join("cache"), &engine);
            cache.component(&engine, "first", EMPTY, &Compiler::Here).unwrap();
            cache.component(&engine, "second", &version(number), &Compiler::Here).unwrap();
            fs::write(first.with_extension(UNFINISHED), "half").unwrap();
            cache.prune();
            old(&cache.path(&version(number)), 1000 + u64::from(number));
            old(&first, 0);
        }
        let names = || fs::read_dir(dir.path().join("cache")).unwrap().count();
        assert_eq!(names(), 2 + UNUSED_MAX);
        let cache = Cache::open(dir.path().join("cache"), &engine);
        let there = |number| cache.path(&version(number)).exists();
        assert!(first.exists() && there(39) && there(23) && !there(22) && !there(0));
        // What is used again counts as new, whenever it was made.
        cache.component(&engine, "second", &version(23), &Compiler::Here).unwrap();
        let next = Cache::open(dir.path().join("cache"), &engine);
        for number in 50..66 {
            next.component(&engine, "third", &version(number), &Compiler::Here).unwrap();
        }
        next.prune();
        assert!(there(23) && !there(24), "the order of use decides");
        assert_eq!(names(), 16 + UNUSED_MAX);
    }

    #[test]
    fn compiled_code_does_not_pass_for_a_component() {
        let (_dir, engine, cache, path) = cached();
        let code = fs::read(&path).unwrap()[CHECKSUM_BYTES..].to_vec();
        assert!(cache.component(&engine, "posing", &code, &Compiler::Here).is_err());
    }
}
