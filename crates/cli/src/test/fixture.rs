//! The tables that tests bring: made as publish would have made them, in a database that nothing else lies in, and as
//! transform would have, in a lake of their own.

use anyhow::Context;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use jiff::Timestamp;
use millrace_lake::{Commit, Lake, WriteKind};
use millrace_model::definition::Datasource;
use millrace_model::definition::endpoint_tests::{ColumnKind, TableRows};
use millrace_model::definition::set::DefinitionSet;
use millrace_model::keys;
use millrace_model::query::{IndexNeed, index_needs};
use millrace_model::recent::RecentRows;
use millrace_postgres::private::PrivateServer;
use millrace_postgres::sql::{identifier, literal, qualified};
use millrace_postgres::{Credentials, connect};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// The database; one `millrace test` at a time has it.
const DATABASE: &str = "millrace_tests";

/// Tables that stand until this is let go.
pub struct Laid {
    /// Who may read them.
    pub reader: Credentials,
    /// The lake that holds those that are published there.
    pub lake: TempDir,
    /// The owner's connection, whose lock keeps the next one waiting.
    _client: Box<dyn Send>,
}

/// Makes the tables, with the indexes that the endpoints need of them, in place of those of the tests before.
pub async fn lay(
    server: &PrivateServer,
    tables: &[TableRows],
    set: &DefinitionSet,
) -> anyhow::Result<Laid> {
    let (owner, reader) = server.store(DATABASE).await?;
    let client = connect(&owner, "millrace test").await?;
    client
        .batch_execute("SELECT pg_advisory_lock(hashtextextended('millrace test', 0))")
        .await?;
    let mut sql = "BEGIN; ".to_owned();
    for row in client
        .query("SELECT DISTINCT schema FROM millrace.published", &[])
        .await?
    {
        let schema: String = row.try_get(0)?;
        let _ = write!(
            sql,
            "DROP SCHEMA IF EXISTS {} CASCADE; ",
            identifier(&schema)
        );
    }
    sql.push_str("DELETE FROM millrace.published; ");
    for table in tables {
        let needs = index_needs(set.endpoints.values(), &table.schema, &table.relation);
        sql.push_str(&definition(table, &needs.map_err(anyhow::Error::msg)?));
    }
    sql.push_str("COMMIT");
    client
        .batch_execute(&sql)
        .await
        .context("cannot make the tests' tables")?;
    for table in tables {
        let name = qualified(&table.schema, &table.relation);
        let insert = format!(
            "INSERT INTO {name} SELECT * FROM json_populate_recordset(NULL::{name}, $1::text::json)"
        );
        let rows = serde_json::to_string(&table.rows)?;
        let inserted = client.execute(&insert, &[&rows]).await;
        inserted.with_context(|| {
            format!(
                "the rows of {}.{} do not fit its columns",
                table.schema, table.relation
            )
        })?;
        if let Some(recent) = recent(table, set)? {
            let left = client.batch_execute(&recent).await;
            left.with_context(|| format!("cannot leave the recent rows alone in {name}"))?;
        }
        client.batch_execute(&format!("ANALYZE {name}")).await?;
    }
    let lake = tempfile::tempdir().context("cannot make a temporary folder")?;
    let tables = tables.iter();
    for (table, key) in tables.filter_map(|table| Some((table, in_lake(table, set)?))) {
        lay_in_lake(lake.path(), &key, table).await?;
    }
    Ok(Laid {
        reader,
        lake,
        _client: Box::new(client),
    })
}

/// The statements that make a table, its indexes, and publish's note of it.
fn definition(table: &TableRows, needs: &[IndexNeed]) -> String {
    let name = qualified(&table.schema, &table.relation);
    let list = |names: &[String]| {
        names
            .iter()
            .map(|name| identifier(name))
            .collect::<Vec<_>>()
    };
    let mut parts: Vec<String> = table
        .columns
        .iter()
        .map(|(column, kind)| format!("{} {}", identifier(column), of_kind(*kind)))
        .collect();
    if !table.key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", list(&table.key).join(", ")));
    }
    let mut sql = format!(
        "CREATE SCHEMA IF NOT EXISTS {}; CREATE TABLE {name} ({}); ",
        identifier(&table.schema),
        parts.join(", ")
    );
    for need in needs {
        let known = |(column, _): &(String, bool)| {
            let mut columns = table.columns.iter();
            columns.any(|(name, kind)| name == column && *kind != ColumnKind::Json)
        };
        // What publish cannot index either.
        if !need.columns.iter().all(known) {
            continue;
        }
        let columns: Vec<String> = need
            .columns
            .iter()
            .map(|(column, descending)| {
                format!(
                    "{}{}",
                    identifier(column),
                    if *descending { " DESC" } else { "" }
                )
            })
            .collect();
        let _ = write!(sql, "CREATE INDEX ON {name} ({}); ", columns.join(", "));
    }
    let _ = write!(
        sql,
        "INSERT INTO millrace.published (schema, relation, source, version, files, layout, run)
         VALUES ({}, {}, 'tests', 1, 'tests', 'tests', 'test'); ",
        literal(&table.schema),
        literal(&table.relation)
    );
    sql
}

/// The statements that leave recent rows alone in a table of which the store has no others, and note it where the lake
/// has the others.
fn recent(table: &TableRows, set: &DefinitionSet) -> anyhow::Result<Option<String>> {
    let Some(recent) = set.recent(&table.target()) else {
        return Ok(None);
    };
    let (name, by) = (
        qualified(&table.schema, &table.relation),
        identifier(&recent.by),
    );
    let mut columns = table.columns.iter();
    let column = columns.find(|(name, _)| *name == recent.by);
    let kind = column.map_or(ColumnKind::Timestamp, |(_, kind)| *kind);
    let from = table.recent_from.map(|from| match kind {
        ColumnKind::Date => midnight(from),
        _ => from,
    });
    let mut sql = format!("DELETE FROM {name} WHERE {by} IS NULL; ");
    if let Some(from) = from {
        let from = literal(&from.to_string());
        let _ = write!(
            sql,
            "DELETE FROM {name} WHERE {by} < {from}::{}; ",
            of_kind(kind)
        );
    }
    let Some(source) = in_lake(table, set) else {
        return Ok(Some(sql));
    };
    let noted = RecentRows {
        by: recent.by.clone(),
        from: from.unwrap_or(Timestamp::MIN),
        keep: 0,
        key: table.key.clone(),
        undated: true,
    };
    // What is laid in the lake is the first version of a table.
    let _ = write!(
        sql,
        "UPDATE millrace.published SET source = {}, version = 0, recent = {} WHERE schema = {} AND relation = {}",
        literal(&source),
        literal(&serde_json::to_string(&noted)?),
        literal(&table.schema),
        literal(&table.relation)
    );
    Ok(Some(sql))
}

fn midnight(moment: Timestamp) -> Timestamp {
    let second = moment.as_second();
    Timestamp::from_second(second - second.rem_euclid(86_400)).unwrap_or(moment)
}

/// The key in the lake of a table that routes may read there.
fn in_lake(table: &TableRows, set: &DefinitionSet) -> Option<String> {
    set.pipelines.values().find_map(|pipeline| {
        let published = pipeline.published(Datasource::Lake, &table.target())?;
        Some(keys::table(&pipeline.name, &published.table))
    })
}

async fn lay_in_lake(lake: &Path, key: &str, table: &TableRows) -> anyhow::Result<()> {
    let columns = table.columns.iter().map(|(name, kind)| {
        let texts = table.rows.iter().map(|row| text(row.get(name)));
        let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
        let strictly = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let values = cast_with_options(&texts, &in_arrow(*kind), &strictly);
        let values = values.with_context(|| {
            format!(
                "the rows of {} do not fit its column {name}",
                table.relation
            )
        })?;
        Ok((name, values, true))
    });
    let columns = columns.collect::<anyhow::Result<Vec<_>>>()?;
    let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
    let lake = Lake::at(&lake.display().to_string())?;
    let mut writer = lake.writer(key, batch.schema());
    writer.write(&batch).await?;
    let commit = Commit {
        kind: WriteKind::Append,
        added: writer.finish().await?,
        removed: Vec::new(),
        schema: batch.schema(),
        sequence: 1,
        brought: None,
        note: None,
    };
    lake.create(key, commit).await?;
    Ok(())
}

/// A value as a text that becomes one of its column's type.
fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The types that transform gives columns.
fn in_arrow(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::String | ColumnKind::Json => DataType::Utf8,
        ColumnKind::Int => DataType::Int64,
        ColumnKind::Double => DataType::Float64,
        ColumnKind::Decimal => DataType::Decimal128(38, 9),
        ColumnKind::Bool => DataType::Boolean,
        ColumnKind::Date => DataType::Date32,
        ColumnKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

/// The types that publish gives columns.
fn of_kind(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::String => "text",
        ColumnKind::Int => "bigint",
        ColumnKind::Double => "double precision",
        ColumnKind::Decimal => "numeric",
        ColumnKind::Bool => "boolean",
        ColumnKind::Date => "date",
        ColumnKind::Timestamp => "timestamptz",
        ColumnKind::Json => "json",
    }
}
