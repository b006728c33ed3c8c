//! What is done with a data directory from outside of a server: check, back up, restore, export,
//! import. Each runs in a process of its own, and reads beside a server that writes, through a
//! reader's slot of LMDB's. Knows nothing of HTTP or guests.

mod backup;
mod check;
mod clock;
mod export;
mod import;
pub mod lines;
mod pages;
mod publish;
mod restore;
pub mod text;

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use heed::types::Bytes;
use heed::{CommitOrAbort, EnvFlags, EnvOpenOptions, RoTxn, WithTls};

pub use self::backup::{BackedUp, backup};
pub use self::check::{Findings, check, check_file};
pub use self::clock::{SetBack, Times, set_back, times};
pub use self::export::{Exported, export};
pub use self::import::{Imported, import};
pub use self::pages::Faults;
pub use self::publish::Unpublished;
pub use self::restore::restore;
use super::directory;
use super::env::{self, Tree};
use super::error::OpenError;
use super::{Options, Version};

/// How far a restore or an import moves the version counter on, so that no version that was drawn
/// after the backup is ever drawn again.
pub const VERSION_JUMP: u64 = 1 << 40;

/// Why a tool could not do its work. Says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Anything else, in a sentence.
    #[error("{0}")]
    Failed(String),
}

fn failed(what: impl Into<String>) -> ToolError {
    ToolError::Failed(what.into())
}

/// The data file of `dir`.
///
/// # Errors
/// There is none, or it is empty.
pub fn existing(dir: &Path) -> Result<PathBuf, ToolError> {
    let file = directory::data_file(dir);
    match fs::metadata(&file) {
        Ok(metadata) if metadata.len() == 0 => Err(OpenError::Empty(file).into()),
        Ok(_) => Ok(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let file = file.display();
            Err(failed(format!("there is no {file}; name the data directory with --data")))
        }
        Err(error) => Err(at(&file)(error)),
    }
}

/// Names the file in an error of the operating system.
fn at(path: &Path) -> impl Fn(std::io::Error) -> ToolError {
    let path = path.to_owned();
    move |error| failed(format!("{}: {error}", path.display()))
}

/// A data directory that is read, whether or not a server writes it.
struct Reader {
    env: heed::Env<WithTls>,
    path: PathBuf,
    trees: Trees,
}

/// The trees that a reader needs.
struct Trees {
    main: Tree,
    namespaces: Tree,
    meta: Tree,
}

impl Reader {
    #[expect(unsafe_code, reason = "LMDB maps a file, which Rust cannot check")]
    fn open(dir: &Path) -> Result<Self, ToolError> {
        let path = existing(dir)?;
        let mut open = EnvOpenOptions::new().read_txn_with_tls();
        open.map_size(env::map_bytes(None)).max_dbs(env::TREES_MAX);
        open.max_readers(Options::default().readers_max);
        // SAFETY: only the server writes the file, by LMDB's rules, and this reads by them.
        let env = unsafe { open.flags(EnvFlags::READ_ONLY).open(dir) }
            .map_err(|error| unreadable(&path, &error))?;
        let trees = open_trees(&env).map_err(|error| unreadable(&path, &error))?;
        let Some(trees) = trees else {
            let path = path.display();
            return Err(failed(format!("{path}: a tree is missing; run: larder check")));
        };
        Ok(Self { env, path, trees })
    }

    fn txn(&self) -> Result<RoTxn<'_, WithTls>, ToolError> {
        self.env.read_txn().map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &heed::Error) -> ToolError {
        unreadable(&self.path, error)
    }
}

fn open_trees(env: &heed::Env<WithTls>) -> Result<Option<Trees>, heed::Error> {
    let txn = env.read_txn()?;
    let opened = env.open_databases_and_commit(txn, |opener, txn| {
        let tree = |name| opener.open_database::<Bytes, Bytes>(txn, Some(name));
        let trees = (tree("main")?, tree("namespaces")?, tree("meta")?);
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(trees))
    })?;
    let (main, namespaces, meta) = opened.unwrap_commit();
    let all = main.zip(namespaces).zip(meta);
    Ok(all.map(|((main, namespaces), meta)| Trees { main, namespaces, meta }))
}

fn unreadable(path: &Path, error: &heed::Error) -> ToolError {
    failed(format!("cannot read {}: {error}; run: larder check", path.display()))
}

/// A data directory that is being filled. It is in its place only once it is whole: until then it
/// stands in a folder of its own, and no server serves the directory.
struct Incoming {
    dir: PathBuf,
    folder: PathBuf,
    _lock: File,
}

impl Incoming {
    /// Begins in a directory that holds no data.
    fn begin(dir: &Path) -> Result<Self, ToolError> {
        directory::make_private(dir)?;
        let lock = directory::take_lock(dir)?;
        let data = directory::data_file(dir);
        if data.exists() {
            return Err(failed(format!(
                "{} holds data already; name another directory with --data, or move {} away",
                dir.display(),
                data.display()
            )));
        }
        let folder = dir.join(directory::INCOMING);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(at(&folder))?;
        }
        DirBuilder::new().mode(0o700).create(&folder).map_err(at(&folder))?;
        sync(dir)?;
        Ok(Self { dir: dir.to_owned(), folder, _lock: lock })
    }

    /// Where the data file is made.
    fn data_file(&self) -> PathBuf {
        directory::data_file(&self.folder)
    }

    /// Checks the data file, makes it durable and moves it to its place.
    fn publish(self) -> Result<Findings, ToolError> {
        let made = self.data_file();
        let findings = check_file(&made)?;
        if let Some(fault) = findings.faults.told().first() {
            return Err(failed(format!("what was made is not sound: {fault}")));
        }
        sync(&made)?;
        fs::rename(&made, directory::data_file(&self.dir)).map_err(at(&made))?;
        directory::mark(&self.dir)?;
        sync(&self.dir)?;
        fs::remove_dir_all(&self.folder).map_err(at(&self.folder))?;
        Ok(findings)
    }
}

/// Makes a file, or the names in a directory, durable.
fn sync(path: &Path) -> Result<(), ToolError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(at(path))
}

/// Moves a version counter on, for a store that goes on elsewhere.
fn jump(version: Version) -> Result<Version, ToolError> {
    let jumped = version.0.saturating_add(VERSION_JUMP);
    if jumped >= super::layout::VERSION_LIMIT {
        return Err(failed(format!(
            "the version counter stands at {version} and cannot be moved on"
        )));
    }
    Ok(Version(jumped))
}
