//! Takes a store of format 1 over into format 2, in its place: counts in one scan what each namespace holds,
//! and writes the counts and the new format in one transaction. Killed at any step, the store is of one format
//! or of the other, and whole. Knows both formats; knows nothing of how a store is found or locked.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use heed::types::Bytes;
use heed::{CommitOrAbort, Env, WithTls};

use super::database::Tree;
use super::error::{damaged, unopened};
use super::layout::{self, Counts, FORMAT_1, NamespaceId, NamespaceRow};
use super::trees::{EMPTYING, Trees};
use crate::clock::Clock;
use crate::storage::error::OpenError;

/// How often the log tells how far the count has come.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(3);
/// Records that are counted between two looks at the clock.
const LOOK_RECORDS: u64 = 1 << 12;
/// Ids of namespaces that are not there, of which the log names so many.
const STRAYS_NAMED: usize = 10;

/// Takes the store in `dir` over, whose `trees` are of format 1, and returns the tree that it lacked.
///
/// # Errors
/// What could not be read or written. The store is of format 1 still.
pub fn take_over(
    dir: &Path,
    env: &Env<WithTls>,
    trees: &Trees,
    clock: &Clock,
) -> Result<Tree, OpenError> {
    let began = clock.monotonic();
    let path = dir.display();
    let failed = |source| OpenError::NotTakenOver { path: dir.to_owned(), source };
    let mut rows = rows(dir, env, trees)?;
    let records = trees.main.len(&*env.read_txn().map_err(failed)?).map_err(failed)?;
    tracing::warn!(
        %path, records,
        "the data are of storage format {FORMAT_1}, and are taken over into format {} in their place: their \
         keys and bytes are counted once. Larders before this version refuse them from then on; the way \
         back is larder export with this version, and larder import with that one",
        layout::FORMAT
    );
    let mut counts = count(env, trees, clock).map_err(failed)?;
    for (_, row) in &mut rows {
        row.counts = counts.remove(&row.id).unwrap_or_default();
    }
    tell_strays(&counts);
    let emptying = write(env, trees, &rows).map_err(failed)?;
    let took_ms = clock.monotonic().saturating_sub(began).as_millis();
    let namespaces = rows.len();
    tracing::warn!(
        %path, records, namespaces, took_ms,
        "the data were taken over: they are of storage format {} now", layout::FORMAT
    );
    Ok(emptying)
}

type Rows = Vec<(Vec<u8>, NamespaceRow)>;

fn rows(dir: &Path, env: &Env<WithTls>, trees: &Trees) -> Result<Rows, OpenError> {
    let failed = unopened(dir);
    let txn = env.read_txn().map_err(&failed)?;
    let mut rows = Vec::new();
    for row in trees.namespaces.iter(&txn).map_err(&failed)? {
        let (name, stored) = row.map_err(&failed)?;
        let row = NamespaceRow::decode_format_1(name, stored);
        rows.push((name.to_vec(), row.map_err(|_| damaged(dir, "a namespace row"))?));
    }
    Ok(rows)
}

/// What there is of each id, whether or not a namespace has it.
fn count(
    env: &Env<WithTls>,
    trees: &Trees,
    clock: &Clock,
) -> Result<HashMap<NamespaceId, Counts>, heed::Error> {
    let txn = env.read_txn()?;
    let records = trees.main.len(&txn)?;
    let mut told = clock.monotonic();
    let mut counts = HashMap::<NamespaceId, Counts>::new();
    let mut counted = 0;
    for record in trees.main.iter(&txn)? {
        let (key, stored) = record?;
        // A key that is too short for an id is nobody's, as an id is that no namespace has.
        let id = key.first_chunk().copied().map_or(0, u32::from_be_bytes);
        let of_id = counts.entry(NamespaceId(id)).or_default();
        of_id.keys += 1;
        of_id.bytes += layout::counted_bytes(key, stored);
        counted += 1;
        if counted % LOOK_RECORDS == 0 {
            let now = clock.monotonic();
            if now.saturating_sub(told) >= PROGRESS_INTERVAL {
                tracing::info!(counted, records, "the data are being taken over");
                told = now;
            }
        }
    }
    Ok(counts)
}

/// Tells of records that belong to no namespace. They stay where they are, as they did before.
fn tell_strays(strays: &HashMap<NamespaceId, Counts>) {
    if strays.is_empty() {
        return;
    }
    let records: u64 = strays.values().map(|counts| counts.keys).sum();
    let mut ids: Vec<u32> = strays.keys().map(|id| id.0).collect();
    ids.sort_unstable();
    ids.truncate(STRAYS_NAMED);
    tracing::warn!(
        records,
        ?ids,
        "there are records of namespaces that are not there: they stay, and nobody can read them; run: \
         larder check"
    );
}

/// Everything that is new, in one transaction.
fn write(env: &Env<WithTls>, trees: &Trees, rows: &Rows) -> Result<Tree, heed::Error> {
    let made = env.create_databases_and_commit(env.write_txn()?, |opener, txn| {
        let emptying = opener.create_database::<Bytes, Bytes>(txn, Some(EMPTYING))?;
        for (name, row) in rows {
            trees.namespaces.put(txn, name, &row.encode(name))?;
        }
        trees.meta.put(txn, layout::META_FORMAT, &layout::encode_format())?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(emptying))
    })?;
    Ok(made.unwrap_commit())
}
