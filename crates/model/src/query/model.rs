//! A model's query: one SELECT over the lake's tables.

use super::walk::{self, Reads};
use super::{MAX_TOKENS, QueryError, tokens};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// The longest query, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// One SELECT, checked: it reads only tables, and writes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelQuery {
    reads: Vec<Read>,
}

/// A table that a model reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The pipeline that makes the table.
    pub pipeline: String,
    /// The table.
    pub table: String,
    /// The line of the query on which it is first named, from 1.
    pub line: u64,
}

impl ModelQuery {
    /// Reads the query of a model of the pipeline `own`, whose tables are named without it.
    pub fn parse(text: &str, own: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_BYTES {
            let message = format!(
                "the query has {} bytes; it may have {MAX_BYTES}",
                text.len()
            );
            return Err(QueryError::new(message));
        }
        let tokens = tokens(text)?;
        let words = tokens
            .iter()
            .filter(|token| !matches!(token.token, Token::Whitespace(_)));
        if words.count() > MAX_TOKENS {
            return Err(QueryError::new(format!(
                "the query has more than {MAX_TOKENS} words and signs; make several models of it"
            )));
        }
        let statements = Parser::new(&PostgreSqlDialect {})
            .with_tokens_with_locations(tokens)
            .parse_statements()
            .map_err(|error| QueryError::of(&error))?;
        let query = walk::only_select(&statements, "a model")?;
        let Reads { relations, .. } = walk::reads(query, Some(own))?;
        let reads = relations.into_iter().map(|((pipeline, table), line)| Read {
            pipeline,
            table,
            line,
        });
        Ok(Self {
            reads: reads.collect(),
        })
    }

    /// The tables that it reads, each once, in the order of their names.
    pub fn reads(&self) -> &[Read] {
        &self.reads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> Vec<String> {
        let query = ModelQuery::parse(text, "shop").expect(text);
        let reads = query.reads().iter();
        reads
            .map(|read| format!("{}.{}:{}", read.pipeline, read.table, read.line))
            .collect()
    }

    fn refused(text: &str) -> QueryError {
        ModelQuery::parse(text, "shop").expect_err(text)
    }

    #[test]
    fn a_name_alone_means_a_table_of_the_same_pipeline() {
        let text = "WITH paid AS (SELECT * FROM orders WHERE paid)\nSELECT p.id, c.name\nFROM paid p\nJOIN \"crm-eu\".customers c \
                    ON c.id = p.customer_id";
        assert_eq!(reads(text), ["crm-eu.customers:4", "shop.orders:1"]);
    }

    #[test]
    fn only_a_select_is_a_model() {
        for text in [
            "DELETE FROM orders",
            "CREATE TABLE x AS SELECT 1",
            "SELECT 1; SELECT 2",
            "COPY orders TO 'file'",
            "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
            "SELECT * INTO x FROM orders",
            "SELECT * FROM a.b.c",
            "SELECT * FROM read_csv('/etc/passwd')",
            "",
        ] {
            refused(text);
        }
    }

    #[test]
    fn what_is_no_sql_is_told_with_its_line() {
        let error = refused("SELECT id\nFROM orders\nWHERE AND paid");
        assert_eq!(error.line(), Some(3), "{error}");
    }
}
