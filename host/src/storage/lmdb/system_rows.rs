//! Reads the tables that the host keeps for itself, for a server and for commands beside it alike. What
//! the rows say is not known here.

use heed::{RoTxn, WithTls};

use super::database::Tree;
use super::layout;
use crate::storage::types::SystemRows;

/// All rows of a table.
pub fn read(tree: Tree, txn: &RoTxn<'_, WithTls>) -> Result<SystemRows, heed::Error> {
    let mut found = SystemRows::default();
    for row in tree.iter(txn)? {
        let (id, stored) = row?;
        match std::str::from_utf8(id) {
            Ok(text) => {
                let content = layout::decode_system_row(id, stored).ok();
                found.rows.push((text.to_owned(), content.map(<[u8]>::to_vec)));
            }
            Err(_) => found.damaged_ids.push(id.escape_ascii().to_string()),
        }
    }
    Ok(found)
}
