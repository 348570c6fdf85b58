//! Secrets by name: from Secrets Manager, or from a file and variables of the environment on a laptop.
//!
//! A secret's value leaves this module through `Secret::text` alone. It is in no error, and no `Debug` shows it.

mod keyring;
mod local;
#[cfg(feature = "aws")]
mod secrets_manager;

use async_trait::async_trait;
use millrace_model::definition::SecretRef;
use millrace_model::{Failure, FailureName};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

pub use keyring::{Caller, Keyring};
pub use local::LocalSecrets;
#[cfg(feature = "aws")]
pub use secrets_manager::SecretsManager;

/// Where secrets are kept.
#[async_trait]
pub trait Secrets: fmt::Debug + Send + Sync {
    /// The secret of that name. It may be a copy, at most five minutes old.
    async fn get(&self, name: &str) -> Result<Secret, SecretError>;
    /// The secret of that name as it is now: for when the copy was refused.
    async fn refresh(&self, name: &str) -> Result<Secret, SecretError>;
    /// The secret of that name as it is now, and which version of it that is, for `replace`.
    async fn read(&self, name: &str) -> Result<(Secret, SecretVersion), SecretError>;
    /// Puts a text in the place of that version; `Changed` where the secret is not that version any more. Of several at
    /// once exactly one succeeds.
    async fn replace(
        &self,
        name: &str,
        text: &str,
        version: &SecretVersion,
    ) -> Result<SecretVersion, SecretError>;
}

/// A secret's version: an id of Secrets Manager, or a digest. Opaque, and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretVersion(pub String);

/// A secret, or a part of one, under the name by which messages call it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    name: Arc<str>,
    text: Arc<str>,
}

impl Secret {
    /// A secret of that name and text. A line break at the end, which editors and `echo` leave, is no part of it.
    pub fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.into(),
            text: text.trim_end_matches(['\r', '\n']).into(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One field of the JSON object that it holds; all of it where no field is named.
    pub fn field(&self, field: Option<&str>) -> Result<Self, SecretError> {
        let Some(field) = field else {
            return Ok(self.clone());
        };
        let Ok(Value::Object(fields)) = serde_json::from_str(&self.text) else {
            let problem = format!("is not a JSON object, and its field `{field}` is needed");
            return Err(self.malformed(problem));
        };
        let name = format!("{}#{field}", self.name);
        match fields.get(field) {
            Some(Value::String(text)) if text.is_empty() => {
                Err(self.malformed(format!("has nothing in its field `{field}`")))
            }
            Some(Value::String(text)) => Ok(Self::new(&name, text)),
            Some(Value::Number(number)) => Ok(Self::new(&name, &number.to_string())),
            Some(_) => Err(self.malformed(format!("has no text in its field `{field}`"))),
            None => Err(self.malformed(format!("has no field `{field}`"))),
        }
    }

    /// What a definition means by `reference`: the field that it names, else the secret's `default_field` where the
    /// secret is a JSON object, else the secret as it is.
    pub fn resolve(&self, reference: &SecretRef, default_field: &str) -> Result<Self, SecretError> {
        match &reference.field {
            Some(field) => self.field(Some(field)),
            None if self.text.trim_start().starts_with('{') => self.field(Some(default_field)),
            None if self.text.is_empty() => Err(self.malformed("is empty")),
            None => Ok(self.clone()),
        }
    }

    /// An error that says what the secret should look like and does not.
    pub fn malformed(&self, problem: impl Into<String>) -> SecretError {
        SecretError {
            kind: SecretErrorKind::Malformed,
            name: self.name.to_string(),
            detail: problem.into(),
        }
    }
}

impl SecretError {
    /// An error with that secret; `detail` goes on behind its name, and holds no value.
    pub fn new(kind: SecretErrorKind, name: &str, detail: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            detail: detail.into(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({}, redacted)", self.name)
    }
}

/// What went wrong with which secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret `{name}` {detail}")]
pub struct SecretError {
    /// What went wrong.
    pub kind: SecretErrorKind,
    /// The secret's name.
    pub name: String,
    /// What happened to it, and what to do; never a value.
    detail: String,
}

/// What can go wrong with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretErrorKind {
    /// There is none of that name.
    Missing,
    /// It may not be read.
    Denied,
    /// It does not hold what is needed.
    Malformed,
    /// Somebody else wrote it in between.
    Changed,
    /// It may go better the next time.
    Transient,
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        let name = match error.kind {
            SecretErrorKind::Transient => FailureName::Transient,
            SecretErrorKind::Changed => FailureName::Conflict,
            SecretErrorKind::Missing | SecretErrorKind::Denied | SecretErrorKind::Malformed => {
                FailureName::Unauthorized
            }
        };
        Self::new(name, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(field: Option<&str>) -> SecretRef {
        SecretRef {
            name: "millrace/crm".to_owned(),
            field: field.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn resolves_text_and_fields() {
        let plain = Secret::new("millrace/crm", "hunter2\n");
        let json = Secret::new(
            "millrace/crm",
            r#"{"token": "hunter3", "pin": 42, "other": "x"}"#,
        );
        let text = |secret: &Secret, field| {
            let resolved = secret.resolve(&reference(field), "token").unwrap();
            resolved.text().to_owned()
        };
        assert_eq!(text(&plain, None), "hunter2");
        assert_eq!(text(&json, None), "hunter3");
        assert_eq!(text(&json, Some("other")), "x");
        assert_eq!(text(&json, Some("pin")), "42");
        assert_eq!(json.field(None).unwrap(), json);
    }

    #[test]
    fn says_what_is_missing_and_never_a_value() {
        let plain = Secret::new("millrace/crm", "hunter2");
        let json = Secret::new(
            "millrace/crm",
            r#"{"tokn": "hunter2", "empty": "", "list": ["hunter2"]}"#,
        );
        for (secret, field, expected) in [
            (
                &plain,
                Some("token"),
                "the secret `millrace/crm` is not a JSON object, and its field `token` is needed",
            ),
            (
                &json,
                None,
                "the secret `millrace/crm` has no field `token`",
            ),
            (
                &json,
                Some("empty"),
                "the secret `millrace/crm` has nothing in its field `empty`",
            ),
            (
                &json,
                Some("list"),
                "the secret `millrace/crm` has no text in its field `list`",
            ),
            (
                &Secret::new("millrace/crm", "\n"),
                None,
                "the secret `millrace/crm` is empty",
            ),
        ] {
            let error = secret.resolve(&reference(field), "token").unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert_eq!(Failure::from(error).name, FailureName::Unauthorized);
        }
        assert_eq!(format!("{plain:?}"), "Secret(millrace/crm, redacted)");
    }
}
