//! One connection.

use crate::credentials::Credentials;
use crate::errors::failure;
use millrace_model::Failure;
use tokio_postgres::Client;

/// Logs in. The connection lives as long as the client, in a task of its own.
pub async fn connect(credentials: &Credentials, application: &str) -> Result<Client, Failure> {
    let (client, connection) = credentials
        .config(application)
        .connect(credentials.tls()?)
        .await
        .map_err(|error| failure(&error, credentials, "connect"))?;
    let place = credentials.place();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // Whoever uses the client gets an error of its own; this one only says why.
            tracing::debug!(%place, %error, "the connection ended");
        }
    });
    Ok(client)
}
