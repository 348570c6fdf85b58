//! A batch's rows as a root table's and its children's: with the columns that tell which row belongs to which.
//!
//! A child's row names its parent by `_parent_<key>` for each column of the root's key, and its place in the list by
//! `_position`; a grandchild's has the place of its parent as well, in `_parent_position`, and so on. Where the root has no
//! key its rows are numbered in `_row_id`, by the raw run's sequence number and the record's place in that run, which are
//! the same whenever they are counted.

use crate::shape::{Refusal, Rows};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The column that numbers the rows of a table without a key.
const ROW_ID: &str = "_row_id";
/// The column that says where in its list a child's row stood.
const POSITION: &str = "_position";

/// Names of the columns by which a child's rows are told to be of a root's row.
pub(crate) fn link_names(key: &[String]) -> Vec<String> {
    if key.is_empty() {
        vec![parent_name(ROW_ID)]
    } else {
        key.iter().map(|column| parent_name(column)).collect()
    }
}

fn parent_name(column: &str) -> String {
    format!("_parent_{}", column.trim_start_matches('_'))
}

/// One batch of a root table and its children, in the order of the shape's tables.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) tables: Vec<RecordBatch>,
    /// The row of the parent, for each row of each child.
    parents: Vec<UInt32Array>,
    /// The parent of each table.
    owners: Vec<Option<usize>>,
}

/// The columns that tell a row's place: of the root's key, then one position for each list around it.
#[derive(Clone)]
struct Place {
    links: Vec<(Field, ArrayRef)>,
    positions: Vec<ArrayRef>,
}

impl Family {
    /// Puts a batch together. `owners` says each table's parent, which comes before it; `ids` gives each record's id where
    /// the root has no key.
    pub(crate) fn new(
        rows: Vec<Rows>,
        owners: Vec<Option<usize>>,
        key: &[String],
        ids: impl FnOnce() -> StringArray,
    ) -> Result<Self, Refusal> {
        let mut family = Self {
            tables: Vec::new(),
            parents: Vec::new(),
            owners,
        };
        let mut places: Vec<Place> = Vec::new();
        let mut ids = Some(ids);
        for (table, rows) in rows.into_iter().enumerate() {
            let parents = UInt32Array::from(rows.parents);
            let (mut fields, mut columns) = (Vec::new(), Vec::new());
            let place = if let Some(owner) = family.owners[table] {
                let place = places[owner].of_children(&parents, rows.positions)?;
                for (field, column) in &place.links {
                    fields.push(field.clone());
                    columns.push(column.clone());
                }
                let depth = place.positions.len();
                for (level, positions) in place.positions.iter().enumerate() {
                    let ancestors = "_parent".repeat(depth - 1 - level);
                    fields.push(Field::new(
                        format!("{ancestors}{POSITION}"),
                        DataType::Int64,
                        true,
                    ));
                    columns.push(positions.clone());
                }
                fields.extend(rows.fields);
                columns.extend(rows.columns);
                place
            } else {
                if key.is_empty()
                    && let Some(ids) = ids.take()
                {
                    fields.push(Field::new(ROW_ID, DataType::Utf8, true));
                    columns.push(Arc::new(ids()) as ArrayRef);
                }
                fields.extend(rows.fields);
                columns.extend(rows.columns);
                Place::of_root(key, &fields, &columns)
            };
            let schema = Arc::new(Schema::new(fields));
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.count));
            family.tables.push(RecordBatch::try_new_with_options(
                schema, columns, &options,
            )?);
            family.parents.push(parents);
            places.push(place);
        }
        Ok(family)
    }

    /// Leaves only those rows of the root, and their children.
    pub(crate) fn keep(&mut self, rows: &BooleanArray) -> Result<(), ArrowError> {
        let mut kept: Vec<BooleanArray> = Vec::new();
        for table in 0..self.tables.len() {
            let mask = match self.owners[table] {
                None => rows.clone(),
                Some(owner) => {
                    let parent = &kept[owner];
                    self.parents[table]
                        .values()
                        .iter()
                        .map(|row| Some(parent.value(*row as usize)))
                        .collect()
                }
            };
            self.tables[table] = filter_record_batch(&self.tables[table], &mask)?;
            kept.push(mask);
        }
        Ok(())
    }
}

impl Place {
    fn of_root(key: &[String], fields: &[Field], columns: &[ArrayRef]) -> Self {
        let named = |name: &str| {
            let position = fields.iter().position(|field| field.name() == name)?;
            let field = Field::new(
                parent_name(name),
                fields[position].data_type().clone(),
                true,
            );
            Some((field, columns[position].clone()))
        };
        let links = if key.is_empty() {
            named(ROW_ID).into_iter().collect()
        } else {
            key.iter().filter_map(|column| named(column)).collect()
        };
        Self {
            links,
            positions: Vec::new(),
        }
    }

    fn of_children(&self, parents: &UInt32Array, positions: Vec<i64>) -> Result<Self, ArrowError> {
        let taken = |column: &ArrayRef| take(column.as_ref(), parents, None);
        let links = self
            .links
            .iter()
            .map(|(field, column)| Ok((field.clone(), taken(column)?)))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        let mut all = self
            .positions
            .iter()
            .map(taken)
            .collect::<Result<Vec<_>, _>>()?;
        all.push(Arc::new(Int64Array::from(positions)));
        Ok(Self {
            links,
            positions: all,
        })
    }
}

/// The columns of the first, then those that only the second has.
pub(crate) fn union(first: Option<&SchemaRef>, second: &SchemaRef) -> SchemaRef {
    let Some(first) = first else {
        return second.clone();
    };
    let added = second
        .fields()
        .iter()
        .filter(|field| first.field_with_name(field.name()).is_err());
    let fields: Vec<_> = first.fields().iter().chain(added).cloned().collect();
    Arc::new(Schema::new(fields))
}
