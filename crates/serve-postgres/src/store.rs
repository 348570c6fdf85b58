//! Connections to the operational store: a bounded pool, whose login is read again when it is refused.

use crate::dataset;
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
    TimeoutType,
};
use millrace_model::Failure;
use millrace_postgres::{Credentials, failure, is_rejected_login};
use millrace_serve::source::seal_key;
use millrace_store::secrets::Secrets;
use ring::hmac;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// How many connections there may be unless said otherwise. A Lambda answers one request at a time and makes one.
const CONNECTIONS: usize = 16;
/// How long a request waits for one that is in use.
const WAIT: Duration = Duration::from_secs(3);
/// How many requests wait for each connection, at most; with those behind them it would take too long.
const WAITING: usize = 16;
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
    /// The connections that lookups have.
    lookups: StdMutex<Vec<Weak<Lease>>>,
    /// Told when they have one more.
    has_shared: Notify,
    /// How many queries that are no lookups wait for a connection.
    waiting: AtomicUsize,
    renewal: Mutex<()>,
}

#[derive(Debug)]
struct Login {
    credentials: Credentials,
    pool: Pool,
    seal: hmac::Key,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Refusal {
    /// All are in use, and enough requests wait for one already.
    Busy,
    /// The store cannot be reached.
    Failed(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A connection for one request. One that is let go while a query runs on it, because the caller has left or the query
/// took too long, ends the query, and does not go back to the others.
pub struct Lease {
    connection: Option<Object>,
    login: Arc<Login>,
    busy: AtomicBool,
    /// Whether several lookups have it. Whoever leaves does not end then what others wait for; what it asked itself is over
    /// at once anyway.
    is_shared: bool,
}

impl Lease {
    /// What cursors are sealed with by all who serve from this store.
    pub fn seal(&self) -> &hmac::Key {
        &self.login.seal
    }

    /// For lookups.
    fn shared(mut self) -> Self {
        self.is_shared = true;
        self
    }

    /// Says whether something may be on its way on the connection that is to be ended when it is let go.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy && !self.is_shared, Relaxed);
    }
}

impl Deref for Lease {
    type Target = Object;

    #[expect(
        clippy::expect_used,
        reason = "only dropping it takes the connection away"
    )]
    fn deref(&self) -> &Object {
        self.connection.as_ref().expect("a lease has a connection")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let busy = *self.busy.get_mut();
        let Some(connection) = self.connection.take().filter(|_| busy) else {
            return;
        };
        let connection = Object::take(connection);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (cancel, login) = (connection.cancel_token(), self.login.clone());
        runtime.spawn(async move {
            if let Ok(tls) = login.credentials.tls()
                && let Err(error) = cancel.cancel_query(tls).await
            {
                tracing::debug!(%error, "a query that nobody waits for was not ended");
            }
            drop(connection);
        });
    }
}

/// One who waits, for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Store {
    /// The store whose login that secret holds. It is read when the first connection is needed.
    pub fn new(secrets: Arc<dyn Secrets>, secret: String) -> Self {
        Self {
            secrets,
            secret,
            most: CONNECTIONS,
            current: RwLock::default(),
            lookups: StdMutex::default(),
            has_shared: Notify::new(),
            waiting: AtomicUsize::new(0),
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

    /// A connection.
    pub async fn connection(&self) -> Result<Lease, Refusal> {
        let _waiting = Waiting::new(&self.waiting);
        self.lease().await
    }

    /// A login that is refused is read again, once: the password may have been rotated.
    async fn lease(&self) -> Result<Lease, Refusal> {
        let login = match self.current() {
            Some(login) => login,
            None => self.renew(None).await?,
        };
        if login.pool.status().waiting >= self.most * WAITING {
            return Err(Refusal::Busy);
        }
        match login.pool.get().await {
            Err(PoolError::Backend(error)) if is_rejected_login(&error) => {
                tracing::warn!(
                    secret = self.secret,
                    "the operational store refused the login; the secret is read again"
                );
                let renewed = self.renew(Some(&login)).await?;
                let got = renewed.pool.get().await;
                Login::lease(&renewed, got)
            }
            got => Login::lease(&login, got),
        }
    }

    /// A connection for a query that is over when it has hardly begun. Where none is free, one that only such queries have:
    /// what is asked goes behind what is on its way, and PostgreSQL answers several without being woken for each. While
    /// another query waits for a connection nobody joins, so that one becomes free.
    pub async fn connection_for_lookup(&self) -> Result<Arc<Lease>, Refusal> {
        loop {
            let shared = self.has_shared.notified();
            if let Some(lease) = self.shared() {
                return Ok(lease);
            }
            let lease = tokio::select! {
                lease = self.lease() => lease?,
                () = shared => continue,
            };
            let lease = Arc::new(lease.shared());
            self.lookups().push(Arc::downgrade(&lease));
            self.has_shared.notify_waiters();
            return Ok(lease);
        }
    }

    /// The connection that the fewest lookups have, where they may have more.
    fn shared(&self) -> Option<Arc<Lease>> {
        let status = self.current()?.pool.status();
        // One that is being made is waited for by one.
        let is_made = status.size < status.max_size && status.waiting == 0;
        let is_free = status.available > 0 || is_made;
        if is_free || self.waiting.load(Relaxed) > 0 {
            return None;
        }
        let mut lookups = self.lookups();
        lookups.retain(|lease| lease.strong_count() > 0);
        let open = lookups.iter().filter_map(Weak::upgrade);
        open.filter(|lease| !lease.is_closed())
            .min_by_key(Arc::strong_count)
    }

    fn lookups(&self) -> MutexGuard<'_, Vec<Weak<Lease>>> {
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Arc<Login>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
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
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(login.clone());
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
                // Both in one round trip. Without the table that it asks, what is prepared is missing when it is asked.
                let (set, _) =
                    tokio::join!(client.batch_execute(SETTINGS), dataset::prepare(client));
                set.map_err(HookError::Backend)
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
        Ok(Self {
            seal: seal_key(credentials.password.as_bytes()),
            credentials,
            pool,
        })
    }

    fn lease(login: &Arc<Self>, got: Result<Object, PoolError>) -> Result<Lease, Refusal> {
        match got {
            Ok(connection) => Ok(Lease {
                connection: Some(connection),
                login: login.clone(),
                busy: AtomicBool::new(false),
                is_shared: false,
            }),
            Err(PoolError::Timeout(TimeoutType::Wait)) => Err(Refusal::Busy),
            Err(error) => Err(login.failure(&error).into()),
        }
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
