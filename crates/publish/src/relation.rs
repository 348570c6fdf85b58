//! A relation's transaction: what is there is compared with what should be, and made so.

use crate::column::{Column, list};
use crate::indexes::{self, Indexes};
use crate::load;
use crate::target::{Target, digest};
use crate::{Progress, Stop};
use millrace_lake::{DataFile, Table};
use millrace_model::definition::pipeline::WriteMode;
use millrace_model::ledger::RunId;
use millrace_model::{Failure, FailureName};
use millrace_postgres::sql::{identifier, literal};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

/// How long another publish of the same relation is waited for, and readers when a table takes another's place.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '60s'";

/// Makes the relation hold what the table holds.
pub async fn publish(
    client: &mut Client,
    target: &Target,
    table: &Table,
    run: &RunId,
    progress: &mut Progress<'_>,
) -> Result<(), Stop> {
    let columns = target.columns(&table.schema())?;
    let relation = Relation {
        target,
        table,
        wanted: indexes::wanted(target, &columns),
        layout: target.layout(&columns),
        files: fingerprint(table),
        columns,
    };
    make_schema(client, &target.schema).await?;
    let transaction = locked(client, &target.name()).await?;
    match relation.compare(&transaction).await? {
        Difference::None => indexes::settle(&transaction, target, &relation.wanted).await?,
        Difference::Files(files) => {
            progress.expect(files.iter().map(|file| file.rows).sum());
            relation.merge(&transaction, files, progress).await?;
            indexes::settle(&transaction, target, &relation.wanted).await?;
        }
        Difference::Everything => {
            progress.expect(table.rows());
            relation.replace(&transaction, progress).await?;
        }
    }
    relation.note(&transaction, run).await?;
    transaction.commit().await?;
    progress.set("version", table.version());
    progress.set("indexes", relation.wanted.len() as u64);
    Ok(())
}

/// A transaction that has what it locks to itself, among those of Millrace.
async fn locked<'a>(client: &'a mut Client, name: &str) -> Result<Transaction<'a>, Stop> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK_TIMEOUT).await?;
    transaction
        .execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
            &[&format!("millrace {name}")],
        )
        .await?;
    Ok(transaction)
}

/// Makes the schema where there is none, in a transaction of its own: of two that made it together with their rows, one
/// would wait for the other's last row, and fail then.
async fn make_schema(client: &mut Client, schema: &str) -> Result<(), Stop> {
    let known = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1";
    if client.query_opt(known, &[&schema]).await?.is_some() {
        return Ok(());
    }
    let transaction = locked(client, schema).await?;
    let create = format!("CREATE SCHEMA IF NOT EXISTS {}", identifier(schema));
    transaction.batch_execute(&create).await?;
    transaction.commit().await?;
    Ok(())
}

/// What a relation lacks.
enum Difference {
    /// Nothing.
    None,
    /// What is in these files.
    Files(Vec<DataFile>),
    /// More than can be told.
    Everything,
}

struct Relation<'a> {
    target: &'a Target,
    table: &'a Table,
    columns: Vec<Column>,
    wanted: Indexes,
    layout: String,
    files: String,
}

impl Relation<'_> {
    async fn compare(&self, transaction: &Transaction<'_>) -> Result<Difference, Stop> {
        let target = self.target;
        let set_up = transaction
            .query_one("SELECT to_regclass('millrace.published') IS NOT NULL", &[])
            .await?;
        if !set_up.try_get::<_, bool>(0)? {
            let text = "the operational store is not set up: it has no table millrace.published; set it up with its \
                        admin's credentials first";
            return Err(Failure::new(FailureName::BadDefinition, text).into());
        }
        let exists = transaction
            .query_one("SELECT to_regclass($1) IS NOT NULL", &[&target.quoted()])
            .await?;
        let exists: bool = exists.try_get(0)?;
        let published = transaction
            .query_opt(
                "SELECT source, version, files, layout FROM millrace.published WHERE schema = $1 AND relation = $2",
                &[&target.schema, &target.relation],
            )
            .await?;
        let Some(published) = published else {
            if exists {
                let text = format!(
                    "{} is there already, and Millrace did not make it: drop or rename it, or publish under another name",
                    target.name()
                );
                return Err(Failure::new(FailureName::BadDefinition, text).into());
            }
            return Ok(Difference::Everything);
        };
        let (source, version): (String, i64) = (published.try_get(0)?, published.try_get(1)?);
        let (files, layout): (String, String) = (published.try_get(2)?, published.try_get(3)?);
        let version = version.cast_unsigned();
        if !exists || source != target.source || layout != self.layout {
            return Ok(Difference::Everything);
        }
        if version == self.table.version() && files == self.files {
            return Ok(Difference::None);
        }
        // A table that was made anew has begun its versions anew.
        if version >= self.table.version() || target.write == WriteMode::Replace {
            return Ok(Difference::Everything);
        }
        let changes = self
            .table
            .changes_since(version)
            .await
            .map_err(Failure::from)?;
        Ok(changes.map_or(Difference::Everything, Difference::Files))
    }

    /// Fills a new table beside the old one, and puts it in its place.
    async fn replace(
        &self,
        transaction: &Transaction<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<(), Stop> {
        let target = self.target;
        let staging = target.staging();
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let not_null = if target.key.contains(&column.name) {
                    " NOT NULL"
                } else {
                    ""
                };
                format!("{} {}{not_null}", column.quoted(), column.kind)
            })
            .collect();
        transaction
            .batch_execute(&format!(
                "CREATE TABLE {staging} ({}); COMMENT ON TABLE {staging} IS {};",
                columns.join(", "),
                literal(&target.comment)
            ))
            .await?;
        // The rows of a table that nobody else can see yet need not be frozen later.
        let rows = load::copy(
            transaction,
            self.table.scan(),
            &staging,
            &self.columns,
            ", FREEZE",
            progress,
        )
        .await?;
        let primary_key = target.primary_key();
        if !target.key.is_empty() {
            let add = format!(
                "ALTER TABLE {staging} ADD CONSTRAINT {} PRIMARY KEY ({})",
                identifier(&indexes::fresh(&primary_key)),
                target.quoted_key()
            );
            transaction
                .batch_execute(&add)
                .await
                .map_err(|error| self.broken_key(error))?;
        }
        indexes::create_on_staging(transaction, target, &self.wanted).await?;
        transaction
            .batch_execute(&format!("ANALYZE {staging}"))
            .await?;
        self.copy_grants(transaction, &staging).await?;
        let relation = target.quoted();
        transaction
            .batch_execute(&format!(
                "DROP TABLE IF EXISTS {relation}; ALTER TABLE {staging} RENAME TO {}",
                identifier(&target.relation)
            ))
            .await
            .map_err(|error| self.depended_on(error))?;
        if !target.key.is_empty() {
            transaction
                .batch_execute(&format!(
                    "ALTER TABLE {relation} RENAME CONSTRAINT {} TO {}",
                    identifier(&indexes::fresh(&primary_key)),
                    identifier(&primary_key)
                ))
                .await?;
        }
        indexes::rename(transaction, target, &self.wanted).await?;
        progress.set("rows_inserted", rows);
        Ok(())
    }

    /// Who could read the old table may read the new one. The store's own reader may by default.
    async fn copy_grants(&self, transaction: &Transaction<'_>, staging: &str) -> Result<(), Stop> {
        let readers = transaction
            .query(
                "SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END
                 FROM pg_catalog.pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
                 LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
                 WHERE c.oid = to_regclass($1) AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
                   AND (a.grantee = 0 OR r.oid IS NOT NULL)",
                &[&self.target.quoted()],
            )
            .await?;
        for reader in readers {
            let reader: String = reader.try_get(0)?;
            transaction
                .batch_execute(&format!("GRANT SELECT ON {staging} TO {reader}"))
                .await?;
        }
        Ok(())
    }

    /// Merges rows that were written since into the table that is there.
    async fn merge(
        &self,
        transaction: &Transaction<'_>,
        files: Vec<DataFile>,
        progress: &mut Progress<'_>,
    ) -> Result<(), Stop> {
        let target = self.target;
        let relation = target.quoted();
        let comment = format!(
            "COMMENT ON TABLE {relation} IS {}",
            literal(&target.comment)
        );
        transaction.batch_execute(&comment).await?;
        let scan = self.table.scan().files(files);
        if target.write == WriteMode::Append {
            let rows =
                load::copy(transaction, scan, &relation, &self.columns, "", progress).await?;
            progress.set("rows_inserted", rows);
            return Ok(());
        }
        let changes = "pg_temp.millrace_changes";
        transaction
            .batch_execute(&format!(
                "CREATE TEMPORARY TABLE millrace_changes (LIKE {relation}) ON COMMIT DROP"
            ))
            .await?;
        load::copy(transaction, scan, changes, &self.columns, "", progress).await?;
        let names = list(&self.columns);
        let action = match target.differs(&self.columns) {
            None => "NOTHING".to_owned(),
            Some(differs) => {
                let set: Vec<String> = self
                    .columns
                    .iter()
                    .filter(|column| !target.key.contains(&column.name))
                    .map(|column| format!("{0} = EXCLUDED.{0}", column.quoted()))
                    .collect();
                format!("UPDATE SET {} WHERE {differs}", set.join(", "))
            }
        };
        // A row that this transaction inserted has no other one behind it: xmax is 0.
        let counts = transaction
            .query_one(
                &format!(
                    "WITH written AS (
                         INSERT INTO {relation} AS present ({names}) SELECT {names} FROM {changes}
                         ON CONFLICT ({}) DO {action} RETURNING (xmax = 0) AS fresh
                     ) SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh) FROM written",
                    target.quoted_key()
                ),
                &[],
            )
            .await
            .map_err(|error| self.broken_key(error))?;
        let (inserted, updated): (i64, i64) = (counts.try_get(0)?, counts.try_get(1)?);
        progress.set("rows_inserted", inserted.cast_unsigned());
        progress.set("rows_updated", updated.cast_unsigned());
        Ok(())
    }

    async fn note(&self, transaction: &Transaction<'_>, run: &RunId) -> Result<(), Stop> {
        let (target, version) = (self.target, self.table.version().cast_signed());
        transaction
            .execute(
                "INSERT INTO millrace.published AS present (schema, relation, source, version, files, layout, run)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (schema, relation) DO UPDATE SET
                     source = EXCLUDED.source, version = EXCLUDED.version, files = EXCLUDED.files,
                     layout = EXCLUDED.layout, run = EXCLUDED.run, published_at = now()
                 WHERE (present.source, present.version, present.files, present.layout)
                     IS DISTINCT FROM (EXCLUDED.source, EXCLUDED.version, EXCLUDED.files, EXCLUDED.layout)",
                &[
                    &target.schema,
                    &target.relation,
                    &target.source,
                    &version,
                    &self.files,
                    &self.layout,
                    &run.as_str(),
                ],
            )
            .await?;
        Ok(())
    }

    fn broken_key(&self, error: tokio_postgres::Error) -> Stop {
        if error.code() != Some(&SqlState::UNIQUE_VIOLATION)
            && error.code() != Some(&SqlState::CARDINALITY_VIOLATION)
        {
            return error.into();
        }
        let text = format!(
            "{}: several rows have the same key ({}): correct the table's `key`, or its `write`",
            self.target.name(),
            self.target.key.join(", ")
        );
        Failure::new(FailureName::BadData, text).into()
    }

    fn depended_on(&self, error: tokio_postgres::Error) -> Stop {
        if error.code() != Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST) {
            return error.into();
        }
        let detail = error
            .as_db_error()
            .and_then(|error| error.detail())
            .unwrap_or_default()
            .replace('\n', "; ");
        let text = format!(
            "{} cannot be replaced, because others depend on it ({detail}): drop these, and let them read another way",
            self.target.name()
        );
        Failure::new(FailureName::BadDefinition, text).into()
    }
}

/// What tells one content of a table from another: the names of its files, which are never used twice.
fn fingerprint(table: &Table) -> String {
    let mut paths: Vec<String> = table.files().into_iter().map(|file| file.path).collect();
    paths.sort_unstable();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    digest(&paths)
}
