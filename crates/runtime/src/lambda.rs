//! Lambdas: a step, and what answers HTTP requests.

use crate::gateway;
use crate::step::recorded;
use bytes::Bytes;
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use millrace_model::step::{Deadline, Observer, StepInput, StepKind, StepOutput, Unobserved};
use millrace_model::{Failure, FailureName};
use millrace_store::ledger::Ledger;
use serde_json::Value;
use std::fmt::{self, Display};
use std::time::{Duration, SystemTime};

pub use lambda_runtime::Error;

/// What is kept between a step's deadline and the Lambda's, at least: time for the checkpoint and for the ledger.
const LEAST_MARGIN: Duration = Duration::from_secs(2);

/// Answers invocations with a step, until Lambda ends this process.
pub async fn run_step(
    kind: StepKind,
    ledger: &Ledger,
    step: impl AsyncFn(&StepInput, Deadline, &dyn Observer) -> Result<StepOutput, Failure>,
) -> Result<(), Error> {
    run(async |event, deadline| {
        let input: StepInput = parse(event)?;
        let work = Box::pin(step(&input, deadline, &Unobserved));
        render(&recorded(ledger, kind, &input, "lambda", work).await?)
    })
    .await
}

/// Answers API Gateway's requests, until Lambda ends this process.
pub async fn run_http(
    answer: impl AsyncFn(http::Request<Bytes>) -> http::Response<Bytes>,
) -> Result<(), Error> {
    run_events(answer, async |_| {
        let message =
            "the event is not a request of API Gateway's; invoke the function through the API";
        Err(Failure::new(FailureName::Internal, message))
    })
    .await
}

/// Answers API Gateway's requests, and S3's notifications of objects, each by its key, until Lambda ends this process.
pub async fn run_http_and_objects(
    answer: impl AsyncFn(http::Request<Bytes>) -> http::Response<Bytes>,
    created: impl AsyncFn(&str) -> Result<(), Failure>,
) -> Result<(), Error> {
    run_events(answer, async |event| {
        let message = "the event is neither a request of API Gateway's nor a notification of S3's";
        let unknown = || Failure::new(FailureName::Internal, message);
        for key in notified(&event).ok_or_else(unknown)? {
            created(key).await?;
        }
        Ok(Value::Null)
    })
    .await
}

/// The keys of the objects of which an event of S3's notifies; none where it is another event. S3 encodes them as URLs;
/// those that anybody is notified of have no letter that would be.
fn notified(event: &Value) -> Option<Vec<&str>> {
    let records = event.get("Records")?.as_array()?.iter();
    records
        .map(|record| record.pointer("/s3/object/key")?.as_str())
        .collect()
}

/// Answers API Gateway's requests, and events of other kinds, until Lambda ends this process.
pub async fn run_events(
    answer: impl AsyncFn(http::Request<Bytes>) -> http::Response<Bytes>,
    handle: impl AsyncFn(Value) -> Result<Value, Failure>,
) -> Result<(), Error> {
    run(async |event, _| {
        if gateway::is_request(&event) {
            let request = gateway::request(event)?;
            render(&gateway::response(answer(request).await))
        } else {
            handle(event).await
        }
    })
    .await
}

async fn run(handle: impl AsyncFn(Value, Deadline) -> Result<Value, Failure>) -> Result<(), Error> {
    let handle = &handle;
    lambda_runtime::run(service_fn(async move |event: LambdaEvent<Value>| {
        let deadline = Deadline::after(patience(left(&event.context)));
        handle(event.payload, deadline).await.map_err(Named)
    }))
    .await
}

/// A failure as Lambda reports it: by its name, which the state machine retries by.
struct Named(Failure);

// The Lambda runtime logs it so.
impl fmt::Debug for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, formatter)
    }
}

impl From<Named> for Diagnostic {
    fn from(Named(failure): Named) -> Self {
        Self {
            error_type: failure.name.as_str().to_owned(),
            error_message: failure.message,
        }
    }
}

fn left(context: &Context) -> Duration {
    let left = context.deadline().duration_since(SystemTime::now());
    left.unwrap_or_default()
}

/// How much of the time that is left a step may use: nine tenths, and never the last two seconds.
fn patience(left: Duration) -> Duration {
    left.saturating_sub(LEAST_MARGIN.max(left / 10))
}

fn parse(event: Value) -> Result<StepInput, Failure> {
    serde_json::from_value(event).map_err(|error| {
        let message = format!("the event is not a step's input: {error}; the state machine sends the items that `plan` gave");
        Failure::new(FailureName::Internal, message)
    })
}

fn render(answer: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(|error| {
        Failure::new(
            FailureName::Internal,
            format!("the answer is no JSON: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_comes_back_before_its_lambda_ends() {
        for (left, expected) in [(900, 810_000), (15, 13_000), (2, 0), (1, 0)] {
            let left = Duration::from_secs(left);
            assert_eq!(patience(left), Duration::from_millis(expected), "{left:?}");
        }
    }

    #[test]
    fn a_failure_is_reported_by_its_name() {
        let failure = Failure::new(
            FailureName::RateLimited,
            "the source asks for an hour's patience",
        );
        let diagnostic = Diagnostic::from(Named(failure));
        assert_eq!(diagnostic.error_type, "RateLimited");
        assert_eq!(
            diagnostic.error_message,
            "the source asks for an hour's patience"
        );
    }

    #[test]
    fn notified_objects_are_found_by_their_keys() {
        let event = serde_json::json!({"Records": [
            {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": "exports/a/lake.todo", "size": 0}}}
        ]});
        assert_eq!(notified(&event), Some(vec!["exports/a/lake.todo"]));
        for other in [
            serde_json::json!({"Records": [{}]}),
            serde_json::json!({"run": "x"}),
        ] {
            assert_eq!(notified(&other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_input_says_so() {
        let failure = parse(serde_json::json!({"run": "x"})).unwrap_err();
        assert!(
            failure.message.contains("`x` is not the name of a run"),
            "{failure}"
        );
    }
}
