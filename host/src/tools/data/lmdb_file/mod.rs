//! Reads LMDB's file format by plain reads, page by page, and trusts no byte of it: what a damaged
//! file makes of LMDB itself (a crash, or rows that are not there) it tells as faults. Knows pages,
//! trees and the list of free pages; knows nothing of what larder stores in them. Never writes.

mod format;

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

pub use self::format::Tree;
use self::format::{
    BIG_VALUE, BRANCH, DEPTH_MAX, EMPTY, LEAF, META_BYTES, META_PAGES, Meta, NO_PAGE, Nodes,
    OVERFLOW, PAGE_HEAD, SUB_TREE, TREE_BYTES, u16_at, u32_at, u64_at,
};

/// Read at once where nothing is in memory.
const BLOCK_BYTES: usize = 256 << 10;
/// Faults that are told one by one; of more only the number is.
const FAULTS_TOLD_MAX: usize = 100;

/// What was found to be wrong, in sentences.
#[derive(Debug, Default)]
pub struct Faults {
    told: Vec<String>,
    count: usize,
}

impl Faults {
    /// Adds one.
    pub fn add(&mut self, fault: impl Into<String>) {
        self.count += 1;
        if self.told.len() < FAULTS_TOLD_MAX {
            self.told.push(fault.into());
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The first hundred of them.
    #[must_use]
    pub fn told(&self) -> &[String] {
        &self.told
    }
}

/// How a tree's keys are ordered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Bytes,
    Integers,
}

/// A data file, open for reading at one transaction.
pub struct Pages {
    file: File,
    length: u64,
    meta: Meta,
    /// One for each page: what it was found to be.
    seen: Vec<Seen>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    InTree,
    Free,
}

/// One row of a tree.
pub enum Row<'a> {
    /// A key and its value.
    Value(&'a [u8], &'a [u8]),
    /// A key of the catalogue and the tree that it names.
    Tree(&'a [u8], Tree),
}

impl Pages {
    /// Takes a file at its newest transaction, or at `txn`, which the caller must hold a reader's
    /// slot for while the file is written.
    ///
    /// # Errors
    /// The fault of the meta pages, without which nothing can be read.
    pub fn open(file: File, txn: Option<u64>) -> Result<Self, String> {
        // No reading ahead: what comes so is held in large pieces, in which a server's later writes
        // of single pages cost more (see `storage/lmdb/preallocate.rs`).
        let _ = fadvise(&file, 0, None, Advice::Random);
        if read_cached(&file, &mut [0], 0).is_none() {
            // Nor are blocks read there: page by page would take long.
            let _ = fadvise(&file, 0, None, Advice::Normal);
        }
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        let mut first = vec![0; PAGE_HEAD + META_BYTES];
        read(&file, &mut first, 0).map_err(|error| format!("meta page 0: {error}"))?;
        let first = Meta::decode(&first, 0)?;
        let mut second = vec![0; PAGE_HEAD + META_BYTES];
        read(&file, &mut second, first.page_size as u64)
            .map_err(|error| format!("meta page 1: {error}"))?;
        let second = Meta::decode(&second, 1)?;
        if first.page_size != second.page_size {
            return Err("the meta pages tell different page sizes".to_owned());
        }
        let meta = match txn {
            Some(txn) if first.txn == txn => first,
            Some(txn) if second.txn == txn => second,
            Some(txn) => return Err(format!("no meta page has transaction {txn}")),
            None if first.txn.abs_diff(second.txn) != 1 && (first.txn, second.txn) != (0, 0) => {
                let (first, second) = (first.txn, second.txn);
                return Err(format!(
                    "the meta pages have transactions {first} and {second}, which do not follow each other"
                ));
            }
            None => {
                if first.txn > second.txn {
                    first
                } else {
                    second
                }
            }
        };
        // Pages at the end that were never written are missing from the file, but not without end.
        let pages_max = length / meta.page_size as u64 + (1 << 24);
        if meta.last_page >= pages_max {
            return Err(format!(
                "the last page is said to be {}, in a file of {length} bytes",
                meta.last_page
            ));
        }
        let count = usize::try_from(meta.last_page).unwrap_or(usize::MAX - 1) + 1;
        Ok(Self { file, length, meta, seen: vec![Seen::Not; count] })
    }

    /// The catalogue: which trees there are.
    #[must_use]
    pub fn catalogue(&self) -> Tree {
        self.meta.catalogue
    }

    /// Visits every row of a tree in order, and checks every page that it meets. A page with a
    /// fault is left out, and so is what hangs on it.
    pub fn walk(
        &mut self,
        name: &str,
        tree: Tree,
        faults: &mut Faults,
        visit: &mut dyn FnMut(&mut Faults, Row<'_>),
    ) {
        self.walk_ordered(name, Order::Bytes, tree, faults, visit);
    }

    /// Checks the list of free pages, and that each page is either in a tree or free. To be called
    /// after all trees were walked.
    pub fn check_free(&mut self, faults: &mut Faults) {
        let mut free = Vec::new();
        let tree = self.meta.free;
        self.walk_ordered("free pages", Order::Integers, tree, faults, &mut |faults, row| {
            let Row::Value(_, value) = row else {
                return faults.add("the list of free pages holds a tree");
            };
            let listed = value.len() / 8;
            // LMDB may reserve more room than it fills.
            if value.len() % 8 != 0 || listed == 0 || u64_at(value, 0) >= listed as u64 {
                return faults.add("a row of the list of free pages is malformed");
            }
            let count = usize::try_from(u64_at(value, 0)).unwrap_or(0);
            free.extend((1..=count).map(|at| u64_at(value, at * 8)));
        });
        for page in free {
            match self.seen_mut(page) {
                None => faults.add(format!("page {page} is listed as free but cannot be")),
                Some(seen @ Seen::Not) => *seen = Seen::Free,
                Some(Seen::Free) => faults.add(format!("page {page} is listed as free twice")),
                Some(Seen::InTree) => {
                    faults.add(format!("page {page} is in use, and listed as free"))
                }
            }
        }
        let lost = self.seen.iter().skip(META_PAGES as usize).filter(|seen| **seen == Seen::Not);
        let lost = lost.count();
        if lost > 0 {
            faults.add(format!("{lost} pages are neither in use nor listed as free"));
        }
    }

    fn seen_mut(&mut self, page: u64) -> Option<&mut Seen> {
        if page < META_PAGES {
            return None;
        }
        self.seen.get_mut(usize::try_from(page).ok()?)
    }

    fn walk_ordered(
        &mut self,
        name: &str,
        order: Order,
        tree: Tree,
        faults: &mut Faults,
        visit: &mut dyn FnMut(&mut Faults, Row<'_>),
    ) {
        let found = Tree { depth: tree.depth, root: tree.root, ..EMPTY };
        let mut walk = Walk { pages: self, name, order, faults, visit, found };
        if tree.depth > DEPTH_MAX || (tree.root == NO_PAGE) != (tree.depth == 0) {
            return walk.faults.add(format!("the head of the tree {name} is malformed"));
        }
        if tree.depth > 0 {
            walk.page(tree.root, 1, (None, None));
        }
        let found = walk.found;
        if found != tree {
            let (told, found) = (tree.entries, found.entries);
            faults.add(format!(
                "the tree {name} does not hold what its head tells: {found} rows, {told} told"
            ));
        }
    }

    /// Takes pages for a tree; a fault when they cannot be, or are taken already.
    fn take(&mut self, first: u64, count: u64) -> Result<(), String> {
        for page in first..first.saturating_add(count) {
            match self.seen_mut(page) {
                Some(seen @ Seen::Not) => *seen = Seen::InTree,
                Some(_) => return Err("is used twice".to_owned()),
                None => return Err("is outside of the file's pages".to_owned()),
            }
        }
        Ok(())
    }

    fn read_page(&self, page: u64) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; self.meta.page_size];
        read(&self.file, &mut bytes, page.saturating_mul(self.meta.page_size as u64))?;
        if u64_at(&bytes, 0) != page {
            return Err(format!("says that it is page {}", u64_at(&bytes, 0)));
        }
        Ok(bytes)
    }
}

/// Keys of a page are not below the first and below the second.
type Bounds<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// One tree on its way from the root to the rows.
struct Walk<'a> {
    pages: &'a mut Pages,
    name: &'a str,
    order: Order,
    faults: &'a mut Faults,
    visit: &'a mut dyn FnMut(&mut Faults, Row<'_>),
    found: Tree,
}

impl Walk<'_> {
    fn page(&mut self, number: u64, depth: u16, bounds: Bounds<'_>) {
        let expected = if depth == self.found.depth { LEAF } else { BRANCH };
        let read = self.pages.take(number, 1).and_then(|()| self.pages.read_page(number));
        let nodes = read.and_then(|page| Nodes::decode(page, expected));
        match nodes {
            Ok(nodes) if expected == LEAF => self.leaf(number, &nodes, bounds),
            Ok(nodes) => self.branch(number, &nodes, depth, bounds),
            Err(fault) => self.fault(number, &fault),
        }
    }

    fn fault(&mut self, page: u64, fault: &str) {
        self.faults.add(format!("tree {}: page {page} {fault}", self.name));
    }

    fn branch(&mut self, number: u64, nodes: &Nodes, depth: u16, (low, high): Bounds<'_>) {
        self.found.branch_pages += 1;
        if nodes.count() < 2 {
            self.fault(number, "is a branch with less than two children");
        }
        // The first child begins where the branch does, whatever its key says.
        let keys: Vec<&[u8]> = (1..nodes.count()).map(|at| nodes.key(at)).collect();
        self.check_order(number, &keys, (low, high));
        for at in 0..nodes.count() {
            let from = if at == 0 { low } else { Some(nodes.key(at)) };
            let to = if at + 1 == nodes.count() { high } else { Some(nodes.key(at + 1)) };
            self.page(nodes.child(at), depth + 1, (from, to));
        }
    }

    fn leaf(&mut self, number: u64, nodes: &Nodes, bounds: Bounds<'_>) {
        self.found.leaf_pages += 1;
        let keys: Vec<&[u8]> = (0..nodes.count()).map(|at| nodes.key(at)).collect();
        if keys.is_empty() {
            self.fault(number, "is a leaf without rows");
        }
        self.check_order(number, &keys, bounds);
        for (at, key) in keys.into_iter().enumerate() {
            self.found.entries += 1;
            match self.value(nodes, at) {
                Ok(Value::Here(value)) => (self.visit)(self.faults, Row::Value(key, value)),
                Ok(Value::Read(value)) => (self.visit)(self.faults, Row::Value(key, &value)),
                Ok(Value::Tree(tree)) => (self.visit)(self.faults, Row::Tree(key, tree)),
                Err(fault) => {
                    let shown = key.escape_ascii();
                    self.fault(number, &format!("row {shown}: {fault}"));
                }
            }
        }
    }

    fn value<'n>(&mut self, nodes: &'n Nodes, at: usize) -> Result<Value<'n>, String> {
        let value = nodes.value(at);
        match nodes.flags(at) {
            0 => Ok(Value::Here(value)),
            SUB_TREE if value.len() == TREE_BYTES => Ok(Value::Tree(Tree::decode(value))),
            BIG_VALUE if value.len() == 8 => {
                self.big_value(u64_at(value, 0), nodes.size(at)).map(Value::Read)
            }
            _ => Err("is malformed".to_owned()),
        }
    }

    /// Reads a value that has pages of its own.
    fn big_value(&mut self, first: u64, size: usize) -> Result<Vec<u8>, String> {
        let page_size = self.pages.meta.page_size;
        let count = (PAGE_HEAD + size).div_ceil(page_size) as u64;
        let told = |fault| format!("page {first} {fault}");
        let offset = first.saturating_mul(page_size as u64).saturating_add(PAGE_HEAD as u64);
        if offset.saturating_add(size as u64) > self.pages.length {
            return Err(told("is behind the end of the file".to_owned()));
        }
        self.pages.take(first, count).map_err(told)?;
        self.found.overflow_pages += count;
        let head = self.pages.read_page(first).map_err(told)?;
        if u16_at(&head, 10) != OVERFLOW || u64::from(u32_at(&head, 12)) != count {
            return Err(told("is not the value's".to_owned()));
        }
        let mut value = vec![0; size];
        read(&self.pages.file, &mut value, offset).map_err(told)?;
        Ok(value)
    }

    fn check_order(&mut self, number: u64, keys: &[&[u8]], (low, high): Bounds<'_>) {
        let order = self.order;
        let rank = |key: &[u8]| match order {
            Order::Integers if key.len() == 8 => u64_at(key, 0),
            _ => 0,
        };
        let below = |a: &[u8], b: &[u8]| match order {
            Order::Bytes => a < b,
            Order::Integers => rank(a) < rank(b),
        };
        let rising = keys.windows(2).all(|pair| below(pair[0], pair[1]));
        let above_low = low.zip(keys.first()).is_none_or(|(low, first)| !below(first, low));
        let below_high = high.zip(keys.last()).is_none_or(|(high, last)| below(last, high));
        if !(rising && above_low && below_high) {
            self.fault(number, "has keys out of order");
        }
    }
}

enum Value<'a> {
    Here(&'a [u8]),
    Read(Vec<u8>),
    Tree(Tree),
}

/// Reads what is in memory from there; of anything else the block around it is read first. Where
/// the file system cannot tell, each read would have the block read anew: there it is left out.
fn read(file: &File, bytes: &mut [u8], offset: u64) -> Result<(), String> {
    match read_cached(file, bytes, offset) {
        Some(read) if read == bytes.len() => return Ok(()),
        Some(_) => {
            let block = offset - offset % BLOCK_BYTES as u64;
            // What fails here fails again, and is told, below.
            let _ = file.read_at(&mut vec![0; BLOCK_BYTES], block);
        }
        None => {}
    }
    file.read_exact_at(bytes, offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "is behind the end of the file".to_owned(),
        _ => format!("cannot be read: {error}"),
    })
}

/// Reads as much as is in memory; None where the file system cannot tell what is.
fn read_cached(file: &File, bytes: &mut [u8], offset: u64) -> Option<usize> {
    match preadv2(file, &mut [IoSliceMut::new(bytes)], offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => Some(read),
        Err(Errno::AGAIN) => Some(0),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::fsync;

    use super::*;

    #[test]
    fn what_is_not_in_memory_is_read_as_what_is() {
        let bytes: Vec<u8> = (0..2 * BLOCK_BYTES + 4096).map(|at| (at / 7) as u8).collect();
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &bytes).expect("its bytes");
        let file = File::open(file.path()).expect("the file");
        for offset in [0, 4096, BLOCK_BYTES - 4096, 2 * BLOCK_BYTES] {
            for length in [4096, BLOCK_BYTES] {
                fsync(&file).expect("on the disk");
                // Only what is on the disk is dropped from memory.
                fadvise(&file, 0, None, Advice::DontNeed).expect("out of memory");
                let mut found = vec![0; length];
                for _ in 0..2 {
                    let outcome = read(&file, &mut found, offset as u64);
                    match bytes.get(offset..offset + length) {
                        Some(bytes) => assert!(outcome.is_ok() && found == bytes, "{offset}"),
                        None => assert_eq!(outcome.unwrap_err(), "is behind the end of the file"),
                    }
                }
            }
        }
    }
}
