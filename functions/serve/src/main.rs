//! The Lambda `serve`: route → bound SQL → bytes.

use millrace_runtime::{Aws, Environment, lambda, logging};
use millrace_serve::Serve;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let aws = Aws::load(&environment).await;
    let objects = aws.objects(&environment.lake()?);
    let serve = Serve::new(
        objects,
        aws.secrets(),
        environment.store_secret()?.to_owned(),
    );
    lambda::run_http(async |request| serve.handle(request).await).await
}
