//! What an author writes: the YAML's fields as they stand there, before anything is checked but their form. The JSON
//! Schemas are made of these types, so that an editor and the parser know the same fields.

pub(crate) mod answer;
pub(crate) mod auth;
pub(crate) mod connection;
pub(crate) mod endpoint;
pub(crate) mod endpoint_tests;
pub(crate) mod expectation;
pub(crate) mod form;
pub(crate) mod format;
pub(crate) mod model;
pub(crate) mod paginate;
pub(crate) mod personal_data;
pub(crate) mod pipeline;
pub(crate) mod request;
