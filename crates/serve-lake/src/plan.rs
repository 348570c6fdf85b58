//! How a route's query is run over certain versions of the tables that it reads.

use crate::versions::Version;
use crate::{bind, encode};
use arrow::datatypes::{DataType, SchemaRef};
use jiff::Timestamp;
use millrace_engine::{Described, Engine, Error, Manner, Prepared, Session};
use millrace_serve::source::{self, Column, Pages, Selected, Served, Shape, Sort, Stretch};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many statements of a route are kept: one for each size of a page and each combination of NULLs in cursors.
const STATEMENTS: usize = 64;

/// The tables that a route reads, each with the name by which it does.
pub type Read = Vec<((String, String), Arc<Version>)>;

/// How a route's query is run.
pub struct Plan {
    /// The columns of the answer.
    columns: Vec<Column>,
    /// Of each of them, whether its texts are JSON.
    pub json: Vec<bool>,
    /// How the answer is cut into pages.
    pub pages: Pages,
    /// The types by which parameters are bound, `$1`'s first.
    pub parameters: Vec<DataType>,
    /// The types as which cursors hold the values by which rows are ordered.
    pub keys: Vec<DataType>,
    /// What tells the versions that it reads from all others.
    pub identity: Vec<String>,
    session: Session,
    steady: bool,
    statements: Mutex<HashMap<String, Arc<Prepared>>>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum NoPlan {
    /// The engine does not understand it.
    #[error(transparent)]
    Engine(#[from] Error),
    /// It answers with something that cannot be served.
    #[error("{0}")]
    Unserved(String),
}

impl source::Plan for Plan {
    fn columns(&self) -> &[Column] {
        &self.columns
    }
}

impl Plan {
    /// The plan of a route's query in an order, over these versions.
    pub async fn make(
        engine: &Engine,
        route: &Served,
        sort: Option<&Sort>,
        read: &Read,
    ) -> Result<Self, NoPlan> {
        let session = engine.session("public", Timestamp::now(), Manner::Direct);
        for ((schema, name), version) in read {
            session.add_relation(schema, name, &version.relation)?;
        }
        let sql = route.sql(sort);
        let parameters: Vec<DataType> = route.kinds().into_iter().map(bind::kind).collect();
        let described = session.describe(sql, &parameters).await?;
        let names: Vec<&str> = described
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let shape = Shape::of(sql, &names);
        let shaped = match shape.hidden {
            0 => described.schema.clone(),
            _ => session.describe(&shape.sql, &parameters).await?.schema,
        };
        let only = match read.as_slice() {
            [(_, version)] if shape.single_table => Some(&**version),
            _ => None,
        };
        let json = json(&described, only);
        let columns = columns(&described.schema, &json)?;
        let mut selected = Selected::default();
        for at in 0..columns.len() {
            selected.push(at, false);
        }
        let unique = if route.is_half {
            Vec::new()
        } else {
            only.and_then(|version| key(&described, version))
                .unwrap_or_else(|| ordered(&shaped))
        };
        let kind = |column: usize| shaped.field(column).data_type();
        let (pages, selected) = Pages::new(
            &shape,
            shaped.fields().len(),
            parameters.len(),
            selected,
            Some(unique),
            |column| encode::is_exact(kind(column)),
        );
        let keys = pages.keys.iter().flatten().map(|key| {
            let (column, as_text) = selected.values[key.place];
            if as_text {
                return Ok(DataType::Utf8);
            }
            encode::in_cursor(kind(column)).ok_or_else(|| {
                NoPlan::Unserved(format!(
                    "the answer is ordered by a value of the type {}, by which it cannot be cut into pages: order by \
                     another column, or cast it",
                    kind(column)
                ))
            })
        });
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
            columns,
            json,
            pages,
            parameters,
            identity: identity(read),
            session,
            steady: route.steady,
            statements: Mutex::default(),
        })
    }

    /// The statement of a stretch, for at most so many rows.
    pub async fn statement(&self, stretch: &Stretch, rows: usize) -> Result<Arc<Prepared>, Error> {
        let sql = self.pages.statement(stretch, "", &rows.to_string());
        let known = self.statements().get(&sql).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let mut kinds = self.parameters.clone();
        kinds.extend(stretch.bound.iter().map(|at| self.keys[*at].clone()));
        kinds.extend(self.keys.first().cloned().filter(|_| stretch.boundary));
        let made = Arc::new(self.session.prepare(&sql, &kinds, self.steady).await?);
        let mut statements = self.statements();
        if statements.len() >= STATEMENTS {
            statements.clear();
        }
        statements.insert(sql, made.clone());
        Ok(made)
    }

    fn statements(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Prepared>>> {
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Plan")
            .field("columns", &self.columns)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// What tells these versions from all others.
pub fn identity(read: &Read) -> Vec<String> {
    read.iter().map(|(_, version)| version.identity()).collect()
}

/// Of each column, whether its texts are JSON: where it is one of a table, and the table's definition says so.
fn json(described: &Described, only: Option<&Version>) -> Vec<bool> {
    let fields = described.schema.fields().iter().zip(&described.own);
    let is_json = |name: &String| only.is_some_and(|version| version.json.contains(name));
    fields
        .map(|(field, own)| *own && is_json(field.name()))
        .collect()
}

fn columns(schema: &SchemaRef, json: &[bool]) -> Result<Vec<Column>, NoPlan> {
    let fields = schema.fields().iter().zip(json);
    let column = |(field, is_json): (&Arc<arrow::datatypes::Field>, &bool)| {
        let kind = encode::kind(field.data_type(), *is_json).ok_or_else(|| {
            NoPlan::Unserved(format!(
                "the column `{}` is of the type {}, which cannot be served: cast it",
                field.name(),
                field.data_type()
            ))
        })?;
        Ok(Column::new(field.name(), kind))
    };
    fields.map(column).collect()
}

/// The places of the columns that name a row of the one table, where all of them are in the answer.
fn key(described: &Described, version: &Version) -> Option<Vec<usize>> {
    let place = |name: &String| {
        let mut fields = described.schema.fields().iter().zip(&described.own);
        fields.position(|(field, own)| *own && field.name() == name)
    };
    let places: Option<Vec<usize>> = version.key.iter().map(place).collect();
    places.filter(|places| !places.is_empty())
}

/// The places of all columns by which rows can be ordered.
fn ordered(schema: &SchemaRef) -> Vec<usize> {
    let fields = schema.fields().iter().enumerate();
    let plain = fields.filter(|(_, field)| encode::in_cursor(field.data_type()).is_some());
    plain.map(|(at, _)| at).collect()
}
