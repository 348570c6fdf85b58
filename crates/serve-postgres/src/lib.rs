//! PostgreSQL as a source of `serve`: route → bound SQL → bytes, while PostgreSQL sends the rows.

mod cell;
mod check;
mod dataset;
mod half;
mod json;
mod numeric;
mod page;
mod plan;
mod reads;
mod source;
mod store;
mod value;

pub use source::Postgres;
