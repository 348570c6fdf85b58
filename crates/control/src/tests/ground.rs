//! A control with everything around it in memory or in a folder.

use crate::Control;
use crate::event::Scheduled;
use crate::gate::Gate;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use millrace_model::ledger::{Run, RunId, RunStatus};
use millrace_model::{Failure, FailureName, keys};
use millrace_store::conductor::{Conductor, ExecutionStatus};
use millrace_store::json;
use millrace_store::ledger::{Filter, Ledger};
use millrace_store::objects::{Folder, Objects};
use millrace_store::secrets::LocalSecrets;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub(super) const CONNECTION: &str =
    "connection: usgs\nbase_url: https://earthquake.usgs.gov/fdsnws/event/1\nauth: none\n";
pub(super) const PIPELINE: &str = "\
pipeline: earthquakes
description: Every earthquake.
concurrency: forbid
resources:
  - name: quakes
    connection: usgs
    path: /query
    records: features
    key: [id]
tables:
  - name: quakes
    from: quakes
    write: upsert
    key: [id]
models:
  - { name: daily, query: SELECT count(*) AS n FROM quakes }
publish:
  - { table: quakes, to: operational_store, as: seismology.quakes }
";
pub(super) const KEY: &str = "key-of-adf";

/// A conductor that keeps executions in memory.
#[derive(Debug, Default)]
pub(super) struct Executions {
    pub known: Mutex<BTreeMap<RunId, ExecutionStatus>>,
    /// Refuses every start with this.
    pub broken: Mutex<Option<FailureName>>,
    /// Started more than once under different inputs: what Step Functions refuses.
    pub confused: AtomicBool,
}

impl Executions {
    pub(super) fn end(&self, run: &RunId, status: ExecutionStatus) {
        self.known.lock().unwrap().insert(run.clone(), status);
    }

    pub(super) fn running(&self) -> Vec<RunId> {
        let known = self.known.lock().unwrap();
        let running = known
            .iter()
            .filter(|(_, status)| **status == ExecutionStatus::Running);
        running.map(|(run, _)| run.clone()).collect()
    }
}

#[async_trait]
impl Conductor for Executions {
    async fn start(&self, run: &Run) -> Result<String, Failure> {
        if let Some(name) = *self.broken.lock().unwrap() {
            return Err(Failure::new(name, "the conductor is broken"));
        }
        let mut known = self.known.lock().unwrap();
        known
            .entry(run.run.clone())
            .or_insert(ExecutionStatus::Running);
        if run.definition.is_empty() {
            self.confused.store(true, Ordering::Relaxed);
        }
        Ok(format!("arn:{}", run.run))
    }

    async fn stop(&self, run: &RunId, _: &str) -> Result<(), Failure> {
        let mut known = self.known.lock().unwrap();
        if let Some(status) = known.get_mut(run)
            && *status == ExecutionStatus::Running
        {
            *status = ExecutionStatus::Stopped;
        }
        Ok(())
    }

    async fn status(&self, run: &RunId) -> Result<ExecutionStatus, Failure> {
        let known = self.known.lock().unwrap();
        Ok(known.get(run).cloned().unwrap_or(ExecutionStatus::Absent))
    }
}

/// A lake with the definitions, and who carries out what is started.
pub(super) struct Ground {
    pub objects: Arc<dyn Objects>,
    pub executions: Arc<Executions>,
    _place: tempfile::TempDir,
}

impl Ground {
    pub(super) async fn new(pipeline: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let objects: Arc<dyn Objects> = Arc::new(Folder::new(place.path()));
        for (kind, name, text) in [
            ("connection", "usgs", CONNECTION),
            ("pipeline", "earthquakes", pipeline),
        ] {
            let key = keys::definition(kind, name);
            objects.put(&key, text.to_owned().into()).await.unwrap();
        }
        Self {
            objects,
            executions: Arc::default(),
            _place: place,
        }
    }

    pub(super) fn control(&self) -> Control {
        self.control_over(Arc::clone(&self.objects))
    }

    pub(super) fn control_over(&self, objects: Arc<dyn Objects>) -> Control {
        let operators = format!(r#"{{"adf": "{KEY}"}}"#);
        let secrets = LocalSecrets::new(
            None,
            [(LocalSecrets::variable("millrace/operators"), operators)],
        );
        Control::new(
            objects,
            Arc::new(secrets),
            Arc::clone(&self.executions) as _,
            "millrace/operators",
        )
    }

    pub(super) async fn gate(&self) -> Gate {
        let gate = json::get(self.objects.as_ref(), &keys::gate("earthquakes")).await;
        gate.unwrap().unwrap_or_default()
    }

    pub(super) async fn runs(&self) -> Vec<Run> {
        let ledger = Ledger::new(Arc::clone(&self.objects));
        ledger
            .list(&Filter::default(), None, 100)
            .await
            .unwrap()
            .runs
    }

    /// The runs' statuses, the newest run's first.
    pub(super) async fn statuses(&self) -> Vec<RunStatus> {
        self.runs()
            .await
            .into_iter()
            .map(|run| run.status)
            .collect()
    }

    /// Ends a run as the state machine does.
    pub(super) async fn succeed(&self, run: &RunId) {
        self.executions.end(run, ExecutionStatus::Succeeded);
        self.control().record(run).await.unwrap();
    }
}

/// The schedule's event of a minute.
pub(super) fn scheduled(minute: u32) -> Scheduled {
    Scheduled {
        schedule: "arn:aws:scheduler:eu-central-1:111122223333:schedule/millrace/earthquakes"
            .to_owned(),
        pipeline: "earthquakes".to_owned(),
        scheduled_at: format!("2026-11-21T08:{minute:02}:00Z").parse().unwrap(),
    }
}

/// A request with the operator's key.
pub(super) fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<Bytes> {
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header("x-api-key", KEY);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Bytes::new()).unwrap()
}

pub(super) fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

/// The run that an answer is about.
pub(super) fn run_of(response: &Response<Bytes>) -> RunId {
    serde_json::from_value(body(response)["data"]["run"].clone()).unwrap()
}
