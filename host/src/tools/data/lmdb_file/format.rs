//! LMDB's pages as bytes: meta pages, heads of trees, nodes; decoded and checked one page at a time.
//! Knows nothing of files, nor of how pages hang together.
//!
//! Source of the format: LMDB 0.9's `mdb.c`, data version 1, 64-bit, little-endian.

pub const PAGE_HEAD: usize = 16;
const NODE_HEAD: usize = 8;
const PAGE_SIZES: std::ops::RangeInclusive<usize> = 512..=65536;
pub const BRANCH: u16 = 0x01;
pub const LEAF: u16 = 0x02;
pub const OVERFLOW: u16 = 0x04;
const META: u16 = 0x08;
pub const BIG_VALUE: u16 = 0x01;
pub const SUB_TREE: u16 = 0x02;
const MAGIC: u32 = 0xBEEF_C0DE;
const DATA_VERSION: u32 = 1;
pub const NO_PAGE: u64 = u64::MAX;
/// LMDB's own limit of a tree's depth.
pub const DEPTH_MAX: u16 = 32;
pub const TREE_BYTES: usize = 48;
pub const META_BYTES: usize = 136;
pub const META_PAGES: u64 = 2;
/// The head of a tree, as a meta page or the catalogue holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Pages from the root to a leaf, both counted; 0 without rows.
    pub depth: u16,
    /// Pages that hold keys and pages.
    pub branch_pages: u64,
    /// Pages that hold rows.
    pub leaf_pages: u64,
    /// Pages of values that have pages of their own.
    pub overflow_pages: u64,
    /// Rows.
    pub entries: u64,
    /// The root's number, or [`NO_PAGE`].
    pub root: u64,
}

impl Tree {
    /// Decodes [`TREE_BYTES`].
    pub fn decode(bytes: &[u8]) -> Self {
        Self {
            depth: u16_at(bytes, 6),
            branch_pages: u64_at(bytes, 8),
            leaf_pages: u64_at(bytes, 16),
            overflow_pages: u64_at(bytes, 24),
            entries: u64_at(bytes, 32),
            root: u64_at(bytes, 40),
        }
    }
}

/// What one meta page says.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    pub page_size: usize,
    pub free: Tree,
    pub catalogue: Tree,
    pub last_page: u64,
    pub txn: u64,
}

impl Meta {
    pub fn decode(page: &[u8], number: u64) -> Result<Self, String> {
        let meta = &page[PAGE_HEAD..PAGE_HEAD + META_BYTES];
        if u16_at(page, 10) != META || u64_at(page, 0) != number {
            return Err(format!("page {number} is no meta page"));
        }
        if u32_at(meta, 0) != MAGIC || u32_at(meta, 4) != DATA_VERSION {
            return Err(format!("meta page {number} is not of LMDB's data version 1"));
        }
        let page_size = u32_at(meta, 24) as usize;
        if !PAGE_SIZES.contains(&page_size) || !page_size.is_power_of_two() {
            return Err(format!("meta page {number} tells a page size of {page_size}"));
        }
        let free = Tree::decode(&meta[24..]);
        let catalogue = Tree::decode(&meta[24 + TREE_BYTES..]);
        let (last_page, txn) = (u64_at(meta, 120), u64_at(meta, 128));
        // Transactions take turns between the two; a new file has 0 on both.
        if txn % 2 != number && txn != 0 {
            return Err(format!("meta page {number} has transaction {txn}, which is the other's"));
        }
        Ok(Self { page_size, free, catalogue, last_page, txn })
    }
}

/// A tree without rows.
pub const EMPTY: Tree =
    Tree { depth: 0, branch_pages: 0, leaf_pages: 0, overflow_pages: 0, entries: 0, root: NO_PAGE };

/// The nodes of a branch or a leaf, all of them inside of the page.
pub struct Nodes {
    page: Vec<u8>,
    offsets: Vec<usize>,
}

impl Nodes {
    pub fn decode(page: Vec<u8>, expected: u16) -> Result<Self, String> {
        let flags = u16_at(&page, 10);
        if flags != expected {
            return Err(format!("has flags {flags:#x} where {expected:#x} must be"));
        }
        let (lower, upper) = (usize::from(u16_at(&page, 12)), usize::from(u16_at(&page, 14)));
        if lower < PAGE_HEAD || lower > upper || upper > page.len() || lower % 2 != 0 {
            return Err("has a malformed head".to_owned());
        }
        let count = (lower - PAGE_HEAD) / 2;
        let offsets = (0..count).map(|at| usize::from(u16_at(&page, PAGE_HEAD + at * 2)));
        let nodes = Self { offsets: offsets.collect(), page };
        let inside = |at: usize| {
            let offset = nodes.offsets[at];
            offset >= upper
                && offset + NODE_HEAD <= nodes.page.len()
                && nodes.end(at, expected).is_some_and(|end| end <= nodes.page.len())
        };
        if (0..count).all(inside) { Ok(nodes) } else { Err("has a node outside of it".to_owned()) }
    }

    fn end(&self, at: usize, kind: u16) -> Option<usize> {
        let value = if kind == BRANCH { 0 } else { self.value_length(at) };
        (self.offsets[at] + NODE_HEAD + self.key_length(at)).checked_add(value)
    }

    pub fn count(&self) -> usize {
        self.offsets.len()
    }

    fn key_length(&self, at: usize) -> usize {
        usize::from(u16_at(&self.page, self.offsets[at] + 6))
    }

    /// Bytes of the value, wherever it is.
    pub fn size(&self, at: usize) -> usize {
        u32_at(&self.page, self.offsets[at]) as usize
    }

    /// Bytes of what stands in the node itself.
    fn value_length(&self, at: usize) -> usize {
        if self.flags(at) & BIG_VALUE != 0 { 8 } else { self.size(at) }
    }

    pub fn flags(&self, at: usize) -> u16 {
        u16_at(&self.page, self.offsets[at] + 4)
    }

    pub fn key(&self, at: usize) -> &[u8] {
        let start = self.offsets[at] + NODE_HEAD;
        &self.page[start..start + self.key_length(at)]
    }

    pub fn value(&self, at: usize) -> &[u8] {
        let start = self.offsets[at] + NODE_HEAD + self.key_length(at);
        &self.page[start..start + self.value_length(at)]
    }

    pub fn child(&self, at: usize) -> u64 {
        let offset = self.offsets[at];
        u64::from(u32_at(&self.page, offset)) | (u64::from(self.flags(at)) << 32)
    }
}

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes[at..].first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
