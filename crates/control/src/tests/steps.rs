//! What the state machine and EventBridge ask.

use super::ground::{Ground, PIPELINE, scheduled};
use millrace_model::FailureName;
use millrace_model::ledger::RunStatus;
use serde_json::{Value, json};

fn step(name: &str, run: &millrace_model::ledger::Run, error: Option<Value>) -> Value {
    let mut event = json!({"step": name, "run": run.run, "pipeline": run.pipeline, "definition": run.definition});
    if let Some(error) = error {
        event["error"] = error;
    }
    event
}

#[tokio::test]
async fn a_plan_has_an_item_for_each_part_of_the_pipeline() {
    let ground = Ground::new(PIPELINE).await;
    let run = ground.control().scheduled(&scheduled(0)).await.unwrap();
    let item = |name: &str| json!([{"run": run.run, "pipeline": "earthquakes", "definition": run.definition, "name": name, "invocation": 0}]);
    // The definition of the moment does not matter.
    let key = millrace_model::keys::definition("pipeline", "earthquakes");
    ground.objects.delete(&key).await.unwrap();
    let plan = ground
        .control()
        .handle(step("plan", &run, None))
        .await
        .unwrap();
    let expected = json!({
        "ingest": item("quakes"),
        "transform": item("quakes"),
        "refine": [item("daily")],
        "publish": item("seismology.quakes"),
    });
    assert_eq!(plan, expected);
    assert!(ground.runs().await[0].started_at.is_some());
}

#[tokio::test]
async fn a_run_that_has_ended_is_not_planned() {
    let ground = Ground::new(PIPELINE).await;
    let run = ground.control().scheduled(&scheduled(0)).await.unwrap();
    ground
        .control()
        .handle(step("record", &run, None))
        .await
        .unwrap();
    let failure = ground
        .control()
        .handle(step("plan", &run, None))
        .await
        .unwrap_err();
    assert_eq!(failure.name, FailureName::Internal);
    assert!(failure.message.contains("has ended"), "{failure}");
}

#[tokio::test]
async fn a_failure_is_recorded_as_a_person_reads_it() {
    let cause = json!({"errorType": "Unauthorized", "errorMessage": "the secret `millrace/crm` is refused"}).to_string();
    for (cause, message) in [
        (cause.as_str(), "the secret `millrace/crm` is refused"),
        ("it took too long", "it took too long"),
    ] {
        let ground = Ground::new(PIPELINE).await;
        let run = ground.control().scheduled(&scheduled(0)).await.unwrap();
        let error = json!({"Error": "Unauthorized", "Cause": cause});
        ground
            .control()
            .handle(step("record_failure", &run, Some(error.clone())))
            .await
            .unwrap();
        ground
            .control()
            .handle(step("record_failure", &run, Some(error)))
            .await
            .unwrap();
        let entry = ground.runs().await.remove(0);
        let failure = entry.failure.unwrap();
        assert_eq!(
            (entry.status, failure.name.as_str()),
            (RunStatus::Failed, "Unauthorized")
        );
        assert_eq!(failure.message, message);
        assert!(ground.gate().await.active.is_empty());
    }
}

#[tokio::test]
async fn an_execution_that_ended_without_a_word_is_recorded() {
    for (status, expected) in [
        ("ABORTED", RunStatus::Cancelled),
        ("TIMED_OUT", RunStatus::Failed),
        ("SUCCEEDED", RunStatus::Succeeded),
        ("RUNNING", RunStatus::Running),
    ] {
        let ground = Ground::new(PIPELINE).await;
        let run = ground.control().scheduled(&scheduled(0)).await.unwrap();
        let event = json!({
            "detail-type": "Step Functions Execution Status Change",
            "detail": {"name": run.run, "status": status, "executionArn": "arn", "error": null, "cause": null}
        });
        ground.control().handle(event.clone()).await.unwrap();
        ground.control().handle(event).await.unwrap();
        assert_eq!(ground.statuses().await, [expected]);
        assert_eq!(
            ground.gate().await.active.is_empty(),
            expected != RunStatus::Running,
            "{status}"
        );
    }
}

#[tokio::test]
async fn executions_that_are_no_runs_are_passed_over() {
    let ground = Ground::new(PIPELINE).await;
    let event = json!({
        "detail-type": "Step Functions Execution Status Change",
        "detail": {"name": "by-hand", "status": "ABORTED"}
    });
    assert_eq!(ground.control().handle(event).await.unwrap(), Value::Null);
}

#[tokio::test]
async fn a_schedule_of_a_broken_pipeline_leaves_a_failed_run() {
    let ground = Ground::new(&PIPELINE.replace("records", "recrods")).await;
    for _ in 0..2 {
        let run = ground.control().scheduled(&scheduled(0)).await.unwrap();
        let failure = run.failure.unwrap();
        assert_eq!(
            (run.status, failure.name.as_str()),
            (RunStatus::Failed, "BadDefinition")
        );
        assert!(
            failure.message.contains("pipelines/earthquakes.yaml:8"),
            "{}",
            failure.message
        );
    }
    assert_eq!(ground.runs().await.len(), 1);
    assert!(ground.executions.running().is_empty());
}

#[tokio::test]
async fn an_unknown_event_says_so() {
    let ground = Ground::new(PIPELINE).await;
    for event in [
        json!({}),
        json!({"step": "plan"}),
        json!({"schedule": "arn", "pipeline": "a", "scheduled_at": "soon"}),
    ] {
        let failure = ground.control().handle(event).await.unwrap_err();
        assert_eq!(failure.name, FailureName::Internal);
    }
}

/// The sample events are of one run: the schedule's names it, and the others are about it.
#[tokio::test]
async fn the_sample_events_are_handled() {
    let sample = |case: &str| -> Value {
        let path = format!(
            "{}/../../events/trigger/{case}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let ended = [
        ("record", RunStatus::Succeeded),
        ("record-failure", RunStatus::Failed),
        ("execution-aborted", RunStatus::Cancelled),
    ];
    for (case, expected) in ended {
        let ground = Ground::new(PIPELINE).await;
        let started = ground.control().handle(sample("schedule")).await.unwrap();
        let mut plan = sample("plan");
        assert_eq!(started["run"], plan["run"]);
        plan["definition"] = ground.runs().await[0].definition.clone().into();
        ground.control().handle(plan).await.unwrap();
        ground.control().handle(sample(case)).await.unwrap();
        assert_eq!(ground.statuses().await, [expected], "{case}");
    }
}
