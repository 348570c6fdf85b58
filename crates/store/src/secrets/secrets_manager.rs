//! Secrets from AWS Secrets Manager.

use super::{Secret, SecretError, SecretErrorKind, Secrets};
use crate::aws::explain;
use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a copy is used.
const KEPT: Duration = Duration::from_mins(5);

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
        let refuse = |kind, detail: String| SecretError {
            kind,
            name: name.to_owned(),
            detail,
        };
        let answer = self.client.get_secret_value().secret_id(name).send().await;
        let output = answer.map_err(|error| match error.code() {
            Some("ResourceNotFoundException" | "InvalidRequestException") => refuse(
                SecretErrorKind::Missing,
                "has no value in Secrets Manager: create it, or give it one".to_owned(),
            ),
            Some(code @ ("AccessDeniedException" | "DecryptionFailure" | "UnrecognizedClientException"
            | "InvalidSignatureException" | "ExpiredTokenException")) => refuse(
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
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.insert(name.to_owned(), (Instant::now(), secret.clone()));
        Ok(secret)
    }
}

impl fmt::Debug for SecretsManager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SecretsManager")
            .finish_non_exhaustive()
    }
}
