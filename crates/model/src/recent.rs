//! What a store says of a table of which it holds the recent rows alone; the lake has them all.

use serde::{Deserialize, Serialize};

/// Which rows of a table a store holds: a part of the note that publish leaves there, in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentRows {
    /// The column that says how old a row is.
    pub by: String,
    /// The least value of that column among the rows that are held, and the first one that is; of a day, its midnight in
    /// UTC. The lake alone has the rows before it.
    pub from: jiff::Timestamp,
    /// How old a row might be when the run started, in milliseconds.
    pub keep: u64,
    /// The columns that name a row; empty where none are known to.
    pub key: Vec<String>,
    /// Whether there may be rows without a value of that column, which the lake alone has.
    pub undated: bool,
}
