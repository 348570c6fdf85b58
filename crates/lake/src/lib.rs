//! Delta tables in the lake: opened, read as streams, written in bounded memory, and committed with the sequence number
//! of what they hold. The only crate that names deltalake.
//!
//! A table's rows change in one way: files are written first ([`Writer`]), then one commit ([`Commit`]) adds them, removes
//! others, extends the schema and notes the sequence number, all or nothing. A commit that finds another one in its place
//! fails with [`ErrorKind::Conflict`]; the caller reads again and decides again. What a writer that was killed leaves are
//! files that no commit names.

mod cast;
mod commit;
mod erase;
mod error;
mod history;
mod keys;
mod lake;
mod parquet_file;
mod purge;
mod retry;
mod row_groups;
mod scan;
mod sieve;
mod stats;
mod table;
mod upkeep;
mod writer;

pub use cast::cast;
pub use commit::{Commit, WriteKind};
pub use erase::{Erased, ForgottenKey};
pub use error::{Error, ErrorKind};
pub use history::Entry;
pub use keys::{Edit, KeySet, Rewritten};
pub use lake::Lake;
pub use retry::until_committed;
pub use scan::{RowStream, Scan};
pub use table::{DataFile, Table};
pub use writer::{Varied, Writer};
