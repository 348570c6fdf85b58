//! The Lambda `publish`: Delta → PostgreSQL, and Redis where the deployment has one.

use millrace_lake::Lake;
use millrace_model::step::StepKind;
use millrace_publish::Publish;
use millrace_runtime::{Aws, Environment, lambda, logging};
use millrace_store::ledger::Ledger;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let aws = Aws::load(&environment).await;
    let place = environment.lake()?;
    let objects = aws.objects(&place);
    let tables = Lake::at(&place.to_string())?;
    let step = Publish::new(
        objects.clone(),
        tables,
        aws.secrets(),
        environment.store_secret()?.to_owned(),
    )
    .with_redis(environment.redis_secret().ok());
    lambda::run_step(
        StepKind::Publish,
        &Ledger::new(objects),
        async |input, deadline, observer| step.run(input, deadline, observer).await,
    )
    .await
}
