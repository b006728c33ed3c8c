//! Opens the LMDB environment, and makes or checks what must be in it before anything is served.
//! Knows the databases and their first rows; where files stand is `directory`'s, and what operations
//! do with them is none of its business.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use heed::{Env, EnvOpenOptions, WithTls};

use super::database::Database;
use super::directory::{self, State, data_file, io_error};
use super::error::{damaged, unopened};
use super::layout::{self, Counts, NamespaceId, NamespaceRow, Record, StateRow};
use super::reader_table::ReaderTable;
use super::take_over;
use super::trees::{self, Trees};
use crate::clock::Clock;
use crate::storage::error::OpenError;
use crate::storage::options::Options;
use crate::storage::types::{DEFAULT_NAMESPACE, Version};

/// Address space for the map when no quota is set. It costs nothing until it is used.
const MAP_BYTES: u64 = 1 << 40;
/// Kept above a quota so that deletes and sweeps find free pages: at least this, or an eighth.
const RESERVE_BYTES: u64 = 64 << 20;

/// What the database held when it was opened.
pub struct Found {
    /// Counters and the highest instant seen.
    pub state: StateRow,
    /// All namespaces.
    pub namespaces: Vec<(String, NamespaceRow)>,
    /// Namespaces that were deleted and are not empty yet, with what is left of them.
    pub emptying: Vec<(NamespaceId, Counts)>,
    /// Entries, expired ones included.
    pub entries: u64,
    /// Whether the store was made by this.
    pub is_new: bool,
}

/// Opens or makes the store in `dir`.
pub fn open(dir: &Path, options: &Options, clock: &Clock) -> Result<(Database, Found), OpenError> {
    directory::make_private(dir)?;
    let lock = directory::take_lock(dir)?;
    let is_new = match directory::inspect(dir)? {
        State::Store => false,
        State::Nothing { remains } => {
            if !remains.is_empty() {
                let (path, found) = (dir.display(), remains.join(", "));
                tracing::warn!(%path, found, "there is no data file, but what a store leaves beside \
                    one: is a volume not mounted, or was the file deleted? A new store is made");
            }
            make(dir, clock)?;
            true
        }
    };
    let table = ReaderTable::open(dir).map_err(io_error("open", &directory::lock_file(dir)))?;
    let env = open_env(dir, options)?;
    let short = extend(dir, &env)?;
    let trees = match (open_trees(dir, &env, clock, short.is_some()), short) {
        (Err(error @ OpenError::NewerFormat { .. }), Some((found, _))) => {
            // Nothing of what is not understood is changed.
            drop(env);
            set_length(dir, found)?;
            return Err(error);
        }
        (Err(OpenError::Lmdb { .. } | OpenError::Damaged { .. }), Some((found, needed))) => {
            drop(env);
            set_length(dir, found)?;
            return Err(OpenError::Truncated { path: data_file(dir), found, needed });
        }
        (trees, _) => trees?,
    };
    let emptying = match trees.emptying {
        Some(emptying) => emptying,
        None => take_over::take_over(dir, &env, &trees, clock)?,
    };
    let Trees { main, expiry, namespaces, meta, tokens, .. } = trees;
    let (readers, reader_table, _lock) = (Arc::default(), Arc::new(table), Arc::new(lock));
    let database = Database {
        env,
        main,
        expiry,
        namespaces,
        meta,
        readers,
        tokens,
        emptying,
        reader_table,
        _lock,
    };
    let found = read_found(dir, &database, is_new)?;
    directory::mark(dir)?;
    Ok((database, found))
}

/// Changes the state row of the store in `dir`, which nobody has open, and nothing else: it keeps its format.
///
/// # Errors
/// What could not be read or written.
pub fn change_state(
    dir: &Path,
    options: &Options,
    change: impl FnOnce(StateRow) -> StateRow,
) -> Result<(), OpenError> {
    let failed = unopened(dir);
    let env = open_env(dir, options)?;
    extend(dir, &env)?;
    let format = trees::format(dir, &env)?;
    let meta = trees::create(&env, format).map_err(&failed)?.meta;
    let mut txn = env.write_txn().map_err(&failed)?;
    let stored = meta.get(&txn, layout::META_STATE).map_err(&failed)?;
    let state = change(state_row(dir, stored)?);
    meta.put(&mut txn, layout::META_STATE, &state.encode()).map_err(&failed)?;
    txn.commit().map_err(&failed)
}

/// Makes a new store beside its place and moves it there. Killed at any step, the next start finds a
/// whole store or none.
fn make(dir: &Path, clock: &Clock) -> Result<(), OpenError> {
    let folder = directory::begin_new(dir)?;
    // Address space for the first rows, not for what a server may make of them.
    let env = open_env(&folder, &Options { bytes_max: Some(0), ..Options::default() })?;
    let trees = trees::create(&env, None).map_err(unopened(dir))?;
    write_first_rows(&env, &trees, clock).map_err(unopened(dir))?;
    env.prepare_for_closing().wait();
    directory::publish_new(dir, &folder)
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
    let bytes = map_bytes(options.bytes_max);
    let mut open = EnvOpenOptions::new().read_txn_with_tls();
    open.map_size(bytes).max_dbs(trees::TREES_MAX).max_readers(options.readers_max);
    // SAFETY: the directory is private to this user and locked by this process, default flags
    // are used, and nobody else has reason to change the file while it is mapped.
    unsafe { open.open(dir) }.map_err(|error| match error {
        heed::Error::Io(error) if error.kind() == ErrorKind::OutOfMemory => {
            OpenError::NoAddressSpace { path: data_file(dir), bytes }
        }
        error => unopened(dir)(error),
    })
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
fn read_everything(env: &Env<WithTls>, trees: &Trees) -> Result<(), heed::Error> {
    let damaged = || heed::Error::Mdb(heed::MdbError::Corrupted);
    let txn = env.read_txn()?;
    let small = [trees.expiry, trees.namespaces, trees.meta, trees.tokens];
    for tree in small.into_iter().chain(trees.emptying) {
        tree.iter(&txn)?.try_for_each(|row| row.map(|_| ()))?;
    }
    for row in trees.main.iter(&txn)? {
        let (key, stored) = row?;
        Record::decode(key, stored).map_err(|_| damaged())?;
    }
    Ok(())
}

/// Opens the trees of a store whose format this program knows, making those that were not thought of
/// when it was made. Where the file was `short`, all that is in it is read.
fn open_trees(
    dir: &Path,
    env: &Env<WithTls>,
    clock: &Clock,
    short: bool,
) -> Result<Trees, OpenError> {
    let format = trees::format(dir, env)?;
    let trees = trees::create(env, format).map_err(unopened(dir))?;
    if format.is_none() {
        // What was interrupted when stores were still made in their place has no rows at all.
        let rows = (|| trees.main.len(&*env.read_txn()?))().map_err(unopened(dir))?;
        if rows > 0 || directory::is_marked(dir) {
            return Err(damaged(dir, "the format row is missing"));
        }
        write_first_rows(env, &trees, clock).map_err(unopened(dir))?;
    }
    if short {
        read_everything(env, &trees).map_err(unopened(dir))?;
    }
    Ok(trees)
}

/// Writes what every store holds, durably.
fn write_first_rows(env: &Env<WithTls>, trees: &Trees, clock: &Clock) -> Result<(), heed::Error> {
    let now = clock.now();
    let (quotas, counts) = Default::default();
    let default =
        NamespaceRow { id: layout::DEFAULT_ID, created: now, updated: now, quotas, counts };
    let state = StateRow { version: Version(0), instant: now, next_namespace: NamespaceId(2) };
    let name = DEFAULT_NAMESPACE.as_bytes();
    let mut txn = env.write_txn()?;
    trees.namespaces.put(&mut txn, name, &default.encode(name))?;
    trees.meta.put(&mut txn, layout::META_STATE, &state.encode())?;
    trees.meta.put(&mut txn, layout::META_FORMAT, &layout::encode_format())?;
    txn.commit()
}

fn state_row(dir: &Path, stored: Option<&[u8]>) -> Result<StateRow, OpenError> {
    let stored = stored.ok_or_else(|| damaged(dir, "the state row is missing"))?;
    StateRow::decode(stored).map_err(|_| damaged(dir, "the state row"))
}

fn read_found(dir: &Path, database: &Database, is_new: bool) -> Result<Found, OpenError> {
    let failed = unopened(dir);
    let damaged = |what| damaged(dir, what);
    let txn = database.env.read_txn().map_err(&failed)?;
    let state = state_row(dir, database.meta.get(&txn, layout::META_STATE).map_err(&failed)?)?;
    let mut namespaces = Vec::new();
    for row in database.namespaces.iter(&txn).map_err(&failed)? {
        let (name, stored) = row.map_err(&failed)?;
        let row = NamespaceRow::decode(name, stored).map_err(|_| damaged("a namespace row"))?;
        let name = std::str::from_utf8(name).map_err(|_| damaged("a namespace name"))?;
        namespaces.push((name.to_owned(), row));
    }
    let mut emptying = Vec::new();
    for row in database.emptying.iter(&txn).map_err(&failed)? {
        let (key, stored) = row.map_err(&failed)?;
        let left = layout::decode_emptying_key(key)
            .and_then(|id| layout::decode_emptying(key, stored).map(|left| (id, left)));
        emptying.push(left.map_err(|_| damaged("a row of a deleted namespace"))?);
    }
    let entries = database.main.len(&txn).map_err(&failed)?;
    Ok(Found { state, namespaces, emptying, entries, is_new })
}
