//! Secrets of a laptop: a file of name → value, and variables of the environment, which go first.

use super::{Secret, SecretError, SecretErrorKind, Secrets};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What the name of a variable that holds a secret begins with.
const PREFIX: &str = "MILLRACE_SECRET_";

/// Secrets from a file and from variables. The file is read whenever a secret is asked for, so that a correction counts
/// at once.
#[derive(Clone)]
pub struct LocalSecrets {
    file: Option<PathBuf>,
    variables: BTreeMap<String, String>,
}

impl LocalSecrets {
    /// The secrets in a YAML (or JSON) file of name → text, or name → fields, and those in variables of the environment:
    /// `MILLRACE_SECRET_MILLRACE_CRM` is the secret `millrace/crm`. Other variables are passed over; the file need not
    /// exist.
    pub fn new(
        file: Option<PathBuf>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let secret = |(name, _): &(String, String)| name.starts_with(PREFIX);
        Self {
            file,
            variables: variables.into_iter().filter(secret).collect(),
        }
    }

    /// The variable that holds a secret.
    pub fn variable(name: &str) -> String {
        let letter = |byte: char| {
            if byte.is_ascii_alphanumeric() {
                byte.to_ascii_uppercase()
            } else {
                '_'
            }
        };
        format!("{PREFIX}{}", name.chars().map(letter).collect::<String>())
    }

    async fn in_file(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        let Some(path) = &self.file else {
            return Ok(None);
        };
        let refuse = |kind, problem: &str| SecretError {
            kind,
            name: name.to_owned(),
            detail: format!("was looked for in {}, {problem}", path.display()),
        };
        let text = match tokio::fs::read_to_string(path).await {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|cause| {
                refuse(
                    SecretErrorKind::Denied,
                    &format!("which cannot be read: {cause}"),
                )
            })?,
        };
        // The parser's own message may quote the file.
        let mut secrets: BTreeMap<String, Value> = serde_saphyr::from_str(&text).map_err(|_| {
            let problem =
                "which is not YAML of the form `name: value`; names and values may need quotes";
            refuse(SecretErrorKind::Malformed, problem)
        })?;
        match secrets.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(Secret::new(name, &text))),
            Some(fields) => Ok(Some(Secret::new(name, &fields.to_string()))),
        }
    }
}

#[async_trait]
impl Secrets for LocalSecrets {
    async fn get(&self, name: &str) -> Result<Secret, SecretError> {
        let variable = Self::variable(name);
        if let Some(text) = self.variables.get(&variable) {
            return Ok(Secret::new(name, text));
        }
        if let Some(secret) = self.in_file(name).await? {
            return Ok(secret);
        }
        let file = self.file.as_ref().map_or_else(String::new, |path| {
            format!(", or write `{name}: …` into {}", path.display())
        });
        Err(SecretError {
            kind: SecretErrorKind::Missing,
            name: name.to_owned(),
            detail: format!("is not set: set the variable {variable}{file}"),
        })
    }

    async fn refresh(&self, name: &str) -> Result<Secret, SecretError> {
        self.get(name).await
    }
}

impl fmt::Debug for LocalSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("LocalSecrets");
        let variables: Vec<_> = self.variables.keys().collect();
        shown
            .field("file", &self.file)
            .field("variables", &variables)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Vec<(String, String)> {
        vec![
            (
                "MILLRACE_SECRET_MILLRACE_CRM".to_owned(),
                "from the variable".to_owned(),
            ),
            ("HOME".to_owned(), "/root".to_owned()),
        ]
    }

    #[tokio::test]
    async fn variables_go_before_the_file() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("secrets.yaml");
        std::fs::write(
            &file,
            "millrace/crm: from the file\nmillrace/erp:\n  username: anna\n  password: p4ss: w\n"
                .replace("p4ss: w", "'p4ss: w'"),
        )
        .unwrap();
        let secrets = LocalSecrets::new(Some(file.clone()), variables());

        let crm = secrets.get("millrace/crm").await.unwrap();
        assert_eq!(crm.text(), "from the variable");
        let erp = secrets.get("millrace/erp").await.unwrap();
        assert_eq!(erp.field(Some("password")).unwrap().text(), "p4ss: w");

        std::fs::write(&file, r#"{"millrace/erp": "rotated"}"#).unwrap();
        assert_eq!(
            secrets.refresh("millrace/erp").await.unwrap().text(),
            "rotated"
        );
        assert_eq!(
            format!("{secrets:?}"),
            format!(
                "LocalSecrets {{ file: Some({file:?}), variables: [\"MILLRACE_SECRET_MILLRACE_CRM\"] }}"
            )
        );
    }

    #[tokio::test]
    async fn says_where_a_secret_belongs() {
        let secrets = LocalSecrets::new(Some("no/such.yaml".into()), variables());
        let error = secrets.get("millrace/e-r.p").await.unwrap_err();
        assert_eq!(error.kind, SecretErrorKind::Missing);
        assert_eq!(
            error.to_string(),
            "the secret `millrace/e-r.p` is not set: set the variable MILLRACE_SECRET_MILLRACE_E_R_P, or write \
             `millrace/e-r.p: …` into no/such.yaml"
        );
    }

    #[tokio::test]
    async fn does_not_quote_a_broken_file() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("secrets.yaml");
        std::fs::write(&file, "a: 'hunter2\nb: {").unwrap();
        let error = LocalSecrets::new(Some(file), [])
            .get("a")
            .await
            .unwrap_err();
        assert_eq!(error.kind, SecretErrorKind::Malformed);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
