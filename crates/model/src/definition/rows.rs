//! What is known of the rows of a table, of a table's child or of a model.

use super::pipeline::{ColumnType, Model, Pipeline, Table, WriteMode};

/// How the rows of a table or a model change, and what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// What becomes of the rows that are there already.
    pub write: WriteMode,
    /// The columns that name a row; empty where none are known to.
    pub key: Vec<String>,
    /// The columns that hold JSON.
    pub json: Vec<String>,
}

impl Pipeline {
    /// The rows of the table, the child or the model of that name; none where there is no such.
    pub fn rows(&self, name: &str) -> Option<Rows> {
        Rows::of(&self.tables, &self.models, name)
    }
}

impl Rows {
    /// The rows of that name among what a pipeline makes.
    pub(crate) fn of(tables: &[Table], models: &[Model], name: &str) -> Option<Self> {
        if let Some(model) = models.iter().find(|model| model.name == name) {
            let key = match model.write {
                WriteMode::Append => Vec::new(),
                _ => model.key.clone(),
            };
            return Some(Rows {
                write: model.write,
                key,
                json: Vec::new(),
            });
        }
        let (table, is_child) = table_of(tables, name)?;
        let (write, key, json) = match (is_child, table.write) {
            // Each version of a row is a row there, and one that was closed takes its own place.
            (false, WriteMode::History) => {
                let key = table.key.iter().cloned().chain(["valid_from".to_owned()]);
                (WriteMode::Upsert, key.collect(), json_columns(table))
            }
            // Appended rows may well have the same key.
            (false, WriteMode::Append) => (WriteMode::Append, Vec::new(), json_columns(table)),
            (false, write) => (write, table.key.clone(), json_columns(table)),
            // Rows of a child follow their parents, by no key of their own.
            (true, WriteMode::Append) => (WriteMode::Append, Vec::new(), Vec::new()),
            (true, _) => (WriteMode::Replace, Vec::new(), Vec::new()),
        };
        Some(Rows { write, key, json })
    }
}

/// The table of that name, or the one whose child has it.
fn table_of<'a>(tables: &'a [Table], name: &str) -> Option<(&'a Table, bool)> {
    let own = tables
        .iter()
        .find(|table| table.name == name)
        .map(|table| (table, false));
    own.or_else(|| {
        let parents = tables.iter().filter(|table| {
            name.strip_prefix(table.name.as_str())
                .is_some_and(|rest| rest.starts_with("__"))
        });
        parents
            .max_by_key(|table| table.name.len())
            .map(|table| (table, true))
    })
}

/// The columns that the definition calls JSON.
fn json_columns(table: &Table) -> Vec<String> {
    let json = table
        .columns
        .iter()
        .filter(|(_, column)| column.kind == Some(ColumnType::Json));
    json.map(|(path, _)| table.column_name(path)).collect()
}
