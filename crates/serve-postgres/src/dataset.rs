//! What the tables of a route hold now: the version that publish noted in the same transaction as the rows.

use deadpool_postgres::Object;
use jiff::Timestamp;
use millrace_serve::source::Dataset;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

const PUBLISHED: &str = "
    SELECT p.source || ' ' || p.version || ' ' || p.files || ' ' || p.layout, p.run, p.published_at
    FROM unnest($1::text[], $2::text[]) AS r (schema, relation)
    JOIN millrace.published AS p ON (p.schema, p.relation) = (r.schema, r.relation)
    ORDER BY p.schema, p.relation";

/// Reads the version of these tables, schema and name. None where one of them is not Millrace's: then nobody says when
/// it changes.
pub async fn read(
    client: &Object,
    relations: &[(String, String)],
) -> Result<Option<Arc<Dataset>>, tokio_postgres::Error> {
    let (schemas, names): (Vec<&str>, Vec<&str>) = relations
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .unzip();
    let statement = client.prepare_cached(PUBLISHED).await?;
    let rows = client.query(&statement, &[&schemas, &names]).await?;
    if rows.is_empty() || rows.len() < relations.len() {
        return Ok(None);
    }
    let mut digest = Sha256::new();
    let mut oldest: Option<(Timestamp, String)> = None;
    for row in rows {
        let identity: String = row.try_get(0)?;
        digest.update(identity.len().to_be_bytes());
        digest.update(identity);
        let (run, at): (String, Timestamp) = (row.try_get(1)?, row.try_get(2)?);
        if oldest.as_ref().is_none_or(|(known, _)| at < *known) {
            oldest = Some((at, run));
        }
    }
    Ok(oldest.map(|(as_of, run)| {
        Arc::new(Dataset {
            identity: digest.finalize().into(),
            as_of,
            run,
        })
    }))
}
