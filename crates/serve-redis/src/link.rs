//! The connection: one for all requests of a thread, made anew when it was lost.

use millrace_model::{Failure, FailureName};
use millrace_redis::{Connection, login};
use millrace_serve::source::seal_key;
use millrace_store::secrets::Secrets;
use ring::hmac;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The longest that an answer is waited for; routes wait for less.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nobody tries to connect behind somebody who could not.
const PAUSE: Duration = Duration::from_secs(1);

/// The way to a Redis.
#[derive(Debug)]
pub struct Link {
    secrets: Arc<dyn Secrets>,
    secret: String,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Nobody tried yet, or the connection was lost.
    Apart,
    /// Connected.
    Connected(Arc<Login>),
    /// Nobody could, at that time.
    Refused(Instant, Failure),
}

/// A connection, and what goes with its login.
#[derive(Debug)]
pub struct Login {
    /// The connection.
    pub connection: Connection,
    /// What cursors are sealed with by all who serve from this Redis.
    pub seal: hmac::Key,
}

impl Link {
    /// To the Redis whose reader that secret names. It is read when somebody asks.
    pub fn new(secrets: Arc<dyn Secrets>, secret: String) -> Self {
        Self {
            secrets,
            secret,
            state: Mutex::new(State::Apart),
        }
    }

    /// The same, by a connection of its own.
    pub fn another(&self) -> Self {
        Self::new(self.secrets.clone(), self.secret.clone())
    }

    /// The connection. Of several requests that find none, one makes it.
    pub async fn login(&self) -> Result<Arc<Login>, Failure> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Connected(login) => return Ok(login.clone()),
            State::Refused(at, failure) if at.elapsed() < PAUSE => return Err(failure.clone()),
            State::Refused(..) | State::Apart => {}
        }
        match login(&*self.secrets, &self.secret, PATIENCE).await {
            Ok(connection) => {
                let login = Arc::new(Login::of(connection));
                *state = State::Connected(login.clone());
                Ok(login)
            }
            Err(failure) => {
                tracing::error!(%failure, "Redis cannot be reached");
                // Where that is not about Redis, it may be mended at any moment.
                if failure.name == FailureName::Transient {
                    *state = State::Refused(Instant::now(), failure.clone());
                }
                Err(failure)
            }
        }
    }

    /// The connection, if there is one.
    pub async fn connected(&self) -> Option<Arc<Login>> {
        match &*self.state.lock().await {
            State::Connected(login) => Some(login.clone()),
            State::Refused(..) | State::Apart => None,
        }
    }

    /// Forgets a connection that no longer answers, unless somebody has done so already.
    pub async fn lost(&self, lost: &Arc<Login>) {
        let mut state = self.state.lock().await;
        if matches!(&*state, State::Connected(login) if Arc::ptr_eq(login, lost)) {
            *state = State::Apart;
        }
    }
}

impl Login {
    fn of(connection: Connection) -> Self {
        Self {
            seal: seal_key(connection.credentials().password.as_bytes()),
            connection,
        }
    }
}
