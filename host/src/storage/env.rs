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
/// Room for trees by name; there are five.
pub const TREES_MAX: u32 = 8;
/// Folder of a data directory in which a restore or an import makes the data.
pub const INCOMING: &str = "incoming";
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
    /// Tokens by id.
    pub tokens: Tree,
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
    refuse_unfinished(dir)?;
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

/// Makes the directory, or finds out whether what is there is private and on a disk of this machine.
pub fn make_private_dir(dir: &Path) -> Result<(), OpenError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(io_error("create the data directory", dir))?;
    let metadata = fs::metadata(dir).map_err(io_error("look at", dir))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(OpenError::NotPrivate { path: dir.to_owned(), mode });
    }
    let on = rustix::fs::statfs(dir).map_err(|error| io_error("look at", dir)(error.into()))?;
    match network_file_system(on.f_type as u64) {
        Some(kind) => Err(OpenError::OnNetwork { path: dir.to_owned(), kind }),
        None => Ok(()),
    }
}

/// Names the network file system that a magic number of `statfs` stands for: LMDB's locks and maps
/// do not work across machines. Numbers from Linux' `magic.h` and the file systems' own headers.
fn network_file_system(magic: u64) -> Option<&'static str> {
    // The field is signed on some systems: the numbers have 32 bits.
    match magic & 0xFFFF_FFFF {
        0x6969 => Some("NFS"),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x0102_1997 => Some("9P"),
        0x00C3_6400 => Some("Ceph"),
        0x5346_414F | 0x6B41_4653 => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x0BD0_0BD0 => Some("Lustre"),
        0x7461_636F => Some("OCFS2"),
        0x0116_1970 => Some("GFS2"),
        0x564C => Some("NCP"),
        _ => None,
    }
}

/// Refuses what a restore or an import has begun and not finished; tidies up after one that has.
fn refuse_unfinished(dir: &Path) -> Result<(), OpenError> {
    let incoming = dir.join(INCOMING);
    if !incoming.exists() {
        return Ok(());
    }
    if !data_file(dir).exists() {
        return Err(OpenError::Unfinished(incoming));
    }
    fs::remove_dir_all(&incoming).map_err(io_error("remove", &incoming))
}

/// Takes the lock that keeps every other server and restore away, for as long as the file is open.
pub fn take_lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

/// The file that holds the data.
pub fn data_file(dir: &Path) -> PathBuf {
    dir.join("data.mdb")
}

/// Address space for the map, with or without a quota.
pub fn map_bytes(quota: Option<u64>) -> usize {
    let bytes = match quota {
        Some(quota) => quota.saturating_add((quota / 8).max(RESERVE_BYTES)),
        None => MAP_BYTES,
    };
    let page = rustix::param::page_size() as u64;
    usize::try_from(bytes.next_multiple_of(page)).unwrap_or(usize::MAX)
}

#[expect(unsafe_code, reason = "LMDB maps a file, which Rust cannot check")]
fn open_env(dir: &Path, options: &Options) -> Result<Env<WithTls>, OpenError> {
    let mut open = EnvOpenOptions::new().read_txn_with_tls();
    open.map_size(map_bytes(options.bytes_max)).max_dbs(TREES_MAX).max_readers(options.readers_max);
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
    for tree in [database.expiry, database.namespaces, database.meta, database.tokens] {
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
            let tokens = opener.create_database::<Bytes, Bytes>(txn, Some("tokens"))?;
            Ok(CommitOrAbort::<_, ()>::Commit((main, expiry, namespaces, meta, tokens)))
        })
        .map_err(lmdb_error(dir))?;
    let (main, expiry, namespaces, meta, tokens) = made.unwrap_commit();
    let readers = Arc::default();
    Ok(Database { env, main, expiry, namespaces, meta, tokens, readers, _lock: lock })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers_and_local_ones_are_not() {
        // What statfs gives for NFS, CIFS (signed, as 32 bits and extended to 64) and 9P ...
        for magic in [0x6969, 0xFF53_4D42, 0xFFFF_FFFF_FF53_4D42, 0x0102_1997] {
            assert!(network_file_system(magic).is_some(), "{magic:#x}");
        }
        // ... and for ext4, XFS, btrfs, tmpfs, overlayfs and ZFS.
        for magic in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x2FC1_2FC1] {
            assert!(network_file_system(magic).is_none(), "{magic:#x}");
        }
    }
}
