//! Secrets of a laptop: a file of name → value, and variables of the environment, which go first.

use super::{Secret, SecretError, SecretErrorKind, SecretVersion, Secrets};
use crate::objects::{ErrorKind, Folder, Objects};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What the name of a variable that holds a secret begins with.
const PREFIX: &str = "MILLRACE_SECRET_";

/// Secrets from a file and from variables. The file is read whenever a secret is asked for, so that a correction counts
/// at once. What is written back to a secret lies in a folder of its own: the file is the author's.
#[derive(Clone)]
pub struct LocalSecrets {
    file: Option<PathBuf>,
    variables: BTreeMap<String, String>,
    written: Option<PathBuf>,
}

/// What was written back to a secret. It counts until the author changes the secret.
#[derive(Serialize, Deserialize)]
struct Written {
    /// The digest of what the author had given.
    instead_of: String,
    text: String,
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
            written: None,
        }
    }

    /// The same, with a folder for what is written back. Several processes may share it.
    #[must_use]
    pub fn written_to(self, folder: PathBuf) -> Self {
        Self {
            written: Some(folder),
            ..self
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

impl LocalSecrets {
    /// The secret as its author gave it.
    async fn given(&self, name: &str) -> Result<Secret, SecretError> {
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
        let detail = format!("is not set: set the variable {variable}{file}");
        Err(SecretError::new(SecretErrorKind::Missing, name, detail))
    }

    /// The folder of what was written back, for this user alone.
    async fn folder(&self, name: &str) -> Result<Option<Folder>, SecretError> {
        let Some(path) = &self.written else {
            return Ok(None);
        };
        let denied = |cause: std::io::Error| {
            let detail = format!("cannot be kept in {}: {cause}", path.display());
            SecretError::new(SecretErrorKind::Denied, name, detail)
        };
        tokio::fs::create_dir_all(path).await.map_err(denied)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let for_this_user = std::fs::Permissions::from_mode(0o700);
            tokio::fs::set_permissions(path, for_this_user)
                .await
                .map_err(denied)?;
        }
        Ok(Some(Folder::new(path)))
    }
}

/// The object in which what was written back to a secret is kept.
fn object(name: &str) -> String {
    // A tilde is in no secret's name.
    format!("{}.json", name.replace('/', "~"))
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[async_trait]
impl Secrets for LocalSecrets {
    async fn get(&self, name: &str) -> Result<Secret, SecretError> {
        self.read(name).await.map(|(secret, _)| secret)
    }

    async fn refresh(&self, name: &str) -> Result<Secret, SecretError> {
        self.get(name).await
    }

    async fn read(&self, name: &str) -> Result<(Secret, SecretVersion), SecretError> {
        let given = self.given(name).await?;
        let digest = digest(given.text());
        let is_there = self
            .written
            .as_ref()
            .is_some_and(|path| path.join(object(name)).exists());
        if !is_there {
            return Ok((given, SecretVersion(format!("{digest}:"))));
        }
        let object = match self.folder(name).await? {
            Some(folder) => folder
                .get(&object(name))
                .await
                .map_err(|error| kept(name, &error))?,
            None => None,
        };
        let Some(object) = object else {
            return Ok((given, SecretVersion(format!("{digest}:"))));
        };
        let version = SecretVersion(format!("{digest}:{}", object.version.0));
        let written: Option<Written> = serde_json::from_slice(&object.bytes).ok();
        match written.filter(|written| written.instead_of == digest) {
            Some(written) => Ok((Secret::new(name, &written.text), version)),
            // The author has given another one since.
            None => Ok((given, version)),
        }
    }

    async fn replace(
        &self,
        name: &str,
        text: &str,
        version: &SecretVersion,
    ) -> Result<SecretVersion, SecretError> {
        let changed = || {
            let detail = "was changed by somebody else in between";
            SecretError::new(SecretErrorKind::Changed, name, detail)
        };
        let Some(folder) = self.folder(name).await? else {
            let detail = "cannot be written back: there is no folder for that here";
            return Err(SecretError::new(SecretErrorKind::Denied, name, detail));
        };
        let digest = digest(self.given(name).await?.text());
        let (given, object_version) = version.0.split_once(':').unwrap_or_default();
        if given != digest {
            return Err(changed());
        }
        let written = Written {
            instead_of: digest.clone(),
            text: text.to_owned(),
        };
        let bytes = serde_json::to_vec(&written).unwrap_or_default().into();
        let key = object(name);
        let put = if object_version.is_empty() {
            folder.create(&key, bytes).await
        } else {
            let version = crate::objects::Version(object_version.to_owned());
            folder.replace(&key, bytes, &version).await
        };
        match put {
            Ok(version) => Ok(SecretVersion(format!("{digest}:{}", version.0))),
            Err(error) if matches!(error.kind, ErrorKind::Exists | ErrorKind::Changed) => {
                Err(changed())
            }
            Err(error) => Err(kept(name, &error)),
        }
    }
}

fn kept(name: &str, error: &crate::objects::Error) -> SecretError {
    let kind = match error.kind {
        ErrorKind::Denied => SecretErrorKind::Denied,
        _ => SecretErrorKind::Transient,
    };
    SecretError::new(kind, name, format!("could not be read or kept: {error}"))
}

impl fmt::Debug for LocalSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("LocalSecrets");
        let variables: Vec<_> = self.variables.keys().collect();
        shown
            .field("file", &self.file)
            .field("variables", &variables)
            .field("written", &self.written)
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
                "LocalSecrets {{ file: Some({file:?}), variables: [\"MILLRACE_SECRET_MILLRACE_CRM\"], written: None }}"
            )
        );
    }

    #[tokio::test]
    async fn of_several_who_write_back_one_succeeds_until_the_author_gives_another() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("secrets.yaml");
        std::fs::write(&file, "millrace/erp: first\n").unwrap();
        let secrets =
            LocalSecrets::new(Some(file.clone()), []).written_to(place.path().join("written"));
        let (first, version) = secrets.read("millrace/erp").await.unwrap();
        assert_eq!(first.text(), "first");

        let writes = (0..8).map(|number| {
            let (secrets, version) = (secrets.clone(), version.clone());
            async move {
                secrets
                    .replace("millrace/erp", &format!("by {number}"), &version)
                    .await
            }
        });
        let outcomes = futures::future::join_all(writes).await;
        let winners: Vec<_> = outcomes
            .iter()
            .filter_map(|outcome| outcome.as_ref().ok())
            .collect();
        assert_eq!(winners.len(), 1);
        for outcome in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert_eq!(outcome.kind, SecretErrorKind::Changed);
        }
        let (second, version) = secrets.read("millrace/erp").await.unwrap();
        assert_eq!(&version, winners[0]);
        assert!(second.text().starts_with("by "));
        secrets
            .replace("millrace/erp", "third", &version)
            .await
            .unwrap();
        assert_eq!(secrets.get("millrace/erp").await.unwrap().text(), "third");

        std::fs::write(&file, "millrace/erp: given anew\n").unwrap();
        let (anew, version) = secrets.read("millrace/erp").await.unwrap();
        assert_eq!(anew.text(), "given anew");
        secrets
            .replace("millrace/erp", "fourth", &version)
            .await
            .unwrap();
        assert_eq!(secrets.get("millrace/erp").await.unwrap().text(), "fourth");
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
