//! Compiled guests on disk, so that a start does not compile. Loading compiled code runs it, so
//! only what this program wrote is loaded: from a private directory of the same user, under a name
//! bound to component, engine and program, and with a checksum over every byte.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::compiler::Compiler;
use crate::hex;

const CHECKSUM_BYTES: usize = 32;

/// A directory of compiled components.
pub struct Cache {
    dir: PathBuf,
    engine_hash: String,
}

impl Cache {
    /// Uses `dir`, which is made when something is first stored.
    pub fn open(dir: PathBuf, engine: &Engine) -> Self {
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let program = concat!(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        hasher.0.update(program);
        Self { dir, engine_hash: hex::encode(&hasher.0.finalize()) }
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

    fn path(&self, wasm: &[u8]) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(&self.engine_hash);
        hash.update(wasm);
        self.dir.join(format!("{}.cwasm", hex::encode(&hash.finalize())))
    }

    fn store(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let unfinished = path.with_extension("tmp");
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

/// Loads a compiled component; None when there is none.
fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Option<Component>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    check_private(path)?;
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

    #[test]
    fn compiled_code_does_not_pass_for_a_component() {
        let (_dir, engine, cache, path) = cached();
        let code = fs::read(&path).unwrap()[CHECKSUM_BYTES..].to_vec();
        assert!(cache.component(&engine, "posing", &code, &Compiler::Here).is_err());
    }
}
