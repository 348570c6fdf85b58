//! Secrets from AWS Secrets Manager.

use super::{Secret, SecretError, SecretErrorKind, SecretVersion, Secrets};
use crate::aws::explain;
use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a copy is used.
const KEPT: Duration = Duration::from_mins(5);

/// What Secrets Manager answers where the role, or the key, says no.
const DENIALS: [&str; 5] = [
    "AccessDeniedException",
    "DecryptionFailure",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "ExpiredTokenException",
];

/// Secrets from AWS Secrets Manager, kept for five minutes.
pub struct SecretsManager {
    client: Client,
    copies: Mutex<HashMap<String, (Instant, Secret)>>,
}

impl SecretsManager {
    /// The secrets that this client may read.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            copies: Mutex::default(),
        }
    }

    fn keep(&self, secret: &Secret) {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.insert(secret.name().to_owned(), (Instant::now(), secret.clone()));
    }

    fn copy(&self, name: &str) -> Option<Secret> {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, secret) = copies.get(name)?;
        (read_at.elapsed() < KEPT).then(|| secret.clone())
    }
}

#[async_trait]
impl Secrets for SecretsManager {
    async fn get(&self, name: &str) -> Result<Secret, SecretError> {
        match self.copy(name) {
            Some(secret) => Ok(secret),
            None => self.refresh(name).await,
        }
    }

    async fn refresh(&self, name: &str) -> Result<Secret, SecretError> {
        self.read(name).await.map(|(secret, _)| secret)
    }

    async fn read(&self, name: &str) -> Result<(Secret, SecretVersion), SecretError> {
        let refuse = |kind, detail: String| SecretError::new(kind, name, detail);
        let answer = self.client.get_secret_value().secret_id(name).send().await;
        let output = answer.map_err(|error| match error.code() {
            Some("ResourceNotFoundException" | "InvalidRequestException") => refuse(
                SecretErrorKind::Missing,
                "has no value in Secrets Manager: create it, or give it one".to_owned(),
            ),
            Some(code) if DENIALS.contains(&code) => refuse(
                SecretErrorKind::Denied,
                format!(
                    "may not be read ({code}): the role needs secretsmanager:GetSecretValue on it, and kms:Decrypt on \
                     its key"
                ),
            ),
            _ => refuse(
                SecretErrorKind::Transient,
                format!("could not be read: {}", explain(&error)),
            ),
        })?;
        let Some(text) = output.secret_string() else {
            let detail = "holds bytes: write it as text, or as a JSON object".to_owned();
            return Err(refuse(SecretErrorKind::Malformed, detail));
        };
        let secret = Secret::new(name, text);
        self.keep(&secret);
        let version = output.version_id().unwrap_or_default().to_owned();
        Ok((secret, SecretVersion(version)))
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
        let (_, current) = self.read(name).await?;
        let successor = successor(version);
        if current != *version && current != successor {
            return Err(changed());
        }
        let answer = self
            .client
            .put_secret_value()
            .secret_id(name)
            .client_request_token(&successor.0)
            .secret_string(text)
            .send()
            .await;
        match answer {
            Ok(_) => {
                self.keep(&Secret::new(name, text));
                Ok(successor)
            }
            Err(error) => Err(match error.code() {
                Some("ResourceExistsException") => changed(),
                Some(code) if DENIALS.contains(&code) => SecretError::new(
                    SecretErrorKind::Denied,
                    name,
                    format!(
                        "may not be written ({code}): the role needs secretsmanager:PutSecretValue on it, and \
                         kms:GenerateDataKey on its key"
                    ),
                ),
                _ => SecretError::new(
                    SecretErrorKind::Transient,
                    name,
                    format!("could not be written: {}", explain(&error)),
                ),
            }),
        }
    }
}

/// The id of the version that comes behind another one. Secrets Manager takes a version's id from its writer, and refuses
/// a second, different value under the same id: so of two writers that replace the same version, one fails.
fn successor(version: &SecretVersion) -> SecretVersion {
    SecretVersion(hex::encode(Sha256::digest(&version.0)))
}

impl fmt::Debug for SecretsManager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SecretsManager")
            .finish_non_exhaustive()
    }
}
