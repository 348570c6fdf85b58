//! One table of a shape: its columns, and the rows that a batch has gathered.

use super::part::Form;
use crate::column::Column;
use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::{Field, SchemaRef};
use std::collections::HashMap;

/// One table's columns, and the rows that a batch has gathered.
#[derive(Debug)]
pub(super) struct TableShape {
    /// Its name, which for a child is `<root>__<path of the list>`, and for a part `<table>.<column>`.
    pub(super) name: String,
    /// The table whose rows own its rows; none for the root.
    pub(super) parent: Option<usize>,
    /// The list's path, for messages.
    pub(super) path: String,
    /// What it is a part of, where it is no table of its own.
    pub(super) part: Option<Form>,
    /// How many structs and lists it lies in.
    pub(super) depth: usize,
    /// The columns that the table has already, where it is there.
    pub(super) existing: Option<SchemaRef>,
    pub(super) columns: Vec<Column>,
    pub(super) by_name: HashMap<String, usize>,
    /// The columns that are kept as structs and lists, each with the table that is its part.
    pub(super) parts: Vec<(String, usize)>,
    /// Whether files hold rows of it.
    pub(super) written: bool,
    pub(super) rows: usize,
    pub(super) parents: Vec<u32>,
    pub(super) positions: Vec<i64>,
    /// Of a part that is a list: the parents' rows that have one, an empty one too.
    pub(super) present: Vec<u32>,
}

/// The rows that one batch has for one table.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) fields: Vec<Field>,
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) count: usize,
    /// The row of the parent, for each row of a child.
    pub(crate) parents: Vec<u32>,
    /// The place in the list, for each row of a child.
    pub(crate) positions: Vec<i64>,
}

impl TableShape {
    pub(super) fn root(name: &str, existing: Option<SchemaRef>) -> Self {
        Self {
            name: name.to_owned(),
            parent: None,
            path: String::new(),
            part: None,
            depth: 0,
            existing,
            columns: Vec::new(),
            by_name: HashMap::new(),
            parts: Vec::new(),
            written: false,
            rows: 0,
            parents: Vec::new(),
            positions: Vec::new(),
            present: Vec::new(),
        }
    }

    /// Whether a column of that name is there or kept.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name) || self.parts.iter().any(|(part, _)| part == name)
    }

    /// What the table has of a column already.
    pub(super) fn existing(&self, name: &str) -> Option<&Field> {
        self.existing.as_ref()?.field_with_name(name).ok()
    }

    /// The rows, without what is kept as structs and lists.
    pub(super) fn finish(&mut self) -> Rows {
        let rows = std::mem::take(&mut self.rows);
        Rows {
            fields: self.columns.iter().map(Column::field).collect(),
            columns: self
                .columns
                .iter_mut()
                .map(|column| column.finish(rows))
                .collect(),
            count: rows,
            parents: std::mem::take(&mut self.parents),
            positions: std::mem::take(&mut self.positions),
        }
    }
}

impl Rows {
    /// The same with all columns that the table has already, first and in their order.
    pub(super) fn with(mut self, existing: &SchemaRef) -> Self {
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for field in existing.fields() {
            let own = self
                .fields
                .iter()
                .position(|own| own.name() == field.name());
            if let Some(own) = own {
                fields.push(self.fields.remove(own));
                columns.push(self.columns.remove(own));
            } else {
                fields.push(field.as_ref().clone());
                columns.push(new_null_array(field.data_type(), self.count));
            }
        }
        fields.append(&mut self.fields);
        columns.append(&mut self.columns);
        Self {
            fields,
            columns,
            ..self
        }
    }
}
