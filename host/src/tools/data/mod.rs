//! What is done with a data directory from outside of a server: check, back up, restore, export,
//! import. Each runs in a process of its own, and reads beside a server that writes, through a
//! reader's slot of LMDB's. Knows nothing of HTTP or guests.

mod backup;
mod check;
mod clock;
mod count;
mod error;
mod export;
mod import;
mod incoming;
pub mod lines;
mod lmdb_file;
mod owner;
mod publish;
mod reader;
mod restore;
pub mod text;
mod tokens;

pub use self::backup::{BackedUp, backup};
pub use self::check::{Findings, check, check_file};
pub use self::clock::{SetBack, Times, set_back, times};
pub use self::error::ToolError;
pub use self::export::{Exported, export};
pub use self::import::{Imported, import};
pub use self::incoming::VERSION_JUMP;
pub use self::lmdb_file::Faults;
pub use self::publish::Unpublished;
pub use self::reader::older_format;
pub use self::restore::restore;
pub use self::tokens::{TokenRows, is_served, open_alone, token_rows};
