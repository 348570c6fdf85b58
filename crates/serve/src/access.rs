//! Who may ask: holders of a key, by the secret that lists them, or of a token that somebody else signed.

mod quota;
mod rate;
mod token;

pub use quota::Quotas;
pub use rate::{Count, Limits};

use crate::problem::Problem;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use millrace_model::definition::SecretRef;
use millrace_model::definition::endpoint::Auth;
use millrace_store::secrets::{Caller, Keyring, SecretError, Secrets};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use token::Tokens;

/// How old what is known of a secret may be: as long as a key that was taken away still opens.
const FRESH: Duration = Duration::from_mins(1);
/// How many bytes a key or a token may have.
const LONGEST: usize = 8 * 1024;

/// Whether a caller may ask what wants these scopes.
pub fn allow(caller: &Caller, scopes: &[String]) -> Result<(), Problem> {
    match scopes.iter().find(|scope| !caller.scopes.contains(scope)) {
        Some(scope) => Err(Problem::scope(scope)),
        None => Ok(()),
    }
}

/// Who may ask.
#[derive(Debug)]
pub struct Access {
    secrets: Arc<dyn Secrets>,
    known: Mutex<HashMap<SecretRef, (Instant, Arc<Keyring>)>>,
    tokens: Tokens,
}

impl Access {
    /// By the keys in these secrets, and by tokens. Nothing is read yet.
    pub fn new(secrets: Arc<dyn Secrets>) -> Self {
        Self {
            secrets,
            known: Mutex::default(),
            tokens: Tokens::default(),
        }
    }

    /// Who sent a request.
    pub async fn identify(&self, auth: &Auth, headers: &HeaderMap) -> Result<Caller, Problem> {
        let presented = presented(headers)?.ok_or_else(Problem::unauthorized)?;
        match auth {
            Auth::Keys(secret) => self.holder(secret, presented).await,
            Auth::Jwt(jwt) => self.tokens.bearer(jwt, presented).await,
        }
    }

    async fn holder(&self, secret: &SecretRef, presented: &str) -> Result<Caller, Problem> {
        let keyring = self.keyring(secret).await.map_err(|error| {
            tracing::error!(%error, "the consumers' keys cannot be read");
            Problem::unavailable()
        })?;
        keyring
            .holder(presented, jiff::Timestamp::now())
            .cloned()
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

/// The key or token that came with a request. A header that is there twice says two things, and is refused: what stands
/// between the caller and this process may have looked at the other one.
fn presented(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let text = |name: &str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Problem::header_twice(name)),
            (value, None) => Ok(value.and_then(|value| value.to_str().ok())),
        }
    };
    let (authorization, x_api_key) = (text(AUTHORIZATION.as_str())?, text("x-api-key")?);
    Ok(Keyring::presented(authorization, x_api_key).filter(|key| key.len() <= LONGEST))
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
        for (name, value) in [
            ("x-api-key", "k"),
            ("authorization", "Bearer k"),
            ("authorization", "bearer  k"),
        ] {
            assert_eq!(presented(&headers(name, value)).unwrap(), Some("k"));
        }
        for (name, value) in [
            ("authorization", "Basic k"),
            ("authorization", "Bearer "),
            ("x-api-key", ""),
            ("k", "k"),
        ] {
            assert_eq!(presented(&headers(name, value)).unwrap(), None);
        }
    }

    #[test]
    fn two_keys_are_none() {
        let mut headers = HeaderMap::new();
        headers.append("x-api-key", "a".parse().unwrap());
        headers.append("x-api-key", "b".parse().unwrap());
        assert_eq!(presented(&headers).unwrap_err().status, 400);
        headers.remove("x-api-key");
        headers.insert("x-api-key", "a".repeat(LONGEST + 1).parse().unwrap());
        assert_eq!(presented(&headers).unwrap(), None);
    }
}
