//! What the tables of a route hold now: the version that publish noted in the same transaction as the rows.

use deadpool_postgres::ClientWrapper;
use jiff::Timestamp;
use millrace_model::digest::Digest;
use millrace_serve::source::{Dataset, Snapshot};
use std::sync::Arc;
use tokio_postgres::{Error, Row, Statement};

/// All that is known of tables of these schemas and of these names. No more is asked of PostgreSQL than it must do: a
/// connection that was just made has to learn each operator and function that a query names.
const PUBLISHED: &str = "
    SELECT schema, relation, source, version, files, layout, run, published_at
    FROM millrace.published WHERE schema = ANY ($1) AND relation = ANY ($2)";

/// A table of Millrace's, as publish noted it.
struct Published {
    relation: (String, String),
    identity: String,
    run: String,
    at: Timestamp,
}

/// Prepares what [`read`] asks; it may come with what else is said at a connection's beginning.
pub async fn prepare(client: &ClientWrapper) -> Result<Statement, Error> {
    client.prepare_cached(PUBLISHED).await
}

/// Reads the version of these tables, schema and name. None where one of them is not Millrace's: then nobody says when
/// it changes.
pub async fn read(
    client: &ClientWrapper,
    relations: &[(String, String)],
) -> Result<Option<Arc<Dataset>>, Error> {
    let (schemas, names): (Vec<&str>, Vec<&str>) = relations
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .unzip();
    let statement = prepare(client).await?;
    let rows = client.query(&statement, &[&schemas, &names]).await?;
    let published: Result<Vec<Published>, Error> = rows.iter().map(Published::of).collect();
    let mut published = published?;
    published.retain(|table| relations.contains(&table.relation));
    published.sort_by(|left, right| left.relation.cmp(&right.relation));
    if published.len() < relations.len() {
        return Ok(None);
    }
    let digest = Digest::of(published.iter().map(|table| &table.identity));
    let oldest = published.into_iter().min_by_key(|table| table.at);
    Ok(oldest.map(|table| {
        Arc::new(Dataset {
            identity: digest.bytes(),
            as_of: table.at,
            run: Some(table.run),
            snapshot: None,
        })
    }))
}

/// What is known of one table of which the recent rows are there.
const RECENT: &str = "
    SELECT schema, relation, source, version, files, layout, run, published_at, recent::text
    FROM millrace.published WHERE schema = $1 AND relation = $2 AND recent IS NOT NULL";

/// Prepares what [`read_snapshot`] asks.
pub async fn prepare_snapshot(client: &ClientWrapper) -> Result<Statement, Error> {
    client.prepare_cached(RECENT).await
}

/// Reads what is there of a table, schema and name; none where it has not the recent rows alone.
pub async fn read_snapshot(
    client: &ClientWrapper,
    (schema, name): &(String, String),
) -> Result<Option<Snapshot>, Error> {
    let statement = prepare_snapshot(client).await?;
    let row = client.query_opt(&statement, &[schema, name]).await?;
    Ok(row.as_ref().map(snapshot).transpose()?.flatten())
}

/// What publish noted of a table; none where this Millrace cannot read it.
pub fn snapshot(row: &Row) -> Result<Option<Snapshot>, Error> {
    let published = Published::of(row)?;
    let recent: &str = row.try_get(8)?;
    let digest = Digest::of([&published.identity, recent]);
    let Ok(rows) = serde_json::from_str(recent) else {
        return Ok(None);
    };
    Ok(Some(Snapshot {
        source: row.try_get(2)?,
        version: row.try_get::<_, i64>(3)?.cast_unsigned(),
        identity: digest.bytes(),
        as_of: published.at,
        run: published.run,
        rows,
    }))
}

impl Published {
    fn of(row: &Row) -> Result<Self, Error> {
        let text = |at: usize| row.try_get::<_, &str>(at);
        let version: i64 = row.try_get(3)?;
        Ok(Self {
            relation: (row.try_get(0)?, row.try_get(1)?),
            identity: format!("{} {version} {} {}", text(2)?, text(4)?, text(5)?),
            run: row.try_get(6)?,
            at: row.try_get(7)?,
        })
    }
}
