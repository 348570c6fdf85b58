//! The Lambda `transform`: raw → Delta.

use millrace_model::step::StepKind;
use millrace_runtime::{Aws, Environment, lambda, logging};
use millrace_store::ledger::Ledger;
use millrace_transform::Transform;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let aws = Aws::load(&environment).await;
    let lake = environment.lake()?;
    let objects = aws.objects(&lake);
    let step = Transform::new(objects.clone(), lake);
    lambda::run_step(
        StepKind::Transform,
        &Ledger::new(objects),
        async |input, deadline, observer| step.run(input, deadline, observer).await,
    )
    .await
}
