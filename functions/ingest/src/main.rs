//! The Lambda `ingest`: REST → raw.

use millrace_ingest::Ingest;
use millrace_model::step::StepKind;
use millrace_runtime::{Aws, Environment, lambda, logging};
use millrace_store::ledger::Ledger;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let aws = Aws::load(&environment).await;
    let lake = environment.lake()?;
    let objects = aws.objects(&lake);
    let step = Ingest::new(objects.clone(), aws.secrets());
    lambda::run_step(
        StepKind::Ingest,
        &Ledger::new(objects),
        async |input, deadline, observer| step.run(input, deadline, observer).await,
    )
    .await
}
