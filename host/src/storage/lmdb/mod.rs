//! The store over LMDB: one environment, one writer thread, and what watches both. Owns every stored
//! byte; knows nothing of HTTP or of guests.

pub(crate) mod apply;
pub(crate) mod caretaker;
pub(crate) mod directory;
pub(crate) mod env;
pub mod layout;
pub(crate) mod namespaces;
pub(crate) mod periodic;
pub(crate) mod preallocate;
pub(crate) mod queue;
pub(crate) mod reader_table;
pub(crate) mod readers;
pub(crate) mod site;
pub(crate) mod stats;
pub(crate) mod sweeper;
pub(crate) mod writer;
