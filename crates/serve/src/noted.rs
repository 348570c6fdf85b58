//! What the routes of other functions answer. A process knows the columns of its own sources alone, and the contract has
//! all routes. So each function notes in the lake what the rows of its routes are, when somebody leaves a notice for it,
//! and whoever writes the contract reads the notes.

use crate::routes::Served;
use crate::{Serve, openapi};
use bytes::Bytes;
use jiff::Timestamp;
use millrace_model::definition::Datasource;
use millrace_model::{Failure, keys};
use millrace_store::json;
use millrace_store::objects::Error;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old a note may be before another one is asked for, which the next contract has.
const FRESH: Duration = Duration::from_mins(5);
/// The same for a note that lacks a route, or its columns; the contract waits for the other one.
const FRESH_WITH_GAPS: Duration = Duration::from_secs(10);
/// How long a contract waits for a note. To be notified takes S3 a second or two, and a Lambda has to start.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(250);
/// How long no contract waits when one has waited in vain.
const RESIGNED: Duration = Duration::from_mins(1);

/// What the rows of routes are ([`openapi::rows`]), by their paths.
pub type Rows = Map<String, Value>;

/// When a contract last waited in vain for a note.
#[derive(Debug, Default)]
pub struct Vain(Mutex<Option<Instant>>);

impl Vain {
    fn is_recent(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < RESIGNED)
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

impl Serve {
    /// What the rows of those routes are that no source of this process answers, as far as others say so.
    pub(crate) async fn rows_of_others(&self, routes: &[Arc<Served>]) -> Rows {
        let mut known = Rows::new();
        let until = Instant::now() + PATIENCE;
        for datasource in Datasource::ALL {
            let unknown = |route: &&Served| {
                route.route.answered_by() == datasource
                    && route.plan(None).is_none()
                    && self.source(route).is_none()
            };
            let theirs: Vec<&Served> = routes.iter().map(|it| &**it).filter(unknown).collect();
            if theirs.is_empty() {
                continue;
            }
            match self.note(datasource.as_str(), &theirs, until).await {
                Ok(note) => {
                    for route in theirs {
                        if let Some(rows) = rows_of(&note, route) {
                            known.insert(route.route.path.clone(), rows.clone());
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "what others answer is not known"),
            }
        }
        known
    }

    /// The note of those who read that datasource, and answer these routes.
    async fn note(
        &self,
        datasource: &str,
        routes: &[&Served],
        until: Instant,
    ) -> Result<Value, Error> {
        let note = self.noted(datasource).await?;
        let has_gaps = routes.iter().any(|route| rows_of(&note, route).is_none());
        let fresh = if has_gaps { FRESH_WITH_GAPS } else { FRESH };
        let age = Timestamp::now().as_second() - made_at(&note);
        let in_vain = has_gaps && self.vain.is_recent();
        if !self.by_notice || in_vain || age < fresh.as_secs().cast_signed() {
            return Ok(note);
        }
        let notice = keys::contract_notice(datasource);
        self.objects.put(&notice, Bytes::new()).await?;
        while has_gaps && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
            let newer = self.noted(datasource).await?;
            if made_at(&newer) > made_at(&note) {
                return Ok(newer);
            }
        }
        if has_gaps {
            tracing::warn!(datasource, "nobody says what the routes answer");
            self.vain.note();
        }
        Ok(note)
    }

    async fn noted(&self, datasource: &str) -> Result<Value, Error> {
        let note = json::get::<Value>(&*self.objects, &keys::contract(datasource)).await?;
        Ok(note.unwrap_or_default())
    }

    /// Notes what the rows of the routes are that this process answers out of that datasource.
    pub(crate) async fn note_rows(&self, datasource: &str) -> Result<(), Failure> {
        // Whoever asks may know of a change that is younger than what is known here.
        let table = self.definitions.newest().await?;
        self.plan_all(&table.routes).await;
        let mut known = Rows::new();
        for route in &table.routes {
            if route.route.answered_by().as_str() == datasource
                && self.source(route).is_some()
                && let Some(mut rows) = openapi::rows(route)
            {
                rows["of"] = digest(route).into();
                known.insert(route.route.path.clone(), rows);
            }
        }
        let note = json!({ "made_at": Timestamp::now().as_second(), "rows": known });
        json::put(&*self.objects, &keys::contract(datasource), &note).await?;
        Ok(())
    }
}

/// When a note was made, in seconds since 1970; long ago where there is none.
fn made_at(note: &Value) -> i64 {
    note["made_at"].as_i64().unwrap_or_default()
}

/// What a note says of a route, if that is of the route's definition as it is now.
fn rows_of<'a>(note: &'a Value, route: &Served) -> Option<&'a Value> {
    let rows = &note["rows"][route.route.path.as_str()];
    (rows["of"] == digest(route)).then_some(rows)
}

/// What tells a route's definition from all others.
fn digest(route: &Served) -> String {
    hex::encode(route.digest)
}
