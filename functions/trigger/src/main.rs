//! The Lambda `trigger`: which run may start, and when; and the control API.

use millrace_control::Control;
use millrace_runtime::state_machine::StateMachine;
use millrace_runtime::{Aws, Environment, lambda, logging};
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::from_env();
    logging::init(&environment);
    let aws = Aws::load(&environment).await;
    let conductor = StateMachine::new(aws.step_functions(), environment.state_machine_arn()?);
    let control = Control::new(
        aws.objects(&environment.lake()?),
        aws.secrets(),
        Arc::new(conductor),
        environment.operators_secret()?,
    );
    lambda::run_events(
        async |request| control.http(request).await,
        async |event| control.handle(event).await,
    )
    .await
}
