//! What is published under which keys: the definition and the Delta table, brought together.

use crate::column::{Column, PgType};
use arrow::datatypes::Schema;
use millrace_model::definition::Pinned;
use millrace_model::definition::pipeline::{Documents, WriteMode};
use millrace_model::definition::rows::Rows;
use millrace_model::{Failure, FailureName, keys};
use millrace_redis::{ColumnType, Layout};

/// A table to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `schema.table`.
    pub name: String,
    /// The key of the Delta table in the lake.
    pub source: String,
    /// What becomes of the rows that are there already.
    pub write: WriteMode,
    documents: Documents,
    json: Vec<String>,
}

impl Target {
    /// What the definition that a run pinned says about the step of that name.
    pub fn of(pinned: &Pinned, step: &str) -> Result<Self, Failure> {
        let pipeline = &pinned.pipeline;
        let publish = pipeline.publish_step(step);
        let found = publish.and_then(|publish| {
            let rows = pipeline.rows(&publish.table)?;
            Some((publish, publish.documents.clone()?, rows))
        });
        let Some((publish, documents, Rows { write, json, .. })) = found else {
            let text = format!(
                "the pipeline `{}` publishes nothing as `{step}`: correct `publish`",
                pipeline.name
            );
            return Err(Failure::new(FailureName::BadDefinition, text));
        };
        Ok(Self {
            name: publish.target(),
            source: keys::table(&pipeline.name, &publish.table),
            write,
            documents,
            json,
        })
    }

    /// How a table of that schema lies in Redis.
    pub fn layout(&self, schema: &Schema) -> Result<Layout, Failure> {
        let columns = Column::all(schema, &|name| self.json.iter().any(|json| json == name))?;
        let columns: Vec<millrace_redis::Column> = columns
            .into_iter()
            .map(|column| millrace_redis::Column {
                kind: kind(column.kind),
                name: column.name,
            })
            .collect();
        for name in self.documents.key.columns() {
            let problem = match columns.iter().find(|column| column.name == name) {
                None => "which it does not have",
                Some(column) if !column.kind.is_exact() => {
                    "whose values are not written in one way only"
                }
                Some(_) => continue,
            };
            let text = format!(
                "the key `{}` of {} has the column `{name}` of {}, {problem}: give it another type under `columns`, or \
                 correct the table's `key`",
                self.documents.key, self.name, self.source
            );
            return Err(Failure::new(FailureName::BadDefinition, text));
        }
        Ok(Layout {
            key: self.documents.key.clone(),
            form: self.documents.form,
            ttl: self.documents.ttl.map(|ttl| ttl.as_secs()),
            columns,
        })
    }
}

fn kind(of: PgType) -> ColumnType {
    match of {
        PgType::Text => ColumnType::Text,
        PgType::Json | PgType::Jsonb => ColumnType::Json,
        PgType::Bigint => ColumnType::Int,
        PgType::Double => ColumnType::Double,
        PgType::Numeric(precision, scale) => ColumnType::Decimal { precision, scale },
        PgType::Boolean => ColumnType::Bool,
        PgType::Date => ColumnType::Date,
        PgType::Timestamptz => ColumnType::Timestamp,
        PgType::Timestamp => ColumnType::LocalTimestamp,
        PgType::Bytea => ColumnType::Bytes,
    }
}
