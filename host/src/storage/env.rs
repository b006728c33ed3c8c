//! Opens the LMDB environment, and makes or checks what must be in it before anything is served.
//! Knows the files, the databases and the lock; knows nothing of operations.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use heed::types::Bytes;
use heed::{CommitOrAbort, Env, EnvOpenOptions, WithTls};

use super::error::OpenError;
use super::layout::{self, NamespaceRow, Record, StateRow};
use super::namespaces::Namespace;
use super::readers::Readers;
use super::{DEFAULT_NAMESPACE, NamespaceId, Options, Version};
use crate::clock::Clock;

/// A tree of bytes by bytes.
pub type Tree = heed::Database<'static, Bytes, Bytes>;

/// Address space for the map when no quota is set. It costs nothing until it is used.
const MAP_BYTES: u64 = 1 << 40;
/// Kept above a quota so that deletes and sweeps find free pages: at least this, or an eighth.
const RESERVE_BYTES: u64 = 64 << 20;

/// The open environment and its databases. Clones share them.
#[derive(Clone)]
pub struct Database {
    /// The environment.
    pub env: Env<WithTls>,
    /// Records by namespace id and key.
    pub main: Tree,
    /// One empty row by expiry, namespace id and key, for each record that expires.
    pub expiry: Tree,
    /// Namespaces by name.
    pub namespaces: Tree,
    /// The format row and the state row.
    pub meta: Tree,
    /// Who reads now.
    pub readers: Arc<Readers>,
    /// Held while the environment is open: one process a data directory.
    _lock: Arc<File>,
}

/// What the database held when it was opened.
pub struct Found {
    /// Counters and the highest instant seen.
    pub state: StateRow,
    /// All namespaces.
    pub namespaces: Vec<(String, Namespace)>,
}

/// Opens or makes the store in `dir`.
pub fn open(dir: &Path, options: &Options, clock: &Clock) -> Result<(Database, Found), OpenError> {
    make_private_dir(dir)?;
    let lock = Arc::new(take_lock(dir)?);
    let env = open_env(dir, options)?;
    let short = extend(dir, &env)?;
    let database = open_databases(dir, env, lock).and_then(|database| {
        if short.is_some() {
            read_everything(&database).map_err(lmdb_error(dir))?;
        }
        Ok(database)
    });
    let database = match (database, short) {
        (Err(_), Some((found, needed))) => {
            set_length(dir, found)?;
            return Err(OpenError::Truncated { path: data_file(dir), found, needed });
        }
        (database, _) => database?,
    };
    initialize(dir, &database, clock)?;
    let found = read_found(dir, &database)?;
    Ok((database, found))
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { what, path, source }
}

fn lmdb_error(dir: &Path) -> impl Fn(heed::Error) -> OpenError {
    let path = dir.to_owned();
    move |source| OpenError::Lmdb { path: path.clone(), source }
}

fn make_private_dir(dir: &Path) -> Result<(), OpenError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(io_error("create the data directory", dir))?;
    let metadata = fs::metadata(dir).map_err(io_error("look at", dir))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(OpenError::NotPrivate { path: dir.to_owned(), mode });
    }
    Ok(())
}

fn take_lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

fn data_file(dir: &Path) -> PathBuf {
    dir.join("data.mdb")
}

#[expect(unsafe_code, reason = "LMDB maps a file, which Rust cannot check")]
fn open_env(dir: &Path, options: &Options) -> Result<Env<WithTls>, OpenError> {
    let map_bytes = match options.bytes_max {
        Some(quota) => quota.saturating_add((quota / 8).max(RESERVE_BYTES)),
        None => MAP_BYTES,
    };
    let page = rustix::param::page_size() as u64;
    let map_bytes = usize::try_from(map_bytes.next_multiple_of(page)).unwrap_or(usize::MAX);
    let mut open = EnvOpenOptions::new().read_txn_with_tls();
    open.map_size(map_bytes).max_dbs(8).max_readers(options.readers_max);
    // SAFETY: the directory is private to this user and locked by this process, default flags
    // are used, and nobody else has reason to change the file while it is mapped.
    unsafe { open.open(dir) }.map_err(lmdb_error(dir))
}

/// Finds out whether the file is shorter than its last page, which would end the process with
/// SIGBUS at the first touch, and makes it long enough. Being short proves nothing: LMDB counts pages
/// at the end that a transaction took and gave back without ever writing them.
fn extend(dir: &Path, env: &Env<WithTls>) -> Result<Option<(u64, u64)>, OpenError> {
    let path = data_file(dir);
    let found = fs::metadata(&path).map_err(io_error("look at", &path))?.len();
    let page = u64::from(env.unnamed_database_stat().page_size);
    let needed = (env.info().last_page_number as u64 + 1) * page;
    if found >= needed {
        return Ok(None);
    }
    set_length(dir, needed)?;
    Ok(Some((found, needed)))
}

fn set_length(dir: &Path, length: u64) -> Result<(), OpenError> {
    let path = data_file(dir);
    let file = OpenOptions::new().write(true).open(&path);
    file.and_then(|file| file.set_len(length)).map_err(io_error("change the length of", &path))
}

/// Reads everything that is stored; an error when any of it is damaged.
fn read_everything(database: &Database) -> Result<(), heed::Error> {
    let damaged = || heed::Error::Mdb(heed::MdbError::Corrupted);
    let txn = database.env.read_txn()?;
    for tree in [database.expiry, database.namespaces, database.meta] {
        tree.iter(&txn)?.try_for_each(|row| row.map(|_| ()))?;
    }
    for row in database.main.iter(&txn)? {
        let (key, stored) = row?;
        Record::decode(key, stored).map_err(|_| damaged())?;
    }
    Ok(())
}

fn open_databases(dir: &Path, env: Env<WithTls>, lock: Arc<File>) -> Result<Database, OpenError> {
    let wtxn = env.write_txn().map_err(lmdb_error(dir))?;
    let made = env
        .create_databases_and_commit(wtxn, |opener, txn| {
            let main = opener.create_database::<Bytes, Bytes>(txn, Some("main"))?;
            let expiry = opener.create_database::<Bytes, Bytes>(txn, Some("expiry"))?;
            let namespaces = opener.create_database::<Bytes, Bytes>(txn, Some("namespaces"))?;
            let meta = opener.create_database::<Bytes, Bytes>(txn, Some("meta"))?;
            Ok(CommitOrAbort::<_, ()>::Commit((main, expiry, namespaces, meta)))
        })
        .map_err(lmdb_error(dir))?;
    let (main, expiry, namespaces, meta) = made.unwrap_commit();
    let readers = Arc::default();
    Ok(Database { env, main, expiry, namespaces, meta, readers, _lock: lock })
}

/// Checks the format, and writes the first rows into an empty database.
fn initialize(dir: &Path, database: &Database, clock: &Clock) -> Result<(), OpenError> {
    let failed = lmdb_error(dir);
    let damaged = |what| OpenError::Damaged { path: dir.to_owned(), what };
    let mut txn = database.env.write_txn().map_err(&failed)?;
    if let Some(stored) = database.meta.get(&txn, layout::META_FORMAT).map_err(&failed)? {
        let found = layout::decode_format(stored).map_err(|_| damaged("the format row"))?;
        if found > layout::FORMAT {
            let path = dir.to_owned();
            return Err(OpenError::NewerFormat { path, found, known: layout::FORMAT });
        }
        return Ok(());
    }
    if database.main.len(&txn).map_err(&failed)? > 0 {
        return Err(damaged("the format row is missing"));
    }
    let now = clock.now();
    let default = NamespaceRow { id: layout::DEFAULT_ID, created: now, updated: now };
    let state = StateRow { version: Version(0), instant: now, next_namespace: NamespaceId(2) };
    let name = DEFAULT_NAMESPACE.as_bytes();
    database.namespaces.put(&mut txn, name, &default.encode(name)).map_err(&failed)?;
    database.meta.put(&mut txn, layout::META_STATE, &state.encode()).map_err(&failed)?;
    database.meta.put(&mut txn, layout::META_FORMAT, &layout::encode_format()).map_err(&failed)?;
    txn.commit().map_err(&failed)?;
    // The file's name is durable only once its directory is, and so is the directory's.
    for path in [Some(dir), dir.parent()].into_iter().flatten() {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        File::open(path).and_then(|dir| dir.sync_all()).map_err(io_error("sync", path))?;
    }
    Ok(())
}

fn read_found(dir: &Path, database: &Database) -> Result<Found, OpenError> {
    let failed = lmdb_error(dir);
    let damaged = |what| OpenError::Damaged { path: dir.to_owned(), what };
    let txn = database.env.read_txn().map_err(&failed)?;
    let state = database.meta.get(&txn, layout::META_STATE).map_err(&failed)?;
    let state = state.ok_or_else(|| damaged("the state row is missing"))?;
    let state = StateRow::decode(state).map_err(|_| damaged("the state row"))?;
    let mut namespaces = Vec::new();
    for row in database.namespaces.iter(&txn).map_err(&failed)? {
        let (name, stored) = row.map_err(&failed)?;
        let row = NamespaceRow::decode(name, stored).map_err(|_| damaged("a namespace row"))?;
        let name = std::str::from_utf8(name).map_err(|_| damaged("a namespace name"))?;
        let NamespaceRow { id, created, updated } = row;
        namespaces.push((name.to_owned(), Namespace { id, created, updated }));
    }
    Ok(Found { state, namespaces })
}
