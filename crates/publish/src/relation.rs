//! A relation's transaction: what is there is compared with what should be, and made so.

use crate::column::{Column, list};
use crate::indexes::{self, Indexes};
use crate::load::{self, Rows};
use crate::note::{self, Note};
use crate::recent::Cut;
use crate::target::Target;
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
    note::make_room(client).await?;
    make_schema(client, &target.schema).await?;
    let transaction = locked(client, &target.name()).await?;
    let before = Note::read(&transaction, target).await?;
    let relation = Relation {
        target,
        table,
        wanted: indexes::wanted(target, &columns),
        note: target.note(table, &columns),
        cut: target.cut(&columns, run, before.as_ref())?,
        columns,
    };
    match relation.compare(&transaction, before.as_ref()).await? {
        Difference::None => {
            relation.leave_old(&transaction, progress).await?;
            indexes::settle(&transaction, target, &relation.wanted).await?;
        }
        Difference::Files(files) => {
            progress.expect(files.iter().map(|file| file.rows).sum());
            relation.merge(&transaction, files, progress).await?;
            relation.leave_old(&transaction, progress).await?;
            indexes::settle(&transaction, target, &relation.wanted).await?;
        }
        Difference::Everything => {
            relation.replace(&transaction, progress).await?;
        }
    }
    let note = Note {
        recent: relation.cut.as_ref().map(|cut| cut.noted(&table.files())),
        ..relation.note
    };
    note.write(&transaction, target, run).await?;
    transaction.commit().await?;
    progress.set("version", table.version());
    progress.set("indexes", relation.wanted.len() as u64);
    Ok(())
}

/// A transaction that has what it locks to itself, among those of Millrace.
pub async fn locked<'a>(client: &'a mut Client, name: &str) -> Result<Transaction<'a>, Stop> {
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
    /// What is to be noted of it.
    note: Note,
    /// Where its rows begin, if it does not have all of the table's.
    cut: Option<Cut>,
}

impl Relation<'_> {
    async fn compare(
        &self,
        transaction: &Transaction<'_>,
        before: Option<&Note>,
    ) -> Result<Difference, Stop> {
        let target = self.target;
        let exists = transaction
            .query_one("SELECT to_regclass($1) IS NOT NULL", &[&target.quoted()])
            .await?;
        let exists: bool = exists.try_get(0)?;
        let Some(before) = before else {
            if exists {
                let text = format!(
                    "{} is there already, and Millrace did not make it: drop or rename it, or publish under another name",
                    target.name()
                );
                return Err(Failure::new(FailureName::BadDefinition, text).into());
            }
            return Ok(Difference::Everything);
        };
        let (version, newest) = (before.version, self.note.version);
        if !exists || before.source != self.note.source || before.layout != self.note.layout {
            return Ok(Difference::Everything);
        }
        let suffices = |cut: &Cut| cut.is_behind(before.recent.as_ref());
        if !self.cut.as_ref().is_none_or(suffices) {
            return Ok(Difference::Everything);
        }
        if version == newest && before.files == self.note.files {
            return Ok(Difference::None);
        }
        // A table that was made anew has begun its versions anew.
        if version >= newest || target.write == WriteMode::Replace {
            return Ok(Difference::Everything);
        }
        let changes = self
            .table
            .changes_since(version)
            .await
            .map_err(Failure::from)?;
        Ok(changes.map_or(Difference::Everything, Difference::Files))
    }

    /// The files that have rows for the relation, as far as their bounds tell.
    fn holding(&self, mut files: Vec<DataFile>) -> Vec<DataFile> {
        if let Some(cut) = &self.cut {
            files.retain(|file| cut.may_be_in(file));
        }
        files
    }

    /// Deletes the rows that have become too old.
    async fn leave_old(
        &self,
        transaction: &Transaction<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<(), Stop> {
        let Some(cut) = &self.cut else { return Ok(()) };
        let delete = format!(
            "DELETE FROM {} AS present WHERE {}",
            self.target.quoted(),
            cut.outgrows("present")
        );
        let left = transaction.execute(&delete, &[]).await?;
        progress.add("rows_deleted", left);
        Ok(())
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
        let files = self.holding(self.table.files());
        progress.expect(files.iter().map(|file| file.rows).sum());
        let rows = Rows {
            scan: self.table.scan().files(files),
            columns: &self.columns,
            cut: self.cut.as_ref(),
        };
        let rows = load::copy(transaction, rows, &staging, ", FREEZE", progress).await?;
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
        let rows = |files: Vec<DataFile>, cut| Rows {
            scan: self.table.scan().files(files),
            columns: &self.columns,
            cut,
        };
        if target.write == WriteMode::Append {
            let rows = rows(self.holding(files), self.cut.as_ref());
            let inserted = load::copy(transaction, rows, &relation, "", progress).await?;
            progress.set("rows_inserted", inserted);
            return Ok(());
        }
        let changes = "pg_temp.millrace_changes";
        transaction
            .batch_execute(&format!(
                "CREATE TEMPORARY TABLE millrace_changes (LIKE {relation}) ON COMMIT DROP"
            ))
            .await?;
        // Those that are too old are among them: the relation may have them as they were before.
        load::copy(transaction, rows(files, None), changes, "", progress).await?;
        let mut kept = String::new();
        if let Some(cut) = &self.cut {
            self.leave_changed(transaction, cut, changes, progress)
                .await?;
            kept = format!(" WHERE {}", cut.keeps("changed"));
        }
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
                         INSERT INTO {relation} AS present ({names}) SELECT {names} FROM {changes} AS changed{kept}
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

    /// Deletes the rows that have become older than what is kept by being changed.
    async fn leave_changed(
        &self,
        transaction: &Transaction<'_>,
        cut: &Cut,
        changes: &str,
        progress: &mut Progress<'_>,
    ) -> Result<(), Stop> {
        let same = self.target.key.iter().map(|name| {
            let name = identifier(name);
            format!("present.{name} = changed.{name}")
        });
        let same: Vec<String> = same.collect();
        let delete = format!(
            "DELETE FROM {} AS present USING {changes} AS changed WHERE {} AND {}",
            self.target.quoted(),
            same.join(" AND "),
            cut.leaves("changed")
        );
        let left = transaction.execute(&delete, &[]).await?;
        progress.add("rows_deleted", left);
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
