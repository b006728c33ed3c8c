//! How a store of format 1 becomes one of format 2: from what the first version wrote, whole and damaged.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use heed::types::Bytes;
use heed::{CommitOrAbort, EnvOpenOptions, RwTxn};
use larder::clock::{Clock, DrivenClock, Millis};
use larder::storage::{Options, Storage};
use larder::tools::data;
use tempfile::TempDir;

type Tree = heed::Database<'static, Bytes, Bytes>;

/// Entries of the store that the first version wrote, those of `orders` and those of `many`.
const ENTRIES: u64 = 212;
const OF_ORDERS: usize = 2;
const OF_MANY: u64 = 199;

/// A data directory with what the first version wrote.
fn store() -> (TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/store-1/data.mdb");
    fs::copy(golden, data.join("data.mdb")).unwrap();
    (dir, data)
}

/// Opens the store as a server does, without sweeping.
fn open(data: &Path) -> Result<Storage, larder::storage::OpenError> {
    let options = Options { sweep_interval: None, ..Options::default() };
    Storage::open(data, options, Clock::driven(&DrivenClock::at(Millis(1))))
}

/// Changes rows of the namespaces' tree by hand.
#[expect(unsafe_code, reason = "LMDB maps a file, which Rust cannot check")]
fn change(data: &Path, change: impl FnOnce(Tree, &mut RwTxn<'_>)) {
    // SAFETY: nobody else has the file.
    let env = unsafe { EnvOpenOptions::new().map_size(1 << 24).max_dbs(8).open(data) }.unwrap();
    let opened = env.open_databases_and_commit(env.read_txn().unwrap(), |opener, txn| {
        let tree = opener.open_database::<Bytes, Bytes>(txn, Some("namespaces"))?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(tree))
    });
    let tree = opened.unwrap().unwrap_commit().unwrap();
    let mut txn = env.write_txn().unwrap();
    change(tree, &mut txn);
    txn.commit().unwrap();
}

fn faults(data: &Path) -> Vec<String> {
    data::check(data).unwrap().faults.told().to_vec()
}

#[test]
fn every_namespace_is_counted_when_a_store_is_taken_over() {
    let (_dir, data) = store();
    assert_eq!(data::older_format(&data).unwrap(), Some(1));
    let storage = open(&data).unwrap();
    let usage = |name: &str| storage.usage(name).map(|usage| (usage.keys, usage.bytes));
    assert_eq!(usage("empty"), Ok((0, 0)));
    assert_eq!(usage("orders"), Ok((2, 4 + 9 + 4 + 1)));
    // "key-NNN" and "value N", all but `key-007`.
    let values: u64 = (0..200).filter(|n| *n != 7).map(|n| format!("value {n}").len() as u64).sum();
    assert_eq!(usage("many"), Ok((OF_MANY, 7 * OF_MANY + values)));
    storage.close();
    drop(storage);
    assert_eq!(data::older_format(&data).unwrap(), None);
    let findings = data::check(&data).unwrap();
    assert_eq!((findings.entries, findings.faults.told()), (ENTRIES, &[][..]));
}

#[test]
fn records_of_a_namespace_that_is_not_there_stay_and_are_told() {
    let (_dir, data) = store();
    change(&data, |tree, txn| assert!(tree.delete(txn, b"orders").unwrap()));
    let lost = faults(&data);
    assert_eq!(lost.len(), OF_ORDERS, "{lost:?}");
    assert!(lost.iter().all(|fault| fault.contains("which is not there")), "{lost:?}");
    let storage = open(&data).unwrap();
    assert_eq!(storage.usage("many").map(|usage| usage.keys), Ok(OF_MANY));
    drop(storage);
    // Neither lost nor anybody's, and no count is wrong by them.
    assert_eq!(faults(&data), lost);
    assert_eq!(data::check(&data).unwrap().entries, ENTRIES);
}

#[test]
fn a_store_with_a_damaged_row_is_not_taken_over_and_stays_as_it_is() {
    let (_dir, data) = store();
    change(&data, |tree, txn| {
        let mut row = tree.get(txn, b"orders").unwrap().unwrap().to_vec();
        row[9] ^= 1;
        tree.put(txn, b"orders", &row).unwrap();
    });
    let before = fs::read(data.join("data.mdb")).unwrap();
    let refused = open(&data).err().unwrap().to_string();
    assert!(refused.contains("is damaged (a namespace row)"), "{refused}");
    assert!(fs::read(data.join("data.mdb")).unwrap() == before);
    assert_eq!(data::older_format(&data).unwrap(), Some(1));
}
