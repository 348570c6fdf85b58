//! Route → bound SQL over the lake → bytes: as a Lambda, or as an HTTP server where `MILLRACE_LISTEN` names an address.

use millrace_lake::Lake;
use millrace_model::definition::Datasource;
use millrace_runtime::{Aws, Environment, lambda, logging, signals};
use millrace_serve::source::Sources;
use millrace_serve::{Serve, server};
use millrace_serve_lake::{LakeSource, Room};
use std::sync::Arc;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let aws = Aws::load(&environment).await;
    let place = environment.lake()?;
    let objects = aws.objects(&place);
    let local = environment.local_secrets();
    let secrets = local.map_or_else(|| aws.secrets(), |local| Arc::new(local) as _);
    let room = Room::halves(environment.query_room()?.memory);
    let seal = environment.seal_secret()?.to_owned();
    let lake = Lake::at(&place.to_string())?;
    let lake = LakeSource::new(lake, objects.clone(), secrets.clone(), seal, &room)?;
    let serve = Serve::new(objects, secrets, Sources::of(Datasource::Lake, lake));
    let Some(address) = environment.listen()? else {
        let serve = serve.notified_of_exports();
        serve.warm_up().await;
        let answer = async |request| serve.handle(request).await;
        return lambda::run_http_and_objects(answer, async |key| serve.make_notified(key).await)
            .await;
    };
    let listener = TcpListener::bind(address).await?;
    tracing::info!(%address, "listening");
    server::run(listener, serve, signals::told_to_stop()).await?;
    Ok(())
}
