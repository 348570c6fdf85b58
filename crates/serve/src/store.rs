//! Connections to the operational store: a bounded pool, whose login is read again when it is refused.

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use millrace_model::Failure;
use millrace_postgres::{Credentials, failure, is_rejected_login};
use millrace_store::secrets::Secrets;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;

/// How many connections there may be unless said otherwise. A Lambda answers one request at a time and makes one.
const CONNECTIONS: usize = 16;
/// How long a request waits for one that is in use.
const WAIT: Duration = Duration::from_secs(3);
/// How long a query may take unless its route says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What each connection is told at its beginning. As statements, not as start-up options: poolers refuse those.
const SETTINGS: &str = "
    SET default_transaction_read_only = on;
    SET statement_timeout = 10000;
    SET idle_in_transaction_session_timeout = 30000;
    SET TimeZone = 'UTC';";

/// The operational store, as its reader sees it.
#[derive(Debug)]
pub struct Store {
    secrets: Arc<dyn Secrets>,
    secret: String,
    most: usize,
    current: RwLock<Option<Arc<Login>>>,
    renewal: Mutex<()>,
}

#[derive(Debug)]
struct Login {
    credentials: Credentials,
    pool: Pool,
}

impl Store {
    /// The store whose login that secret holds. It is read when the first connection is needed.
    pub fn new(secrets: Arc<dyn Secrets>, secret: String) -> Self {
        Self {
            secrets,
            secret,
            most: CONNECTIONS,
            current: RwLock::default(),
            renewal: Mutex::default(),
        }
    }

    /// With at most so many connections.
    pub fn connections(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// The same store for several holders, each with its share of the connections, which is one at least.
    pub fn share(&self, holders: usize) -> Vec<Self> {
        let holders = holders.clamp(1, self.most.max(1));
        let share = |holder: usize| {
            let more = usize::from(holder < self.most % holders);
            Self::new(self.secrets.clone(), self.secret.clone())
                .connections(self.most / holders + more)
        };
        (0..holders).map(share).collect()
    }

    /// A connection. A login that is refused is read again, once: the password may have been rotated.
    pub async fn connection(&self) -> Result<Object, Failure> {
        let login = match self.current() {
            Some(login) => login,
            None => self.renew(None).await?,
        };
        match login.pool.get().await {
            Ok(connection) => Ok(connection),
            Err(PoolError::Backend(error)) if is_rejected_login(&error) => {
                tracing::warn!(
                    secret = self.secret,
                    "the operational store refused the login; the secret is read again"
                );
                let renewed = self.renew(Some(&login)).await?;
                renewed
                    .pool
                    .get()
                    .await
                    .map_err(|error| renewed.failure(&error))
            }
            Err(error) => Err(login.failure(&error)),
        }
    }

    fn current(&self) -> Option<Arc<Login>> {
        self.current
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// A login in place of the one that was refused. Of several requests that find it refused, one reads the secret.
    async fn renew(&self, refused: Option<&Arc<Login>>) -> Result<Arc<Login>, Failure> {
        let _one_at_a_time = self.renewal.lock().await;
        if let Some(current) = self.current()
            && refused.is_none_or(|refused| !Arc::ptr_eq(refused, &current))
        {
            return Ok(current);
        }
        let secret = match refused {
            None => self.secrets.get(&self.secret).await?,
            Some(_) => self.secrets.refresh(&self.secret).await?,
        };
        let credentials = Credentials::parse(&self.secret, secret.text())?;
        let login = Arc::new(Login::new(credentials, self.most)?);
        *self
            .current
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(login.clone());
        Ok(login)
    }
}

impl Login {
    fn new(credentials: Credentials, connections: usize) -> Result<Self, Failure> {
        let config = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(
            credentials.config("millrace serve"),
            credentials.tls()?,
            config,
        );
        let settings = Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, _| {
            Box::pin(async move {
                client
                    .batch_execute(SETTINGS)
                    .await
                    .map_err(HookError::Backend)
            })
        });
        let pool = Pool::builder(manager)
            .max_size(connections)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(Duration::from_secs(6)))
            .runtime(Runtime::Tokio1)
            .post_create(settings)
            .build()
            .map_err(|error| {
                Failure::new(
                    millrace_model::FailureName::Internal,
                    format!("the connection pool was not made: {error}"),
                )
            })?;
        Ok(Self { credentials, pool })
    }

    fn failure(&self, error: &PoolError) -> Failure {
        if let PoolError::Backend(error) = error {
            return failure(error, &self.credentials, "connect");
        }
        let text = format!(
            "the operational store {}: no connection: {error}",
            self.credentials.place()
        );
        Failure::new(millrace_model::FailureName::Transient, text)
    }
}
