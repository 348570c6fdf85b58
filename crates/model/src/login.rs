//! Secrets that say how to log in to a store: JSON objects, as RDS writes them, and as people do.

use crate::{Failure, FailureName};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

/// Reads the value of the secret of that name; `form` says what it is to be. No message quotes any of it.
pub fn read<T: DeserializeOwned>(secret: &str, value: &str, form: &str) -> Result<T, Failure> {
    serde_json::from_str(value).map_err(|error| {
        // serde_json's text may quote a value, which may be the password: only the place is passed on, and the name of a
        // missing field, which is ours.
        let text = error.to_string();
        let missing = text.strip_prefix("missing field ");
        let missing = missing.and_then(|rest| rest.split_once(" at line"));
        let what = missing.map_or_else(
            || "is not of that form".to_owned(),
            |(field, _)| format!("lacks {field}"),
        );
        let (line, column) = (error.line(), error.column());
        Failure::new(
            FailureName::Unauthorized,
            format!("the secret `{secret}` {what} (line {line}, column {column}): store {form}"),
        )
    })
}

/// A port: RDS writes a number; many who write the secret by hand, and some tools, a text.
pub fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Port {
        Number(u16),
        Text(String),
    }
    match Port::deserialize(deserializer)? {
        Port::Number(port) => Ok(port),
        Port::Text(text) => text
            .trim()
            .parse()
            .map_err(|_| D::Error::custom("`port` is not a port")),
    }
}
