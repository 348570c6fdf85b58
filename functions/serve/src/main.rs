//! Route → bound SQL → bytes: as a Lambda, or as an HTTP server where `MILLRACE_LISTEN` names an address.

use millrace_model::definition::Datasource;
use millrace_runtime::{Aws, Environment, lambda, logging, signals};
use millrace_serve::source::Sources;
use millrace_serve::{Serve, server};
use millrace_serve_postgres::Postgres;
use millrace_store::secrets::Secrets;
use std::sync::Arc;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let aws = Aws::load(&environment).await;
    let objects = aws.objects(&environment.lake()?);
    let secrets: Arc<dyn Secrets> = match environment.local_secrets() {
        Some(secrets) => Arc::new(secrets),
        None => aws.secrets(),
    };
    let mut store = Postgres::new(secrets.clone(), environment.store_secret()?.to_owned());
    if let Some(most) = environment.store_connections()? {
        store = store.connections(most);
    }
    let sources = Sources::of(Datasource::OperationalStore, store);
    let serve = Serve::new(objects, secrets, sources);
    let Some(address) = environment.listen()? else {
        let serve = serve.by_notice();
        serve.warm_up().await;
        let answer = async |request| serve.handle(request).await;
        return lambda::run_http_and_objects(answer, async |key| serve.make_noticed(key).await)
            .await;
    };
    let listener = TcpListener::bind(address).await?;
    tracing::info!(%address, "listening");
    server::run(listener, serve, signals::told_to_stop()).await?;
    Ok(())
}
