//! Route → keys in Redis → bytes: as a Lambda, or as an HTTP server where `MILLRACE_LISTEN` names an address.

use millrace_model::definition::Datasource;
use millrace_runtime::{Aws, Environment, lambda, logging, signals};
use millrace_serve::source::Sources;
use millrace_serve::{Serve, server};
use millrace_serve_redis::Redis;
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
    let redis = Redis::new(secrets.clone(), environment.redis_secret()?.to_owned());
    let serve = Serve::new(objects, secrets, Sources::of(Datasource::Redis, redis));
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
