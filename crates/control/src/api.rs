//! The control API: one HTTPS interface for any orchestrator.

use crate::Control;
use crate::problem::Problem;
use crate::start::Defined;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use millrace_model::ledger::{RecordedFailure, Run, RunId, RunStatus, Trigger};
use millrace_model::mode::RunMode;
use millrace_store::definitions;
use millrace_store::ledger::Filter;
use millrace_store::secrets::Keyring;
use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::form_urlencoded;

/// The most runs of a page, and how many there are where nobody says.
const MOST_RUNS: usize = 100;
const RUNS: usize = 20;
/// The longest idempotency key.
const LONGEST_KEY: usize = 255;
/// What stands before the path in the URL that the caller sees.
const PREFIX: &str = "x-forwarded-prefix";

impl Control {
    /// Answers a request.
    pub async fn http(&self, request: Request<Bytes>) -> Response<Bytes> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = match self.route(request).await {
            Ok(response) => response,
            Err(problem) => {
                tracing::warn!(%method, path, detail = problem.detail(), "a request was not granted");
                problem.into_response()
            }
        };
        tracing::info!(%method, path, status = response.status().as_u16(), "answered");
        response
    }

    async fn route(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Problem> {
        let caller = self.caller(request.headers()).await?;
        let (parts, body) = request.into_parts();
        let segments: Vec<&str> = parts
            .uri
            .path()
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect();
        let (get, post) = (parts.method == Method::GET, parts.method == Method::POST);
        match segments[..] {
            ["pipelines"] if get => self.pipelines().await,
            ["pipelines", pipeline, "runs"] if post => {
                let mode = mode(&body)?;
                self.start_run(pipeline, mode, caller, &parts.headers).await
            }
            ["runs"] if get => self.runs(parts.uri.query().unwrap_or_default()).await,
            ["runs", run] if get => self.run(run).await,
            ["runs", run, "cancel"] if post => self.cancel(run, &caller).await,
            ["pipelines" | "runs"] | ["runs", _] => Err(method_not_allowed("GET")),
            ["pipelines", _, "runs"] | ["runs", _, "cancel"] => Err(method_not_allowed("POST")),
            _ => Err(Problem::new(
                StatusCode::NOT_FOUND,
                "there is no such path; there are /pipelines, /pipelines/{name}/runs, /runs, /runs/{run} and \
                 /runs/{run}/cancel",
            )),
        }
    }

    /// Whose key the request has.
    async fn caller(&self, headers: &HeaderMap) -> Result<String, Problem> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let presented = Keyring::presented(text("authorization"), text("x-api-key"));
        let Some(presented) = presented else {
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "the request has no key; send it as `x-api-key: …` or as `Authorization: Bearer …`",
            ));
        };
        let keyring = match self.secrets.get(&self.operators_secret).await {
            Ok(secret) => Keyring::from_secret(&secret),
            Err(error) => Err(error),
        };
        let keyring = keyring.map_err(|error| {
            // Who has shown no valid key is not told how the keys are kept.
            tracing::error!(%error, "the operators' keys cannot be read");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "keys cannot be checked at the moment; the log says why",
            )
        })?;
        let caller = keyring.identify(presented).map(ToOwned::to_owned);
        caller.ok_or_else(|| {
            Problem::new(StatusCode::FORBIDDEN, "the key is not one of an operator's")
        })
    }

    async fn pipelines(&self) -> Result<Response<Bytes>, Problem> {
        let (set, _) = definitions::read_set(self.objects.as_ref()).await?;
        let pipelines: Vec<_> = set
            .pipelines
            .values()
            .map(|pipeline| {
                json!({
                    "name": pipeline.name,
                    "description": pipeline.description,
                    "schedule": pipeline.schedule,
                    "concurrency": pipeline.concurrency,
                })
            })
            .collect();
        Ok(answer(StatusCode::OK, &json!({"data": pipelines})))
    }

    async fn start_run(
        &self,
        pipeline: &str,
        mode: RunMode,
        caller: String,
        headers: &HeaderMap,
    ) -> Result<Response<Bytes>, Problem> {
        let key = idempotency_key(headers)?;
        if let Some(key) = key
            && let Some(run) = self.keyed_run(pipeline, key).await?
            && let Some(entry) = self.ledger.get(&run).await?
        {
            return started(self.admit(entry).await?, headers);
        }
        let pinned = match self.defined(pipeline).await? {
            Defined::Sound(pinned) => pinned,
            Defined::Broken(flaws) => {
                let detail = format!(
                    "the pipeline `{pipeline}` cannot run: its definition is wrong; correct it and deploy"
                );
                return Err(
                    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with_flaws(flaws)
                );
            }
            Defined::Absent(flaws) => {
                let detail = format!(
                    "there is no pipeline `{pipeline}`; GET /pipelines lists those there are"
                );
                return Err(Problem::new(StatusCode::NOT_FOUND, detail).with_flaws(flaws));
            }
        };
        let unfit = |detail| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        let pinned = pinned.in_mode(mode).map_err(unfit)?;
        let run = self.name_run(pipeline, key).await?;
        started(
            self.start(run, Trigger::Api { caller }, &pinned).await?,
            headers,
        )
    }

    async fn runs(&self, query: &str) -> Result<Response<Bytes>, Problem> {
        let mut filter = Filter::default();
        let (mut limit, mut after) = (RUNS, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "pipeline" => filter.pipeline = Some(pipeline_name(&value)?),
                "status" => filter.status = Some(status(&value)?),
                "limit" => limit = page_size(&value)?,
                "cursor" => {
                    let unknown = |_| {
                        let detail =
                            format!("`cursor` is `{value}`, which no page gave; start without one");
                        bad_request(detail)
                    };
                    after = Some(run_id(&value).map_err(unknown)?);
                }
                other => {
                    let known = "`pipeline`, `status`, `limit` and `cursor`";
                    return Err(bad_request(format!(
                        "there is no parameter `{other}`; there are {known}"
                    )));
                }
            }
        }
        let page = self.ledger.list(&filter, after.as_ref(), limit).await?;
        Ok(answer(
            StatusCode::OK,
            &json!({"data": page.runs, "page": {"next": page.next}}),
        ))
    }

    async fn run(&self, run: &str) -> Result<Response<Bytes>, Problem> {
        let entry = self.entry(run).await?;
        Ok(answer(StatusCode::OK, &json!({"data": entry})))
    }

    /// Cancels a run. The ledger goes first, so that nothing starts it any more; the rest is made up for by whoever asks
    /// again.
    async fn cancel(&self, run: &str, caller: &str) -> Result<Response<Bytes>, Problem> {
        let entry = self.entry(run).await?;
        let message = format!("cancelled by {caller}");
        let failure = RecordedFailure {
            name: "Cancelled".to_owned(),
            message: message.clone(),
        };
        let finished = self
            .ledger
            .finish(&entry.run, RunStatus::Cancelled, Some(failure))
            .await?;
        let entry = finished.unwrap_or(entry);
        if entry.status != RunStatus::Cancelled {
            let detail = format!("the run {} had ended already", entry.run);
            return Err(Problem::new(StatusCode::CONFLICT, detail).of_run(entry.run));
        }
        self.conductor.stop(&entry.run, &message).await?;
        self.release(&entry.run).await?;
        Ok(answer(StatusCode::OK, &json!({"data": entry})))
    }

    async fn entry(&self, run: &str) -> Result<Run, Problem> {
        let missing = || {
            let detail = format!("there is no run `{run}`; GET /runs lists those there are");
            Problem::new(StatusCode::NOT_FOUND, detail)
        };
        let run = run_id(run).map_err(|_| missing())?;
        self.ledger.get(&run).await?.ok_or_else(missing)
    }
}

/// What is answered to who asked for a run.
fn started(entry: Run, headers: &HeaderMap) -> Result<Response<Bytes>, Problem> {
    if entry.status == RunStatus::Skipped {
        let reason = entry
            .failure
            .map_or_else(String::new, |failure| failure.message);
        let detail = format!(
            "the run was refused: {reason}; wait for its end, or ask with another Idempotency-Key later"
        );
        return Err(Problem::new(StatusCode::CONFLICT, detail).of_run(entry.run));
    }
    let prefix = headers
        .get(PREFIX)
        .and_then(|prefix| prefix.to_str().ok())
        .unwrap_or_default();
    let location = HeaderValue::from_str(&format!("{prefix}/runs/{}", entry.run));
    let mut response = answer(StatusCode::ACCEPTED, &json!({"data": entry}));
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn answer(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(serde_json::to_vec(body).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = key
        .to_str()
        .ok()
        .filter(|key| (1..=LONGEST_KEY).contains(&key.len()));
    key.map(Some).ok_or_else(|| {
        bad_request(format!(
            "the Idempotency-Key is not of 1 to {LONGEST_KEY} letters of ASCII"
        ))
    })
}

/// What a caller may say of a run.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RunForm {
    full_refresh: bool,
    from: Option<String>,
    to: Option<String>,
    retry: Option<RunId>,
}

/// What a run is asked to do by a body, which may be missing.
fn mode(body: &Bytes) -> Result<RunMode, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(RunMode::Regular);
    }
    let object = serde_json::from_slice::<serde_json::Map<_, _>>(body);
    let form = object.and_then(|object| serde_json::from_value::<RunForm>(object.into()));
    let form = form.map_err(|error| {
        bad_request(format!(
            "a run is started without a body, or with a JSON object of `full_refresh`, `from` and `to`, or `retry`: {error}"
        ))
    })?;
    match form {
        RunForm {
            full_refresh: false,
            from: None,
            to: None,
            retry: None,
        } => Ok(RunMode::Regular),
        RunForm {
            full_refresh: true,
            from: None,
            to: None,
            retry: None,
        } => Ok(RunMode::FullRefresh),
        RunForm {
            full_refresh: false,
            from: Some(from),
            to,
            retry: None,
        } => RunMode::backfill(&from, to.as_deref()).map_err(bad_request),
        RunForm {
            full_refresh: false,
            from: None,
            to: None,
            retry: Some(run),
        } => Ok(RunMode::Retry { run }),
        _ => Err(bad_request(
            "a run is a full refresh (`full_refresh`), the backfill of a range (`from`, and `to` if need be), or a retry \
             (`retry`), and not two of them"
                .to_owned(),
        )),
    }
}

fn pipeline_name(text: &str) -> Result<String, Problem> {
    let shaped =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if !text.is_empty() && text.bytes().all(shaped) {
        Ok(text.to_owned())
    } else {
        Err(bad_request(format!(
            "`pipeline` is `{text}`, which is not the name of a pipeline"
        )))
    }
}

fn status(text: &str) -> Result<RunStatus, Problem> {
    use serde::Deserialize;
    let deserializer: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        text.into_deserializer();
    RunStatus::deserialize(deserializer).map_err(|_| {
        let known = "queued, running, succeeded, failed, cancelled and skipped";
        bad_request(format!("`status` is `{text}`; there are {known}"))
    })
}

fn page_size(text: &str) -> Result<usize, Problem> {
    let size = text
        .parse()
        .ok()
        .filter(|size| (1..=MOST_RUNS).contains(size));
    size.ok_or_else(|| {
        bad_request(format!(
            "`limit` is `{text}`; it is a number from 1 to {MOST_RUNS}"
        ))
    })
}

fn run_id(text: &str) -> Result<RunId, millrace_model::ledger::NotARunId> {
    RunId::try_from(text.to_owned())
}

fn bad_request(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn method_not_allowed(allowed: &str) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("this path takes {allowed}"),
    )
}
