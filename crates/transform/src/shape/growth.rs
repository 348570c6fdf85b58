//! How a shape grows: the fields, lists and columns that it has not met before, and their names.

use super::{Form, Node, Part, Reading, Refusal, Shape, TableShape};
use crate::column::{Column, Origin, Token, data_type, inferred, kind_of, type_name, widens};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millrace_model::definition::FieldPath;
use millrace_model::definition::pipeline::{ColumnType, Keep, OnChange, OnList, OnObject};
use std::sync::Arc;

/// The column of a list's elements that are no objects.
const VALUE: &str = "value";
/// How many structs and lists may lie in one another; what lies deeper is kept as JSON text. Those who read a table's
/// schema, which is JSON, go only so deep.
const KEPT_DEPTH: usize = 24;

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
            let in_list = self.is_within(&path);
            let name = self.column_name(&path.0, &path.0);
            let known = self
                .tables
                .iter()
                .flat_map(|table| &table.columns)
                .any(|column| column.path == path.0);
            if !in_list && !known && !self.tables[0].has(&name) {
                self.add_column(0, name, path.0, Some(kind), kind)?;
            }
        }
        Ok(())
    }

    /// Whether a field lies in a list, or in what is kept as one value, whether a record had it or not.
    fn is_within(&self, path: &FieldPath) -> bool {
        let seen =
            self.tables.iter().skip(1).any(|table| {
                path.0 == table.path || path.0.starts_with(&format!("{}.", table.path))
            });
        let around = path.0.match_indices('.').map(|(end, _)| &path.0[..end]);
        let root = &self.tables[0].name;
        seen || around.into_iter().any(|path| {
            let path = FieldPath(path.to_owned());
            let kept = self
                .declared
                .get(&path)
                .is_some_and(|column| column.keep.is_some());
            kept || self.existing.contains_key(&child_name(root, &path.0))
        })
    }

    pub(super) fn add_field(&mut self, node: usize, name: &str) -> usize {
        let of = &self.nodes[node];
        let path = joined(&of.path, name);
        let local = joined(&of.local, name);
        let field = self.nodes.len();
        let table = of.table;
        let reading = self.reading(table, &path);
        self.nodes.push(Node::new(table, path, local, reading));
        let of = &mut self.nodes[node];
        of.by_name.insert(name.into(), of.fields.len());
        of.fields.push((name.into(), field));
        field
    }

    /// The table of a list and the node of its elements; none where the contract leaves it out.
    pub(super) fn add_list(&mut self, node: usize) -> Result<Option<(usize, usize)>, Refusal> {
        let of = &self.nodes[node];
        let (path, parent) = (of.path.clone(), of.table);
        let name = child_name(&self.tables[parent].name, &of.local);
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
        let existing = self.existing.get(&name).cloned();
        self.tables.push(TableShape {
            parent: Some(parent),
            path: path.clone(),
            ..TableShape::root(&name, existing)
        });
        let item = self.nodes.len();
        let reading = self.reading(table, &joined(&path, VALUE));
        self.nodes
            .push(Node::new(table, path, String::new(), reading));
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
        if let Some(part) = self.nodes[node].part {
            return self.unlike(node, part.form.holds()).map(|()| None);
        }
        let (path, local) = self.place(node);
        let declared = self.declared_kind(node);
        let table = self.nodes[node].table;
        let name = self.name_in(table, &path, &local);
        let of = &self.tables[table];
        let existing = of.existing(&name).map(Field::data_type);
        if let Some(form) = existing.and_then(Form::of) {
            return self.unlike(node, form.holds()).map(|()| None);
        }
        let known = of.existing.is_none() || existing.is_some();
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

    /// The part of a field whose objects or lists stay one value; none where the contract leaves it out.
    pub(super) fn add_part(&mut self, node: usize, form: Form) -> Result<Option<Part>, Refusal> {
        if self.nodes[node].scalar.is_some() {
            return self.unlike(node, "single values").map(|()| None);
        }
        let (path, local) = self.place(node);
        let owner = self.nodes[node].table;
        let name = self.name_in(owner, &path, &local);
        let declared = self
            .declared
            .get(&FieldPath(path.clone()))
            .is_some_and(|column| column.keep.is_some());
        let of = &self.tables[owner];
        let existing = of.existing(&name).map(|field| field.data_type().clone());
        let is_known = of.existing.is_none() || existing.is_some();
        match existing.as_ref().map(|kind| (kind, Form::of(kind))) {
            Some((kind, found)) if found != Some(form) => {
                let holds = found.map_or("single values", Form::holds);
                if !declared {
                    return self.unlike(node, holds).map(|()| None);
                }
                let kind = kind_of(kind).map_or_else(|| holds.to_owned(), type_name);
                return Err(Refusal::Definition(format!(
                    "the column `{name}` of `{}` is kept as one value by the definition, and is `{kind}` in the table; give \
                     it another `name`, or remove the table to have it made anew",
                    of.name
                )));
            }
            _ => {}
        }
        if !declared && !is_known && !self.admits(self.contract.columns, "column", &name, &path)? {
            return Ok(None);
        }
        if self.tables[owner].has(&name) {
            return Err(self.is_taken(owner, &name, &path));
        }
        self.note_growth(owner, &name);
        Ok(Some(self.push_part(node, form, name, existing.as_ref())))
    }

    fn push_part(
        &mut self,
        node: usize,
        form: Form,
        name: String,
        existing: Option<&DataType>,
    ) -> Part {
        let owner = self.nodes[node].table;
        let table = self.tables.len();
        let full = format!("{}.{name}", self.tables[owner].name);
        // Files may have it already, though no record had it so far: as null, or as a list without elements.
        let of = &self.tables[owner];
        let written = of.written && (existing.is_some() || of.part.is_some());
        // Of an element of a list the list's own path is that of its fields.
        let path = self.nodes[node].path.clone();
        self.tables.push(TableShape {
            parent: Some(owner),
            path: path.clone(),
            part: Some(form),
            depth: self.tables[owner].depth + 1,
            written,
            ..TableShape::root(&full, existing.and_then(columns_within))
        });
        self.tables[owner].parts.push((name, table));
        let reading = match form {
            Form::Struct => self.nodes[node].reading,
            Form::List => self.reading(table, &joined(&path, VALUE)),
        };
        let inner = self.nodes.len();
        self.nodes
            .push(Node::new(table, path, String::new(), reading));
        let part = Part {
            form,
            table,
            node: inner,
        };
        self.nodes[node].part = Some(part);
        part
    }

    /// Notes that what files hold of a struct or a list has got a field that they do not have.
    fn note_growth(&mut self, table: usize, name: &str) {
        let of = &self.tables[table];
        self.outgrown |= of.part.is_some() && of.written && of.existing(name).is_none();
    }

    fn is_taken(&self, table: usize, name: &str, path: &str) -> Refusal {
        let table = &self.tables[table];
        let other = table.by_name.get(name);
        let other = other.map_or(name, |other| table.columns[*other].path.as_str());
        Refusal::Definition(format!(
            "the fields `{other}` and `{path}` both become the column `{name}` of `{}`; name one of them otherwise under \
             `columns`",
            table.name
        ))
    }

    fn add_column(
        &mut self,
        table: usize,
        name: String,
        path: String,
        declared: Option<ColumnType>,
        inferred: ColumnType,
    ) -> Result<usize, Refusal> {
        if self.tables[table].has(&name) {
            return Err(self.is_taken(table, &name, &path));
        }
        self.note_growth(table, &name);
        let table = &mut self.tables[table];
        let existing = table.existing(&name).map(Field::data_type);
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
        // Files have all fields of a struct that the table knows, as null where no record had them so far.
        made.written = table.part.is_some() && table.written;
        table.columns.push(made);
        table.by_name.insert(name, column);
        Ok(column)
    }

    fn column_name(&self, path: &str, local: &str) -> String {
        self.declared
            .get(&FieldPath(path.to_owned()))
            .and_then(|column| column.name.clone())
            .unwrap_or_else(|| self.nesting.column_name(&FieldPath(local.to_owned())))
    }

    /// The name of a column of that table; what is in a list has none of its own.
    pub(super) fn name_in(&self, table: usize, path: &str, local: &str) -> String {
        if self.tables[table].part == Some(Form::List) {
            return VALUE.to_owned();
        }
        self.column_name(path, local)
    }

    /// The path by which a field is declared, and the one within its table.
    pub(super) fn place(&self, node: usize) -> (String, String) {
        let of = &self.nodes[node];
        if of.local.is_empty() {
            (joined(&of.path, VALUE), VALUE.to_owned())
        } else {
            (of.path.clone(), of.local.clone())
        }
    }

    pub(super) fn declared_kind(&self, node: usize) -> Option<ColumnType> {
        self.declared.get(&FieldPath(self.place(node).0))?.kind
    }

    /// How the values of a field of that table are read.
    fn reading(&self, table: usize, path: &str) -> Reading {
        let declared = self.declared.get(&FieldPath(path.to_owned()));
        let kind = declared.and_then(|column| column.kind);
        let keep = declared.and_then(|column| column.keep);
        let of = &self.tables[table];
        let within = of.part.is_some();
        let (objects, lists) = match keep {
            _ if of.depth >= KEPT_DEPTH => (OnObject::Json, OnList::Json),
            _ if within => (OnObject::Keep, OnList::Keep),
            Some(Keep::Struct) => (OnObject::Keep, self.nesting.lists),
            Some(Keep::List) => (self.nesting.objects, OnList::Keep),
            None => (self.nesting.objects, self.nesting.lists),
        };
        Reading {
            text: matches!(kind, Some(ColumnType::Json | ColumnType::String)),
            lone: keep == Some(Keep::List) && of.depth < KEPT_DEPTH,
            objects,
            lists,
        }
    }
}

/// The name of the child table of a list; a list within a list has none of its own.
fn child_name(parent: &str, local: &str) -> String {
    if local.is_empty() {
        return format!("{parent}__items");
    }
    format!("{parent}__{}", FieldPath(local.to_owned()).column_name())
}

/// The columns of the part whose structs or lists are of that type.
fn columns_within(kind: &DataType) -> Option<SchemaRef> {
    match kind {
        DataType::Struct(fields) => Some(Arc::new(Schema::new(fields.clone()))),
        DataType::List(element) => {
            let value = Field::new(VALUE, element.data_type().clone(), true);
            Some(Arc::new(Schema::new(vec![value])))
        }
        _ => None,
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
