//! How a shape grows: the fields, lists and columns that it has not met before, and their names.

use super::{Node, Refusal, Shape, TableShape};
use crate::column::{Column, Origin, Token, data_type, inferred, kind_of, type_name, widens};
use arrow::datatypes::Field;
use millrace_model::definition::FieldPath;
use millrace_model::definition::pipeline::{ColumnType, OnChange};

/// The column of a list's elements that are no objects.
const VALUE: &str = "value";

impl Shape {
    /// Adds the declared columns that no record had: so that a table has its columns from its first rows on. A path within
    /// a list belongs to a child table, and is left to the records.
    pub(crate) fn add_declared(&mut self) -> Result<(), Refusal> {
        let declared: Vec<(FieldPath, ColumnType)> = self
            .declared
            .iter()
            .filter_map(|(path, column)| Some((path.clone(), column.kind?)))
            .collect();
        for (path, kind) in declared {
            let in_list = self.tables.iter().skip(1).any(|table| {
                path.0 == table.path || path.0.starts_with(&format!("{}.", table.path))
            });
            let name = self.column_name(&path.0, &path.0);
            let known = self
                .tables
                .iter()
                .flat_map(|table| &table.columns)
                .any(|column| column.path == path.0);
            if !in_list && !known && !self.tables[0].by_name.contains_key(&name) {
                self.add_column(0, name, path.0, Some(kind), kind)?;
            }
        }
        Ok(())
    }

    pub(super) fn add_field(&mut self, node: usize, name: &str) -> usize {
        let of = &self.nodes[node];
        let path = joined(&of.path, name);
        let local = joined(&of.local, name);
        let text = self.is_text(&path);
        let field = self.nodes.len();
        let table = of.table;
        self.nodes.push(Node::new(table, path, local, text));
        let of = &mut self.nodes[node];
        of.by_name.insert(name.into(), of.fields.len());
        of.fields.push((name.into(), field));
        field
    }

    /// The table of a list and the node of its elements; none where the contract leaves it out.
    pub(super) fn add_list(&mut self, node: usize) -> Result<Option<(usize, usize)>, Refusal> {
        let of = &self.nodes[node];
        let (path, parent) = (of.path.clone(), of.table);
        // A list within a list has no name of its own.
        let part = if of.local.is_empty() {
            "items".to_owned()
        } else {
            FieldPath(of.local.clone()).column_name()
        };
        let name = format!("{}__{part}", self.tables[parent].name);
        if self.tables.iter().any(|table| table.name == name) {
            return Err(Refusal::Definition(format!(
                "two lists become the table `{name}`; declare one of them under `columns` as `json`, the one at `{path}` say"
            )));
        }
        if !self.existing.contains_key(&name)
            && !self.admits(self.contract.tables, "child table", &name, &path)?
        {
            return Ok(None);
        }
        let table = self.tables.len();
        self.tables
            .push(TableShape::new(name, Some(parent), path.clone()));
        let item = self.nodes.len();
        let text = self.is_text(&joined(&path, VALUE));
        self.nodes.push(Node::new(table, path, String::new(), text));
        self.nodes[node].list = Some((table, item));
        Ok(Some((table, item)))
    }

    /// Whether the contract lets something in that the table does not know: all, until the table is there.
    fn admits(
        &mut self,
        rule: OnChange,
        what: &str,
        name: &str,
        path: &str,
    ) -> Result<bool, Refusal> {
        let root = &self.tables[0].name;
        if !self.existing.contains_key(root) {
            return Ok(true);
        }
        match rule {
            OnChange::Evolve => Ok(true),
            OnChange::DiscardColumn => {
                self.spare(path, &format!("it would become the {what} `{name}`"));
                Ok(false)
            }
            OnChange::DiscardRow => {
                self.keep_out(
                    path.to_owned(),
                    format!("it would become the {what} `{name}`, which the table does not have"),
                );
                Ok(false)
            }
            OnChange::Freeze => Err(Refusal::Frozen(format!(
                "the field `{path}` would become the {what} `{name}`, which the contract of `{root}` does not allow: declare \
                 it under `columns`, or let the contract say `evolve`"
            ))),
        }
    }

    /// The column of a field's values; none where the contract leaves it out.
    pub(super) fn add_scalar(
        &mut self,
        node: usize,
        token: Token<'_>,
    ) -> Result<Option<usize>, Refusal> {
        let of = &self.nodes[node];
        let (path, local) = if of.local.is_empty() {
            (joined(&of.path, VALUE), VALUE.to_owned())
        } else {
            (of.path.clone(), of.local.clone())
        };
        let declared = self
            .declared
            .get(&FieldPath(path.clone()))
            .and_then(|column| column.kind);
        let name = self.column_name(&path, &local);
        let table = of.table;
        let known = self
            .existing
            .get(&self.tables[table].name)
            .is_none_or(|schema| schema.field_with_name(&name).is_ok());
        if declared.is_none()
            && !known
            && !self.admits(self.contract.columns, "column", &name, &path)?
        {
            return Ok(None);
        }
        let column = self.add_column(table, name, path, declared, inferred(token))?;
        self.nodes[node].scalar = Some(column);
        Ok(Some(column))
    }

    fn add_column(
        &mut self,
        table: usize,
        name: String,
        path: String,
        declared: Option<ColumnType>,
        inferred: ColumnType,
    ) -> Result<usize, Refusal> {
        let table = &mut self.tables[table];
        if let Some(other) = table.by_name.get(&name) {
            return Err(Refusal::Definition(format!(
                "the fields `{}` and `{path}` both become the column `{name}` of `{}`; name one of them otherwise under \
                 `columns`",
                table.columns[*other].path, table.name
            )));
        }
        let existing = self
            .existing
            .get(&table.name)
            .and_then(|schema| schema.field_with_name(&name).ok())
            .map(Field::data_type);
        let (kind, origin) = match (declared, existing) {
            (Some(kind), Some(existing))
                if data_type(kind) != *existing
                    && !(self.contract.types == OnChange::Evolve && widens(existing, kind)) =>
            {
                let existing = kind_of(existing).map_or_else(|| existing.to_string(), type_name);
                return Err(Refusal::Definition(format!(
                    "the column `{name}` of `{}` is `{}` in the definition and `{existing}` in the table; give it another \
                     `name`, or remove the table to have it made anew",
                    table.name,
                    type_name(kind),
                )));
            }
            (Some(kind), _) => (kind, Origin::Declared),
            (None, Some(existing)) => match kind_of(existing) {
                Some(kind) => (kind, Origin::Existing),
                None => {
                    return Err(Refusal::Definition(format!(
                        "the column `{name}` of `{}` is `{existing}` in the table, which Millrace does not write; give \
                         the field `{path}` another `name` under `columns`",
                        table.name
                    )));
                }
            },
            (None, None) => (inferred, Origin::Inferred),
        };
        let column = table.columns.len();
        let mut made = Column::new(name.clone(), path, kind, origin)?;
        made.may_widen = self.contract.types == OnChange::Evolve;
        table.columns.push(made);
        table.by_name.insert(name, column);
        Ok(column)
    }

    fn column_name(&self, path: &str, local: &str) -> String {
        self.declared
            .get(&FieldPath(path.to_owned()))
            .and_then(|column| column.name.clone())
            .unwrap_or_else(|| FieldPath(local.to_owned()).column_name())
    }

    pub(super) fn declared_kind(&self, node: usize) -> Option<ColumnType> {
        let of = &self.nodes[node];
        let path = if of.local.is_empty() {
            joined(&of.path, VALUE)
        } else {
            of.path.clone()
        };
        self.declared.get(&FieldPath(path))?.kind
    }

    fn is_text(&self, path: &str) -> bool {
        let declared = self
            .declared
            .get(&FieldPath(path.to_owned()))
            .and_then(|column| column.kind);
        matches!(declared, Some(ColumnType::Json | ColumnType::String))
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
