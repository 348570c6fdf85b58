//! What proves who sends a request: from the connection's `auth` and its secrets to a `Credential` that is put on each
//! request. One file a kind.

mod api_key;
mod basic;
mod bearer;
mod call;
mod client_credentials;
mod credential;
mod headers;
mod hmac;
mod jwt;
mod jwt_bearer;
mod lease;
mod refresh_token;
mod session;
mod sigv4;
mod token_endpoint;
mod values;

pub(crate) use credential::{Credential, SCRUBBED};

use crate::wire::Watch;
use call::Caller;
use millrace_model::definition::connection::Auth;
use millrace_model::definition::{Connection, SecretRef};
use millrace_model::{Failure, FailureName};
use millrace_store::objects::Objects;
use millrace_store::secrets::{Secret, Secrets};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a credential that is made of its secret alone is used before the secret is read anew.
const KEPT: Duration = Duration::from_mins(5);

/// The longest time before its end at which a token is renewed; a short-lived one is when a tenth of its life is left.
const EARLY: Duration = Duration::from_mins(1);

/// The credentials of a connection, used in turn where there are several. Each is obtained when it is first needed and
/// renewed before it runs out; shared by all pulls of a process that use the connection.
#[derive(Debug)]
pub(crate) struct Authenticator {
    connection: Connection,
    slots: Vec<Slot>,
    turn: AtomicUsize,
    ground: Ground,
}

/// One of a connection's credentials.
#[derive(Debug)]
struct Slot {
    auth: Auth,
    kept: Mutex<Option<Kept>>,
}

/// A credential, and until when it is used; none where it is used until it is refused.
#[derive(Clone, Debug)]
struct Kept {
    credential: Credential,
    until: Option<Instant>,
}

/// What credentials are made with.
#[derive(Debug)]
struct Ground {
    secrets: Arc<dyn Secrets>,
    objects: Arc<dyn Objects>,
    caller: Caller,
    base_url: String,
    /// How long a renewal that several wait for may take before another one begins it anew.
    lease: Duration,
}

impl Authenticator {
    pub(crate) fn new(
        connection: &Connection,
        secrets: Arc<dyn Secrets>,
        objects: Arc<dyn Objects>,
        lease: Duration,
    ) -> Result<Self, Failure> {
        let slots = connection.auth.credentials().iter().map(|auth| Slot {
            auth: auth.clone(),
            kept: Mutex::default(),
        });
        Ok(Self {
            slots: slots.collect(),
            turn: AtomicUsize::new(0),
            ground: Ground {
                secrets,
                objects,
                caller: Caller::new(&connection.name)?,
                base_url: connection.base_url.clone(),
                lease,
            },
            connection: connection.clone(),
        })
    }

    /// With somebody who looks on while credentials are obtained.
    pub(crate) fn watched_by(mut self, watch: Option<Arc<dyn Watch>>) -> Self {
        self.ground.caller.watch = watch;
        self
    }

    /// Whether this is still what the connection says.
    pub(crate) fn is_of(&self, connection: &Connection) -> bool {
        self.connection == *connection
    }

    /// Which of the credentials is the next one in turn.
    pub(crate) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) % self.slots.len().max(1)
    }

    /// The credential of that number; nothing where the connection has none.
    pub(crate) async fn credential(&self, number: usize) -> Result<Credential, Failure> {
        let Some(slot) = self.slots.get(number) else {
            return Ok(Credential::none());
        };
        let mut kept = slot.kept.lock().await;
        if let Some(kept) = &*kept
            && kept.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(kept.credential.clone());
        }
        let fresh = self.ground.obtain(&slot.auth, None).await?.in_slot(number);
        Ok(kept.insert(fresh).credential.clone())
    }

    /// Another credential in the place of one that the source refused; none where there is no other.
    pub(crate) async fn renewed(
        &self,
        refused: &Credential,
    ) -> Result<Option<Credential>, Failure> {
        let Some(slot) = self.slots.get(refused.slot()) else {
            return Ok(None);
        };
        let mut kept = slot.kept.lock().await;
        if let Some(kept) = &*kept
            && kept.credential != *refused
        {
            // Another pull of this process has renewed it already.
            return Ok(Some(kept.credential.clone()));
        }
        let fresh = self.ground.obtain(&slot.auth, Some(refused)).await?;
        let fresh = fresh.in_slot(refused.slot());
        let credential = kept.insert(fresh).credential.clone();
        Ok((credential != *refused).then_some(credential))
    }

    /// The failure of a request whose credential was refused, and renewed in vain.
    pub(crate) fn refusal(&self, refused: &Credential, request: &str, status: u16) -> Failure {
        let slot = self.slots.get(refused.slot());
        let advice = match slot.and_then(|slot| slot.auth.secret()) {
            Some(secret) => format!(
                "the source refuses what the secret `{}` holds; put a valid credential into it",
                named(secret)
            ),
            None => format!(
                "the connection `{}` has no `auth`, and the source asks for a credential",
                self.connection.name
            ),
        };
        let message = format!("{request} answered {status}: {advice}");
        Failure::new(FailureName::Unauthorized, message)
    }
}

impl Ground {
    /// Makes a credential; another one than `refused`, where it can.
    async fn obtain(&self, auth: &Auth, refused: Option<&Credential>) -> Result<Kept, Failure> {
        if let Auth::RefreshToken(request) = auth {
            return refresh_token::obtain(self, request, refused).await;
        }
        let Some(reference) = auth.secret() else {
            return Ok(Kept::until_refused(Credential::none()));
        };
        let secret = if refused.is_some() {
            self.secrets.refresh(&reference.name).await?
        } else {
            self.secrets.get(&reference.name).await?
        };
        match auth {
            Auth::ClientCredentials(request) => {
                client_credentials::obtain(&self.caller, request, &secret).await
            }
            Auth::JwtBearer(grant) => jwt_bearer::obtain(&self.caller, grant, &secret).await,
            Auth::Session(session) => {
                session::obtain(&self.caller, &self.base_url, session, &secret).await
            }
            _ => Ok(Kept {
                credential: fixed(auth, reference, &secret)?,
                until: Some(Instant::now() + KEPT),
            }),
        }
    }
}

/// A credential that is made of its secret alone.
fn fixed(auth: &Auth, reference: &SecretRef, secret: &Secret) -> Result<Credential, Failure> {
    match auth {
        Auth::Bearer { .. } => bearer::credential(reference, secret),
        Auth::Basic { .. } => basic::credential(reference, secret),
        Auth::ApiKey { place, .. } => api_key::credential(reference, place, secret),
        Auth::Headers { set, .. } => headers::credential(reference, set, secret),
        Auth::AwsSigv4 {
            region, service, ..
        } => sigv4::credential(region, service, secret),
        Auth::Hmac(definition) => hmac::credential(definition, secret),
        Auth::None
        | Auth::InTurn { .. }
        | Auth::ClientCredentials(_)
        | Auth::RefreshToken(_)
        | Auth::JwtBearer(_)
        | Auth::Session(_) => Ok(Credential::none()),
    }
}

impl Kept {
    fn until_refused(credential: Credential) -> Self {
        Self {
            credential,
            until: None,
        }
    }

    /// A credential that ends so long from now, where its end is known.
    fn ending(credential: Credential, lifetime: Option<Duration>) -> Self {
        Self {
            credential,
            until: lifetime
                .map(|lifetime| Instant::now() + lifetime.saturating_sub(early(lifetime))),
        }
    }

    fn in_slot(self, slot: usize) -> Self {
        Self {
            credential: self.credential.in_slot(slot),
            ..self
        }
    }
}

/// How long before the end of its life a token is renewed: the way to the source takes time, and clocks differ.
fn early(lifetime: Duration) -> Duration {
    (lifetime / 10).min(EARLY)
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
