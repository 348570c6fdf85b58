//! What proves who sends a request: from the connection's `auth` and its secrets to a `Credential` that is put on each
//! request. One file a kind.

mod api_key;
mod basic;
mod bearer;
mod credential;

pub(crate) use credential::{Credential, SCRUBBED};

use millrace_model::definition::Connection;
use millrace_model::definition::SecretRef;
use millrace_model::definition::connection::Auth;
use millrace_model::{Failure, FailureName};
use millrace_store::secrets::{Secret, Secrets};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a credential that says nothing of its end is used before its secret is read anew.
const KEPT: Duration = Duration::from_mins(5);

/// The credential of a connection, obtained when it is first needed and renewed when it has run out; shared by all pulls
/// of a process that use the connection.
#[derive(Debug)]
pub(crate) struct Authenticator {
    connection: Connection,
    secrets: Arc<dyn Secrets>,
    kept: Mutex<Option<Kept>>,
}

/// A credential, and until when it is used.
#[derive(Clone, Debug)]
struct Kept {
    credential: Credential,
    until: Instant,
}

impl Authenticator {
    pub(crate) fn new(connection: &Connection, secrets: Arc<dyn Secrets>) -> Self {
        Self {
            connection: connection.clone(),
            secrets,
            kept: Mutex::default(),
        }
    }

    /// Whether this is still what the connection says.
    pub(crate) fn is_of(&self, connection: &Connection) -> bool {
        self.connection == *connection
    }

    /// The credential of the next request.
    pub(crate) async fn credential(&self) -> Result<Credential, Failure> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = &*kept
            && Instant::now() < kept.until
        {
            return Ok(kept.credential.clone());
        }
        let fresh = self.obtain(None).await?;
        Ok(kept.insert(fresh).credential.clone())
    }

    /// Another credential in the place of one that the source refused; none where there is no other.
    pub(crate) async fn renewed(
        &self,
        refused: &Credential,
    ) -> Result<Option<Credential>, Failure> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = &*kept
            && kept.credential != *refused
        {
            // Another pull of this process has renewed it already.
            return Ok(Some(kept.credential.clone()));
        }
        let fresh = self.obtain(Some(refused)).await?;
        let credential = kept.insert(fresh).credential.clone();
        Ok((credential != *refused).then_some(credential))
    }

    /// The failure of a request whose credential is refused, renewed or not.
    pub(crate) fn refusal(&self, request: &str, status: u16) -> Failure {
        let advice = match self.connection.auth.secret() {
            Some(secret) => format!(
                "the source refuses what the secret `{}` holds; put a valid credential into it",
                named(secret)
            ),
            None => format!(
                "the connection `{}` has no `auth`, and the source asks for a credential",
                self.connection.name
            ),
        };
        Failure::new(
            FailureName::Unauthorized,
            format!("{request} answered {status}: {advice}"),
        )
    }

    async fn obtain(&self, refused: Option<&Credential>) -> Result<Kept, Failure> {
        let auth = &self.connection.auth;
        let secret = match auth.secret() {
            Some(reference) => Some(self.secret(reference, refused.is_some()).await?),
            None => None,
        };
        let credential = match (auth, &secret) {
            (Auth::Bearer { secret: reference }, Some(secret)) => {
                bearer::credential(reference, secret)?
            }
            (Auth::Basic { secret: reference }, Some(secret)) => {
                basic::credential(reference, secret)?
            }
            (
                Auth::ApiKey {
                    secret: reference,
                    place,
                },
                Some(secret),
            ) => api_key::credential(reference, place, secret)?,
            _ => Credential::none(),
        };
        Ok(Kept {
            credential,
            until: Instant::now() + KEPT,
        })
    }

    /// The secret; `fresh` as it is now, past any copy of it.
    async fn secret(&self, reference: &SecretRef, fresh: bool) -> Result<Secret, Failure> {
        Ok(if fresh {
            self.secrets.refresh(&reference.name).await?
        } else {
            self.secrets.get(&reference.name).await?
        })
    }
}

/// How messages call a secret.
fn named(secret: &SecretRef) -> String {
    match &secret.field {
        Some(field) => format!("{}#{field}", secret.name),
        None => secret.name.clone(),
    }
}

#[cfg(test)]
#[path = "auth/tests.rs"]
mod tests;
