//! One connection.

use crate::credentials::Credentials;
use crate::errors::failure;
use crate::tls;
use millrace_model::{Failure, FailureName};
use millrace_store::secrets::Secrets;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisError};
use rustls::pki_types::ServerName;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long it may take to connect and log in.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection that is logged in. Its clones share it: what several ask at once goes over it one behind the other, and
/// nobody waits for another one's answer.
#[derive(Clone)]
pub struct Connection {
    inner: MultiplexedConnection,
    credentials: Credentials,
}

impl Connection {
    /// Who it belongs to.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The answer to a command.
    pub async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        command.query_async(&mut self.inner).await
    }

    /// The answers to several, sent at once.
    pub async fn ask_all<T: FromRedisValue>(&mut self, all: &Pipeline) -> Result<T, RedisError> {
        all.query_async(&mut self.inner).await
    }

    /// The failure of a step that was doing `what` when the error came.
    pub fn failure(&self, error: &RedisError, what: &str) -> Failure {
        failure(error, &self.credentials, what)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Connection")
            .field(&self.credentials.place())
            .finish()
    }
}

/// Logs in with what the secret holds. A login that is refused is tried once more with the secret as it is now: it may
/// have been rotated. No answer is waited for longer than `patience`.
pub async fn login(
    secrets: &dyn Secrets,
    secret: &str,
    patience: Duration,
) -> Result<Connection, Failure> {
    let credentials = Credentials::parse(secret, secrets.get(secret).await?.text())?;
    match connect(credentials, patience).await {
        Err(failure) if failure.name == FailureName::Unauthorized => {}
        connected => return connected,
    }
    let credentials = Credentials::parse(secret, secrets.refresh(secret).await?.text())?;
    connect(credentials, patience).await
}

pub(crate) async fn connect(
    credentials: Credentials,
    patience: Duration,
) -> Result<Connection, Failure> {
    let tls = credentials
        .tls
        .then(|| tls::connector(credentials.tls_ca.as_deref()));
    let tls = tls.transpose().map_err(|error| {
        let secret = &credentials.secret;
        let message = format!("`tls_ca` of the secret `{secret}` cannot be used: {error}");
        Failure::new(FailureName::BadDefinition, message)
    })?;
    let work = async {
        let stream = TcpStream::connect((credentials.host.as_str(), credentials.port));
        let stream = stream.await.map_err(RedisError::from)?;
        stream.set_nodelay(true).map_err(RedisError::from)?;
        let Some(tls) = tls else {
            return Ok(log_in(&credentials, stream, patience).await?);
        };
        let name = ServerName::try_from(credentials.host.clone());
        let name = name.map_err(|error| Refusal::Tls(error.to_string()))?;
        let stream = tls.connect(name, stream).await.map_err(Refusal::of_tls)?;
        Ok(log_in(&credentials, stream, patience).await?)
    };
    let connected = tokio::time::timeout(CONNECT, work).await;
    let timed_out = |_| Err(RedisError::from(io::Error::from(io::ErrorKind::TimedOut)).into());
    match connected.unwrap_or_else(timed_out) {
        Ok(inner) => Ok(Connection { inner, credentials }),
        Err(Refusal::Redis(error)) => Err(failure(&error, &credentials, "connect")),
        Err(Refusal::Tls(problem)) => {
            let message = format!(
                "Redis {}: {problem}; check tls, tls_ca and host in the secret `{}`",
                credentials.place(),
                credentials.secret
            );
            Err(Failure::new(FailureName::BadDefinition, message))
        }
    }
}

/// Why there is no connection.
enum Refusal {
    Redis(RedisError),
    /// The two did not come to terms on TLS.
    Tls(String),
}

impl From<RedisError> for Refusal {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl Refusal {
    fn of_tls(error: io::Error) -> Self {
        match error.get_ref() {
            Some(inner) if inner.is::<rustls::Error>() => Self::Tls(inner.to_string()),
            _ => Self::Redis(error.into()),
        }
    }
}

async fn log_in(
    credentials: &Credentials,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    patience: Duration,
) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(patience));
    let (inner, driver) =
        MultiplexedConnection::new_with_config(&credentials.info(), stream, config).await?;
    // It ends when the last clone of the connection goes.
    tokio::spawn(driver);
    Ok(inner)
}
