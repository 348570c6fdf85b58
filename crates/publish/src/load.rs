//! The rows' way into a table: streamed from the lake, encoded, and copied.

use crate::column::{Column, list};
use crate::copy::{self, HEADER, TRAILER};
use crate::recent::Cut;
use crate::{Progress, Stop};
use bytes::Bytes;
use futures::{SinkExt as _, TryStreamExt as _, pin_mut};
use millrace_lake::Scan;
use millrace_model::{Failure, FailureName};
use tokio_postgres::{CopyInSink, Transaction};

/// How many rows are encoded at once.
const BATCH_ROWS: usize = 8192;

/// Rows of the lake.
pub struct Rows<'a> {
    /// The files that they are in.
    pub scan: Scan,
    /// Their columns.
    pub columns: &'a [Column],
    /// Which of them are meant; all where this is none.
    pub cut: Option<&'a Cut>,
}

/// Copies rows into a table, and says how many they were. `options` are COPY's, beside the format.
pub async fn copy(
    transaction: &Transaction<'_>,
    rows: Rows<'_>,
    into: &str,
    options: &str,
    progress: &mut Progress<'_>,
) -> Result<u64, Stop> {
    let Rows { scan, columns, cut } = rows;
    let sql = format!(
        "COPY {into} ({}) FROM STDIN (FORMAT binary{options})",
        list(columns)
    );
    let sink: CopyInSink<Bytes> = transaction.copy_in(&sql).await?;
    pin_mut!(sink);
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut batches = scan.columns(&names).batch_rows(BATCH_ROWS).stream();
    sink.feed(Bytes::from_static(HEADER)).await?;
    while let Some(read) = batches.try_next().await.map_err(Failure::from)? {
        let batch = match cut {
            Some(cut) => cut.of(&read)?,
            None => read,
        };
        let chunks = copy::encode(&batch, columns)
            .map_err(|unfit| Failure::new(FailureName::BadData, format!("{into}: {unfit}")))?;
        for chunk in chunks {
            progress.bytes(chunk.len());
            sink.send(chunk).await?;
        }
        progress.rows(batch.num_rows())?;
    }
    sink.feed(Bytes::from_static(TRAILER)).await?;
    Ok(sink.finish().await?)
}
