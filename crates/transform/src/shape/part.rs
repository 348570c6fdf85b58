//! Objects and lists that stay one value: structs and lists of Arrow, and so of Parquet and Delta.

use super::table::Rows;
use super::{Refusal, Shape};
use arrow::array::{
    ArrayRef, BooleanBufferBuilder, ListArray, StructArray, UInt32Array, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;
use millrace_model::definition::pipeline::OnChange;
use millrace_records::json::Cursor;
use std::sync::Arc;

/// What an element of a list is called in Delta, and so here.
const ELEMENT: &str = "element";

/// As what a value stays one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An object.
    Struct,
    /// A list.
    List,
}

/// The table that gathers what is in a column's structs or lists, and the node of what is in them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) form: Form,
    pub(super) table: usize,
    pub(super) node: usize,
}

impl Form {
    /// What a column holds, for messages.
    pub(super) fn holds(self) -> &'static str {
        match self {
            Self::Struct => "objects",
            Self::List => "lists",
        }
    }

    /// The form of a type that a table has.
    pub(super) fn of(kind: &DataType) -> Option<Self> {
        match kind {
            DataType::Struct(_) => Some(Self::Struct),
            DataType::List(_) => Some(Self::List),
            _ => None,
        }
    }
}

impl Shape {
    pub(super) fn kept_object(
        &mut self,
        cursor: &mut Cursor<'_>,
        node: usize,
        row: usize,
        depth: usize,
    ) -> Result<(), Refusal> {
        let Some(part) = self.part(node, Form::Struct)? else {
            return Ok(cursor.skip().map(drop)?);
        };
        let rows = &mut self.tables[part.table];
        // Of a field that an object has twice the first one counts.
        if rows.parents.last() == Some(&(row as u32)) {
            return Ok(cursor.skip().map(drop)?);
        }
        let child = rows.rows;
        rows.rows += 1;
        rows.parents.push(row as u32);
        self.object(cursor, part.node, child, depth)
    }

    pub(super) fn kept_list(
        &mut self,
        cursor: &mut Cursor<'_>,
        node: usize,
        row: usize,
        depth: usize,
    ) -> Result<(), Refusal> {
        let Some(part) = self.begin_list(node, row)? else {
            return Ok(cursor.skip().map(drop)?);
        };
        cursor.expect(b'[')?;
        if cursor.peek()? == b']' {
            return Ok(cursor.expect(b']')?);
        }
        loop {
            self.element(cursor, part, row, depth)?;
            if !cursor.another(b']')? {
                return Ok(());
            }
        }
    }

    /// A value that stands where lists are declared.
    pub(super) fn list_of_one(
        &mut self,
        cursor: &mut Cursor<'_>,
        node: usize,
        row: usize,
        depth: usize,
    ) -> Result<(), Refusal> {
        match self.begin_list(node, row)? {
            Some(part) => self.element(cursor, part, row, depth),
            None => Ok(cursor.skip().map(drop)?),
        }
    }

    fn begin_list(&mut self, node: usize, row: usize) -> Result<Option<Part>, Refusal> {
        let Some(part) = self.part(node, Form::List)? else {
            return Ok(None);
        };
        let present = &mut self.tables[part.table].present;
        if present.last() == Some(&(row as u32)) {
            return Ok(None);
        }
        present.push(row as u32);
        Ok(Some(part))
    }

    #[inline]
    fn element(
        &mut self,
        cursor: &mut Cursor<'_>,
        part: Part,
        row: usize,
        depth: usize,
    ) -> Result<(), Refusal> {
        let rows = &mut self.tables[part.table];
        let child = rows.rows;
        rows.rows += 1;
        rows.parents.push(row as u32);
        self.value(cursor, part.node, child, depth + 1)
    }

    /// The part of a field; none where the contract leaves it out.
    #[inline]
    fn part(&mut self, node: usize, form: Form) -> Result<Option<Part>, Refusal> {
        match self.nodes[node].part {
            Some(part) if part.form == form => Ok(Some(part)),
            Some(part) => self.unlike(node, part.form.holds()).map(|()| None),
            None => self.add_part(node, form),
        }
    }

    /// A value that is not what its column holds: null, or worse, by the contract.
    pub(super) fn unlike(&mut self, node: usize, holds: &'static str) -> Result<(), Refusal> {
        let (path, local) = self.place(node);
        let reason = format!("its column holds {holds}, which the value is not");
        match self.contract.types {
            OnChange::DiscardColumn => {
                self.spare(&path, &reason);
                Ok(())
            }
            OnChange::DiscardRow => {
                self.keep_out(path, reason);
                Ok(())
            }
            OnChange::Evolve | OnChange::Freeze => {
                let table = self.nodes[node].table;
                let name = self.name_in(table, &path, &local);
                Err(Refusal::Unlike {
                    column: format!("{}.{name}", self.tables[table].name),
                    path,
                    holds,
                })
            }
        }
    }

    /// A table's rows of the batch, with all that is kept in them; none are left.
    pub(super) fn finish_table(&mut self, table: usize) -> Result<Rows, ArrowError> {
        let mut rows = self.tables[table].finish();
        for (name, part) in self.tables[table].parts.clone() {
            if let Some(column) = self.finish_part(part, rows.count)? {
                let field = Field::new(name, column.data_type().clone(), true);
                rows.fields.push(field);
                rows.columns.push(column);
            }
        }
        Ok(rows)
    }

    /// The column of so many structs or lists; none as long as nothing is known of what is in them.
    fn finish_part(&mut self, part: usize, count: usize) -> Result<Option<ArrayRef>, ArrowError> {
        let Some(form) = self.tables[part].part else {
            return Ok(None);
        };
        let present = std::mem::take(&mut self.tables[part].present);
        let mut rows = self.finish_table(part)?;
        if let Some(existing) = &self.tables[part].existing {
            rows = rows.with(existing);
        }
        if rows.fields.is_empty() {
            return Ok(None);
        }
        match form {
            Form::Struct => structs(rows, count).map(Some),
            Form::List => lists(rows, &present, count).map(Some),
        }
    }

    /// A table's columns, as they are known so far.
    pub(super) fn fields_of(&self, table: usize) -> Vec<Field> {
        let of = &self.tables[table];
        let mut fields: Vec<Field> = of
            .columns
            .iter()
            .map(crate::column::Column::field)
            .collect();
        for (name, part) in &of.parts {
            fields.extend(
                self.type_of_part(*part)
                    .map(|kind| Field::new(name, kind, true)),
            );
        }
        fields
    }

    fn type_of_part(&self, part: usize) -> Option<DataType> {
        let of = &self.tables[part];
        let mut own = self.fields_of(part);
        let mut fields = Vec::new();
        for field in of.existing.iter().flat_map(|existing| existing.fields()) {
            let place = own.iter().position(|own| own.name() == field.name());
            fields.push(place.map_or_else(|| field.as_ref().clone(), |place| own.remove(place)));
        }
        fields.append(&mut own);
        match of.part? {
            _ if fields.is_empty() => None,
            Form::Struct => Some(DataType::Struct(fields.into())),
            Form::List => Some(list_of(fields[0].data_type().clone())),
        }
    }
}

/// The type of lists of such elements.
fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new(ELEMENT, element, true)))
}

/// Structs for so many rows: a row for each of the rows that have one.
fn structs(rows: Rows, count: usize) -> Result<ArrayRef, ArrowError> {
    let fields = Fields::from(rows.fields);
    if rows.count == 0 {
        return Ok(new_null_array(&DataType::Struct(fields), count));
    }
    let all: ArrayRef = Arc::new(StructArray::try_new(fields, rows.columns, None)?);
    if rows.count == count {
        return Ok(all);
    }
    let mut places: Vec<Option<u32>> = vec![None; count];
    for (place, parent) in (0..).zip(&rows.parents) {
        places[*parent as usize] = Some(place);
    }
    take(&all, &UInt32Array::from(places), None)
}

/// Lists for so many rows, of those that are present: an element for each of the rows.
fn lists(mut rows: Rows, present: &[u32], count: usize) -> Result<ArrayRef, ArrowError> {
    let elements = rows.columns.swap_remove(0);
    let mut lengths = vec![0_usize; count];
    for parent in &rows.parents {
        lengths[*parent as usize] += 1;
    }
    let nulls = (present.len() < count).then(|| {
        let mut valid = BooleanBufferBuilder::new(count);
        valid.append_n(count, false);
        for row in present {
            valid.set_bit(*row as usize, true);
        }
        NullBuffer::new(valid.finish())
    });
    let element = Arc::new(Field::new(ELEMENT, elements.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(
        element, offsets, elements, nulls,
    )?))
}
