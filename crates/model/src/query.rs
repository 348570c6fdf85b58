//! An endpoint's query: one SELECT over published tables, and what can be told of it without a database.

mod bind;
mod functions;
mod index;
mod model;
mod shape;
mod united;
mod walk;

use crate::definition::{Datasource, Endpoint};
use sqlparser::ast::Statement;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{TokenWithSpan, Tokenizer};

pub use model::{ModelQuery, Read};
pub use united::{Direction, United};

/// The longest query, in bytes.
const MAX_BYTES: usize = 16 * 1024;
/// The most words and signs of a query: they bound how deep its tree can be, and so the stack that is needed to read it.
const MAX_TOKENS: usize = 4_000;

/// Why a text is not an endpoint's query; the message says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QueryError(String);

impl QueryError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    fn of(error: &dyn std::fmt::Display) -> Self {
        Self(format!("this is not PostgreSQL's SQL: {error}"))
    }

    /// The line of the query that it is about, from 1, where it says so.
    pub fn line(&self) -> Option<u64> {
        let (_, behind) = self.0.rsplit_once(" at Line: ")?;
        behind.split(',').next()?.trim().parse().ok()
    }
}

/// One SELECT, checked: it reads only tables that it names with their schemas, and writes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    sql: String,
    parameters: Vec<String>,
    relations: Vec<(String, String)>,
    order_by: Option<Vec<(String, bool)>>,
    output_columns: Option<Vec<String>>,
    indexes: Vec<IndexNeed>,
}

/// An index that a query would be slow without.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexNeed {
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub relation: String,
    /// The columns, in the index's order, and whether each descends.
    pub columns: Vec<(String, bool)>,
}

impl Query {
    /// Reads a query, with `:name` where a parameter is bound.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_BYTES {
            let message = format!(
                "the query has {} bytes; it may have {MAX_BYTES}",
                text.len()
            );
            return Err(QueryError::new(message));
        }
        let bind::Bound { sql, parameters } = bind::bind(text)?;
        Self::of(sql, parameters)
    }

    fn of(sql: String, parameters: Vec<String>) -> Result<Self, QueryError> {
        let statements = statements(&sql)?;
        let query = walk::only_select(&statements, "an endpoint")?;
        let relations = walk::reads(query, None)?.relations.into_keys().collect();
        Ok(Self {
            order_by: shape::order_by(query),
            output_columns: shape::output_columns(query)?,
            indexes: index::needs(query),
            sql,
            parameters,
            relations,
        })
    }

    /// The same query in another order: that of one of its output columns. An error where it chooses its rows by their
    /// order, or has no such column.
    pub fn sorted_by(&self, column: &str, descending: bool) -> Result<Self, QueryError> {
        if let Some(known) = self.output_columns()
            && known.iter().all(|name| name != column)
        {
            let message = format!("the query answers with no column `{column}` to sort by");
            return Err(QueryError::new(message));
        }
        let mut statements = statements(&self.sql)?;
        let sorted = match statements.as_mut_slice() {
            [Statement::Query(query)] => shape::sort_by(query, column, descending),
            _ => false,
        };
        if !sorted {
            return Err(QueryError::new(
                "a query with LIMIT, FETCH or DISTINCT ON chooses its rows by their order; it takes no other",
            ));
        }
        Self::of(statements[0].to_string(), self.parameters.clone())
    }

    /// The query with `$1`, `$2`, … where parameters are bound, without comments and without a semicolon, so that it can
    /// stand in parentheses.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The parameters' names, that of `$1` first.
    pub fn parameters(&self) -> &[String] {
        &self.parameters
    }

    /// The tables that it reads, schema and table, each once.
    pub fn relations(&self) -> &[(String, String)] {
        &self.relations
    }

    /// Whether the same tables always give the same answer: nothing in it asks for the time, or for chance.
    pub fn is_steady(&self) -> bool {
        let sql = self.sql.to_lowercase();
        functions::UNSTEADY.iter().all(|word| !sql.contains(word))
    }

    /// The output columns by which it sorts, and whether each descends; empty where it does not sort. None where it sorts
    /// by something else than its output columns, or puts NULLs elsewhere than PostgreSQL does by itself.
    pub fn order_by(&self) -> Option<&[(String, bool)]> {
        self.order_by.as_deref()
    }

    /// The names of its output columns; none where only the database can tell (`*`).
    pub fn output_columns(&self) -> Option<&[String]> {
        self.output_columns.as_deref()
    }

    /// The indexes that it would be slow without: by the columns that parameters are compared with, and by the columns
    /// that a query of one table sorts by. Sorted, each once, none that another one begins with.
    pub fn indexes(&self) -> &[IndexNeed] {
        &self.indexes
    }
}

fn statements(sql: &str) -> Result<Vec<Statement>, QueryError> {
    let tokens = tokens(sql)?;
    if tokens.len() > MAX_TOKENS {
        return Err(QueryError::new(format!(
            "the query has more than {MAX_TOKENS} words and signs; make it simpler"
        )));
    }
    Parser::new(&PostgreSqlDialect {})
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|error| QueryError::of(&error))
}

fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, QueryError> {
    Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| QueryError::of(&error))
}

/// The indexes that endpoints need of a table, in every order that their callers may choose. An error names the route.
pub fn index_needs<'e>(
    endpoints: impl IntoIterator<Item = &'e Endpoint>,
    schema: &str,
    relation: &str,
) -> Result<Vec<IndexNeed>, String> {
    let mut needs = Vec::new();
    let routes = endpoints.into_iter().flat_map(|endpoint| &endpoint.routes);
    for route in routes.filter(|route| route.datasource == Datasource::OperationalStore) {
        let bad = |error| format!("the query of the route {}: {error}", route.path);
        let mut query = Query::parse(&route.query).map_err(bad)?;
        if route.older.is_some() {
            query = query.of_recent().map_err(bad)?;
        }
        let mut queries = Vec::with_capacity(1 + route.sort.len());
        for column in &route.sort {
            // Read backwards, the same index sorts the other way.
            queries.push(query.sorted_by(column, false).map_err(bad)?);
        }
        queries.push(query);
        let own = queries
            .iter()
            .flat_map(Query::indexes)
            .filter(|need| need.schema == schema && need.relation == relation);
        needs.extend(own.cloned());
    }
    needs.sort();
    needs.dedup();
    Ok(needs)
}
