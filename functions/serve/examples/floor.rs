//! A Lambda that does nothing but ask the store, by the shortest way: it is told the login, connects, and asks its
//! argument once, of the key 1. What `make bench-serve` explains serve's cold start by: nobody has a row sooner.

use bytes::Bytes;
use http::{Response, StatusCode};
use millrace_postgres::{Credentials, connect};
use millrace_runtime::{Aws, Environment, lambda, logging};
use millrace_store::secrets::Secrets as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let aws = Aws::load(&environment).await;
    let clients = (aws.objects(&environment.lake()?), aws.secrets());
    let name = environment.store_secret()?;
    let secrets = environment.local_secrets().ok_or("no local secrets")?;
    let credentials = Credentials::parse(name, secrets.get(name).await?.text())?;
    let query = std::env::args().nth(1).ok_or("no query")?;
    let client = connect(&credentials, "floor").await?;
    let ended = lambda::run_http(async |_| {
        let asked = async {
            client
                .query_one(&client.prepare(&query).await?, &[&1i64])
                .await
        };
        let mut response = Response::new(Bytes::new());
        if asked.await.is_err() {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        response
    })
    .await;
    drop(clients);
    ended
}
