//! Who may ask: consumers' keys, by the secret that holds them.

use crate::problem::Problem;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use millrace_model::definition::SecretRef;
use millrace_store::secrets::{Keyring, SecretError, Secrets};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old what is known of a secret may be: as long as a key that was taken away still opens.
const FRESH: Duration = Duration::from_mins(1);

/// The consumers' keys.
#[derive(Debug)]
pub struct Consumers {
    secrets: Arc<dyn Secrets>,
    known: Mutex<HashMap<SecretRef, (Instant, Arc<Keyring>)>>,
}

impl Consumers {
    /// The keys in these secrets. Nothing is read yet.
    pub fn new(secrets: Arc<dyn Secrets>) -> Self {
        Self {
            secrets,
            known: Mutex::default(),
        }
    }

    /// The consumer whose key came with a request.
    pub async fn identify(
        &self,
        secret: &SecretRef,
        headers: &HeaderMap,
    ) -> Result<String, Problem> {
        let key = presented(headers).ok_or_else(Problem::unauthorized)?;
        let keyring = self.keyring(secret).await.map_err(|error| {
            tracing::error!(%error, "the consumers' keys cannot be read");
            Problem::unavailable()
        })?;
        keyring
            .identify(key)
            .map(str::to_owned)
            .ok_or_else(Problem::forbidden)
    }

    async fn keyring(&self, secret: &SecretRef) -> Result<Arc<Keyring>, SecretError> {
        let known = self.known().get(secret).cloned();
        if let Some((read, keyring)) = &known
            && read.elapsed() < FRESH
        {
            return Ok(keyring.clone());
        }
        let keyring = match (self.read(secret).await, known) {
            (Ok(keyring), _) => Arc::new(keyring),
            // Who could ask a minute ago may ask now, although the secret cannot be read at the moment.
            (Err(error), Some((_, keyring))) => {
                tracing::error!(%error, "the consumers' keys were not read again");
                keyring
            }
            (Err(error), None) => return Err(error),
        };
        self.known()
            .insert(secret.clone(), (Instant::now(), keyring.clone()));
        Ok(keyring)
    }

    async fn read(&self, secret: &SecretRef) -> Result<Keyring, SecretError> {
        Keyring::from_secret(
            &self
                .secrets
                .refresh(&secret.name)
                .await?
                .field(secret.field.as_deref())?,
        )
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<SecretRef, (Instant, Arc<Keyring>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key that came with a request.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Keyring::presented(text(AUTHORIZATION.as_str()), text("x-api-key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_either_place() {
        let headers = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            headers
        };
        assert_eq!(presented(&headers("x-api-key", "k")), Some("k"));
        assert_eq!(presented(&headers("authorization", "Bearer k")), Some("k"));
        assert_eq!(presented(&headers("authorization", "bearer  k")), Some("k"));
        for (name, value) in [
            ("authorization", "Basic k"),
            ("authorization", "Bearer "),
            ("x-api-key", ""),
            ("k", "k"),
        ] {
            assert_eq!(presented(&headers(name, value)), None);
        }
    }
}
