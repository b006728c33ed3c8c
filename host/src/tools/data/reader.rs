//! Reads a data directory beside a server that writes, or without one: through LMDB, in a reader's slot,
//! and in a map that is as large as the data. Owns the rule that the format is judged before anything
//! else is read. Writes nothing but its slot.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use heed::types::Bytes;
use heed::{CommitOrAbort, CompactionOption, EnvFlags, EnvOpenOptions, MdbError, RoTxn, WithTls};

use super::error::{ToolError, at, failed};
use super::owner;
use crate::storage::Options;
use crate::storage::error::OpenError;
use crate::storage::lmdb::database::Tree;
use crate::storage::lmdb::{directory, layout, trees};

type Env = heed::Env<WithTls>;

/// How much the data may grow between the look at the file and the transaction. When they grow by
/// more, the map is made anew.
const GROWTH_BYTES: u64 = 64 << 20;

/// One commit of a data directory that is read, whether or not a server writes there.
pub struct Reader {
    /// The data file.
    pub path: PathBuf,
    /// The commit.
    pub txn: RoTxn<'static, WithTls>,
    /// Its storage format.
    pub format: u32,
    /// What is in it.
    pub trees: Trees,
    _away: Option<File>,
}

/// The trees that a reader needs.
pub struct Trees {
    /// Records.
    pub main: Tree,
    /// Namespaces.
    pub namespaces: Tree,
    /// Format and state.
    pub meta: Tree,
    /// Tokens; missing in data that no server has opened since there are any.
    pub tokens: Option<Tree>,
}

impl Reader {
    /// Begins to read the newest commit of what is in `dir`.
    ///
    /// # Errors
    /// Why it cannot be read, or that it is of a newer format.
    pub fn open(dir: &Path) -> Result<Self, ToolError> {
        let path = existing(dir)?;
        let _away = keep_away(dir)?;
        let (txn, format, trees) = opened(dir, &path, |env, format| {
            let trees = open_trees(&env)?;
            Ok((env.static_read_txn()?, format, trees))
        })?;
        let trees = trees.ok_or_else(|| {
            failed(format!("{}: a tree is missing; run: larder check", path.display()))
        })?;
        Ok(Self { path, txn, format, trees, _away })
    }

    /// An error of LMDB's, with the file's name.
    pub fn unreadable(&self, error: &heed::Error) -> ToolError {
        unreadable(&self.path, error)
    }
}

/// The storage format of the data directory `dir`, where it is an older one.
///
/// # Errors
/// Why it cannot be read, or that it is of a newer format.
pub fn older_format(dir: &Path) -> Result<Option<u32>, ToolError> {
    let path = existing(dir)?;
    let _away = keep_away(dir)?;
    let format = opened(dir, &path, |_, format| Ok(format))?;
    Ok((format < layout::FORMAT).then_some(format))
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
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let file = file.display();
            Err(failed(format!("there is no {file}; name the data directory with --data")))
        }
        Err(error) => Err(at(&file)(error)),
    }
}

/// Copies the newest commit of what is in `dir` to `file`, without free pages.
///
/// # Errors
/// Why it cannot be read, that it is of a newer format, or what could not be written.
pub fn copy(dir: &Path, file: &mut File) -> Result<io::Result<()>, ToolError> {
    let path = existing(dir)?;
    let _away = keep_away(dir)?;
    // When the data have outgrown the map, nothing was written yet.
    opened(dir, &path, |env, _| match env.copy_to_file(file, CompactionOption::Enabled) {
        Err(heed::Error::Io(error)) => Ok(Err(error)),
        copied => copied.map(Ok),
    })
}

/// Whether the lock of a data directory is taken.
pub enum LockState {
    /// By a server, or a restore.
    Taken,
    /// It is free, and stays so as long as the file is open.
    Free(File),
    /// No larder has ever had it: there is no file to lock.
    Missing,
}

/// Finds out whether the lock of `dir` is taken, and changes nothing.
///
/// # Errors
/// What the system says.
pub fn lock_state(dir: &Path) -> Result<LockState, ToolError> {
    let path = directory::server_lock(dir);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(LockState::Missing),
        Err(error) => return Err(at(&path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(LockState::Free(file)),
        Err(TryLockError::WouldBlock) => Ok(LockState::Taken),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

/// Keeps servers away where there can be no slot, as on a read-only file system: a server that writes
/// there by another way would write over what is read.
fn keep_away(dir: &Path) -> Result<Option<File>, ToolError> {
    // Before LMDB has it open: its locks there go with any descriptor that is closed.
    let slots = OpenOptions::new().read(true).write(true).open(directory::lock_file(dir));
    let read_only = slots.is_err_and(|error| error.kind() == ErrorKind::ReadOnlyFilesystem);
    if !read_only {
        return Ok(None);
    }
    match lock_state(dir)? {
        LockState::Free(lock) => Ok(Some(lock)),
        LockState::Missing => Ok(None),
        LockState::Taken => Err(failed(format!(
            "{} is served, and read-only from here: the server could not be told what is read, and \
             would write over it; run this where the server runs",
            dir.display()
        ))),
    }
}

/// Opens the data, judges their format and has `work` read, anew when the data have outgrown the map
/// meanwhile.
fn opened<T>(
    dir: &Path,
    path: &Path,
    mut work: impl FnMut(Env, u32) -> Result<T, heed::Error>,
) -> Result<T, ToolError> {
    loop {
        let length = fs::metadata(path).map_err(at(path))?.len();
        let bytes = map_bytes(length);
        let worked = open_env(dir, bytes).and_then(|env| match trees::format(dir, &env) {
            Err(OpenError::Lmdb { source, .. }) => Err(source),
            Err(error @ OpenError::NewerFormat { .. }) => Ok(Err(error)),
            Ok(Some(format)) => work(env, format).map(Ok),
            // What else is wrong with it is told by whoever reads on.
            _ => work(env, layout::FORMAT).map(Ok),
        });
        // What cannot be given here, as in a read-only place, a server tells.
        let _ = owner::hand_over(dir);
        match worked {
            Ok(worked) => return worked.map_err(ToolError::from),
            Err(heed::Error::Mdb(MdbError::MapResized)) => {}
            Err(heed::Error::Io(error)) if error.kind() == ErrorKind::OutOfMemory => {
                return Err(OpenError::NoAddressSpace { path: path.to_owned(), bytes }.into());
            }
            Err(error) => return Err(unreadable(path, &error)),
        }
    }
}

/// Address space for data of this length: as much as they take, and what they may grow meanwhile.
fn map_bytes(length: u64) -> usize {
    let page = rustix::param::page_size() as u64;
    let bytes = length.saturating_add(GROWTH_BYTES).next_multiple_of(page);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[expect(unsafe_code, reason = "LMDB maps a file, which Rust cannot check")]
fn open_env(dir: &Path, map_bytes: usize) -> Result<Env, heed::Error> {
    let mut open = EnvOpenOptions::new().read_txn_with_tls();
    open.map_size(map_bytes).max_dbs(trees::TREES_MAX);
    open.max_readers(Options::default().readers_max);
    // SAFETY: only the server writes the file, by LMDB's rules, and this reads by them.
    unsafe { open.flags(EnvFlags::READ_ONLY).open(dir) }
}

fn open_trees(env: &Env) -> Result<Option<Trees>, heed::Error> {
    let txn = env.read_txn()?;
    let opened = env.open_databases_and_commit(txn, |opener, txn| {
        let tree = |name| opener.open_database::<Bytes, Bytes>(txn, Some(name));
        let trees = (tree("main")?, tree("namespaces")?, tree("meta")?, tree("tokens")?);
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(trees))
    })?;
    let (main, namespaces, meta, tokens) = opened.unwrap_commit();
    let all = main.zip(namespaces).zip(meta);
    Ok(all.map(|((main, namespaces), meta)| Trees { main, namespaces, meta, tokens }))
}

fn unreadable(path: &Path, error: &heed::Error) -> ToolError {
    failed(format!("cannot read {}: {error}; run: larder check", path.display()))
}
