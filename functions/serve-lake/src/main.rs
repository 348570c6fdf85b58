//! Route → bound SQL over the lake → bytes: as a Lambda, or as an HTTP server where `MILLRACE_LISTEN` names an address.
//! Recent rows come from the store whose reader `MILLRACE_STORE_SECRET` names.

mod sources;

use millrace_runtime::{Aws, Environment, lambda, logging, signals};
use millrace_serve::{Serve, server};
use std::sync::Arc;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let aws = Aws::load(&environment).await;
    let objects = aws.objects(&environment.lake()?);
    let local = environment.local_secrets();
    let secrets = local.map_or_else(|| aws.secrets(), |local| Arc::new(local) as _);
    let sources = sources::named_by(&environment, objects.clone(), secrets.clone())?;
    let serve = Serve::new(objects, secrets, sources);
    let Some(address) = environment.listen()? else {
        let serve = serve.by_notice();
        serve.warm_up().await;
        let answer = async |request| serve.handle(request).await;
        return lambda::run_http_and_objects(answer, async |key| serve.do_noticed(key).await).await;
    };
    let listener = TcpListener::bind(address).await?;
    tracing::info!(%address, "listening");
    server::run(listener, serve, signals::told_to_stop()).await?;
    Ok(())
}
