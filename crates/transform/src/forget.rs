//! The erasure of what is kept of one key: out of the tables and all their earlier versions, out of raw payloads, out of
//! what was kept out of tables, and out of requests that failed.

mod documents;
mod raw;
mod tables;
mod words;

use crate::Transform;
use futures::TryStreamExt;
use millrace_model::definition::FieldPath;
use millrace_model::definition::pipeline::{Nesting, Pipeline, Table};
use millrace_model::step::Counts;
use millrace_model::{Failure, FailureName, keys};
use millrace_store::objects::{self, Objects};
use serde_json::Value;
use std::collections::BTreeSet;

pub use millrace_lake::ForgottenKey;

impl Transform {
    /// Erases what is kept of a key of the pipeline's tables, and says what that was: `tables`, `rows`, `objects_removed`,
    /// `records`, `pages`, `quarantined`, `dead`, `versions_removed`.
    ///
    /// No run of the pipeline may be under way. What else the lake holds of a person under other keys stays.
    pub async fn forget(&self, pipeline: &Pipeline, key: &ForgottenKey) -> Result<Counts, Failure> {
        let concerned: Vec<&Table> = pipeline
            .tables
            .iter()
            .filter(|table| table.is_keyed_by(key.keys()))
            .collect();
        if concerned.is_empty() {
            return Err(unknown_key(pipeline, key));
        }
        let mut counts = Counts::new();
        let lake = self.lake()?;
        for table in &concerned {
            tables::forget(&lake, &pipeline.name, table, key, &mut counts).await?;
        }
        let mut searched: Vec<&str> = Vec::new();
        for table in &concerned {
            let Some(resource) = pipeline.resource(&table.from) else {
                continue;
            };
            if searched.contains(&table.from.as_str()) {
                continue;
            }
            searched.push(&table.from);
            let search = Search::new(table, key);
            raw::forget(
                &*self.objects,
                &pipeline.name,
                resource,
                &search,
                &mut counts,
            )
            .await?;
            documents::forget_cursor(&*self.objects, &pipeline.name, &table.from, &search).await?;
        }
        for table in concerned {
            let search = Search::new(table, key);
            raw::forget_quarantine(
                &*self.objects,
                &pipeline.name,
                &table.name,
                &search,
                &mut counts,
            )
            .await?;
        }
        documents::forget_messages(&*self.objects, &pipeline.name, key).await?;
        raw::forget_dead(&*self.objects, &pipeline.name, key, &mut counts).await?;
        // Answers that callers have asked for as files may hold what is forgotten. They are copies, and soon gone anyway.
        for file in list(&*self.objects, keys::EXPORTS).await? {
            self.objects.delete(&file).await?;
            count(&mut counts, "exported_files_removed", 1);
        }
        // Last, because all that was done so far left versions of its own.
        for prefix in prefixes(pipeline, key) {
            let versions = self.objects.forget_earlier(&prefix).await?;
            if versions > 0 {
                count(&mut counts, "versions_removed", versions);
            }
        }
        Ok(counts)
    }

    /// Takes a key's values out of what the ledger says of the runs of another pipeline.
    pub async fn forget_messages(&self, pipeline: &str, key: &ForgottenKey) -> Result<(), Failure> {
        documents::forget_messages(&*self.objects, pipeline, key).await?;
        self.objects.forget_earlier(&keys::runs(pipeline)).await?;
        Ok(())
    }
}

/// Under which prefixes lies what an erasure of a key changes.
fn prefixes(pipeline: &Pipeline, key: &ForgottenKey) -> BTreeSet<String> {
    let name = &pipeline.name;
    let tables = pipeline.tables.iter();
    let of_tables = tables
        .filter(|table| table.is_keyed_by(key.keys()))
        .flat_map(|table| {
            let root = keys::table(name, &table.name);
            [
                format!("{root}/"),
                format!("{root}__"),
                keys::raw_resource(name, &table.from),
                keys::quarantines(name, &table.name),
                keys::state(name, &table.from),
            ]
        });
    let of_all = [
        keys::all_dead_requests(name),
        keys::runs(name),
        keys::EXPORTS.to_owned(),
    ];
    of_tables.chain(of_all).collect()
}

/// Finds records by their key.
struct Search {
    /// The key's columns: the fields that become them by declaration, and their values.
    fields: Vec<(String, Option<String>, String)>,
    nesting: Nesting,
}

impl Search {
    fn new(table: &Table, key: &ForgottenKey) -> Self {
        let declared = |column: &str| {
            let mut columns = table.columns.iter();
            columns
                .find(|(_, declared)| declared.name.as_deref() == Some(column))
                .map(|(path, _)| path.0.clone())
        };
        let fields = key.iter();
        Self {
            fields: fields
                .map(|(column, value)| (column.clone(), declared(column), value.clone()))
                .collect(),
            nesting: table.nesting.clone(),
        }
    }

    /// The key's values.
    fn values(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(_, _, value)| value.as_str())
    }

    /// Whether a record has the key.
    fn finds(&self, record: &Value) -> bool {
        self.fields.iter().all(|(column, path, value)| {
            let found = match path {
                Some(path) => record.pointer(&format!("/{}", path.replace('.', "/"))),
                None => field(record, "", column, &self.nesting),
            };
            match found {
                Some(Value::String(text)) => text == value,
                Some(Value::Number(number)) => number.to_string() == *value,
                Some(Value::Bool(truth)) => truth.to_string() == *value,
                _ => false,
            }
        })
    }
}

/// The field that becomes that column.
fn field<'a>(value: &'a Value, path: &str, column: &str, nesting: &Nesting) -> Option<&'a Value> {
    value.as_object()?.iter().find_map(|(name, value)| {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if value.is_object() {
            return field(value, &path, column, nesting);
        }
        (nesting.column_name(&FieldPath(path)) == column).then_some(value)
    })
}

fn unknown_key(pipeline: &Pipeline, key: &ForgottenKey) -> Failure {
    let named: Vec<&str> = key.keys().map(String::as_str).collect();
    let known: Vec<String> = pipeline
        .tables
        .iter()
        .filter(|table| !table.key.is_empty())
        .map(|table| format!("`{}` has {}", table.name, table.key.join(" and ")))
        .collect();
    Failure::new(
        FailureName::BadDefinition,
        format!(
            "no table of the pipeline `{}` has the key {}: {}",
            pipeline.name,
            named.join(" and "),
            known.join(", ")
        ),
    )
}

fn count(counts: &mut Counts, name: &str, more: u64) {
    *counts.entry(name.to_owned()).or_default() += more;
}

async fn list(objects: &dyn Objects, prefix: &str) -> Result<Vec<String>, Failure> {
    let keys = objects::all(objects, prefix).map_ok(|entry| entry.key);
    Ok(keys.try_collect().await?)
}
