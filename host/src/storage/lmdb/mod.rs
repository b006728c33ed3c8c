//! The engine over LMDB: one environment, one writer thread, and what watches both. Owns every stored
//! byte; knows nothing of HTTP or of guests. What the rest of storage needs of it is in `engine.rs`.

pub(crate) mod apply;
pub(crate) mod caretaker;
pub(crate) mod database;
pub(crate) mod directory;
pub(crate) mod draft;
pub(crate) mod engine;
pub(crate) mod env;
pub(crate) mod error;
pub(crate) mod judge;
pub mod layout;
pub(crate) mod ledger;
pub(crate) mod lists;
pub(crate) mod namespaces;
pub(crate) mod periodic;
pub(crate) mod plan;
pub(crate) mod preallocate;
pub(crate) mod queue;
pub(crate) mod reader_table;
pub(crate) mod readers;
pub(crate) mod site;
pub(crate) mod stats;
pub(crate) mod sweep;
pub(crate) mod sweeper;
pub(crate) mod system_rows;
pub(crate) mod take_over;
pub(crate) mod trees;
pub(crate) mod write_stats;
pub(crate) mod writer;
