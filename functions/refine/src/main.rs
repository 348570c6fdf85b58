//! The Lambda `refine`: Delta → Delta, by SQL.

use millrace_lake::Lake;
use millrace_model::step::StepKind;
use millrace_refine::{Limits, Refine};
use millrace_runtime::{Aws, Environment, lambda, logging};
use millrace_store::ledger::Ledger;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let aws = Aws::load(&environment).await;
    let place = environment.lake()?;
    let objects = aws.objects(&place);
    let room = environment.query_room()?;
    let limits = Limits::new(room.memory, room.spill, room.spill_bytes, room.threads);
    let step = Refine::new(objects.clone(), Lake::at(&place.to_string())?, limits);
    lambda::run_step(
        StepKind::Refine,
        &Ledger::new(objects),
        async |input, deadline, observer| step.run(input, deadline, observer).await,
    )
    .await
}
