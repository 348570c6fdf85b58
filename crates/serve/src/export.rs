//! Whole answers as files. A caller asks with `Prefer: respond-async` (RFC 7240) and gets 202 and an address, under which
//! the files' links stand when they are there. What is asked for lies in the lake, so that whoever makes the files may be
//! killed, and another one takes over.

mod file;
mod job;
mod make;

use crate::asked::Asked;
use crate::problem::Problem;
use crate::{Serve, access, answer};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Request, Response};
use job::{Job, State, Status};
use millrace_model::{Failure, FailureName, keys};
use millrace_store::json;
use millrace_store::objects::{Error, Link};
use millrace_store::secrets::Caller;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// How long a link opens.
const LINK: Duration = Duration::from_mins(15);
/// When to look again whether the files are there, in seconds.
const AGAIN: u32 = 2;
/// What stands before the path in the URL that the caller sees.
const PREFIX: &str = "x-forwarded-prefix";

/// Whether a caller would rather be told where the answer will be.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter();
    let mut preferences = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    preferences.any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

/// The export of a path below `/exports/`, and the number of one of its files.
pub(crate) fn of_path(path: &str) -> Option<(Uuid, Option<u32>)> {
    let rest = path.strip_prefix("/exports/")?;
    let (id, file) = match rest.split_once('/') {
        None => (rest, None),
        Some((id, file)) => (id, Some(file.parse().ok()?)),
    };
    // In no other of the forms that a UUID may have.
    let id = Uuid::parse_str(id)
        .ok()
        .filter(|known| known.to_string() == id)?;
    Some((id, file))
}

impl Serve {
    /// Notes what is asked for, and says where the files will be.
    pub(crate) async fn begin_export(
        &self,
        asked: &Asked<'_>,
        request: &Request<Bytes>,
        caller: Option<&Caller>,
    ) -> Result<Response<Bytes>, Problem> {
        let id = Uuid::new_v4();
        let job = Job::new(request, asked.format, caller);
        let noted = async {
            json::create(&*self.objects, &keys::export_state(id), &State::default()).await?;
            json::create(&*self.objects, &keys::export_job(id), &job).await?;
            // Last, since whoever is notified of it looks for the others.
            let notice = keys::export_notice(id, asked.route.route.answered_by().as_str());
            self.objects.put(&notice, Bytes::new()).await
        };
        noted.await.map_err(|error| unavailable(&error))?;
        self.make_behind(id);
        let mut response = answer::accepted(&described(id, &job, &State::default(), &[]));
        let headers = response.headers_mut();
        if let Ok(location) = HeaderValue::try_from(format!("{}/exports/{id}", prefix(request))) {
            headers.insert(LOCATION, location);
        }
        headers.insert(RETRY_AFTER, AGAIN.into());
        let applied = HeaderName::from_static("preference-applied");
        headers.insert(applied, HeaderValue::from_static("respond-async"));
        Ok(response)
    }

    /// How far an export is, and where its files are; or one of the files, where the store has no links.
    pub(crate) async fn export(
        &self,
        (id, file): (Uuid, Option<u32>),
        request: &Request<Bytes>,
        known: Option<Caller>,
    ) -> Result<Response<Bytes>, Problem> {
        let missing = || Problem::not_found(request.uri().path());
        let found = json::get::<Job>(&*self.objects, &keys::export_job(id)).await;
        let job = found
            .map_err(|error| unavailable(&error))?
            .ok_or_else(missing)?;
        let table = self.table().await?;
        let (route, _) = table.find(job.path()).ok_or_else(missing)?;
        let caller = match (&route.route.auth, known) {
            (Some(auth), None) => Some(self.access.identify(auth, request.headers()).await?),
            (Some(_), known) => known,
            (None, _) => None,
        };
        if let Some(caller) = &caller {
            access::allow(caller, &route.route.scopes)?;
        }
        // Of somebody else's export nobody learns whether there is one.
        if caller.as_ref().map(|caller| &caller.name) != job.caller_name() {
            return Err(missing());
        }
        let state = json::get::<State>(&*self.objects, &keys::export_state(id)).await;
        let state = state
            .map_err(|error| unavailable(&error))?
            .unwrap_or_default();
        if let Some(number) = file {
            let key = keys::export_file(id, number, job.format.extension());
            let object = self.objects.get(&key).await;
            let object = object
                .map_err(|error| unavailable(&error))?
                .ok_or_else(missing)?;
            return Ok(answer::document(job.format.content_type(), object.bytes));
        }
        if state.is_left() {
            self.make_behind(id);
        }
        let mut files = Vec::new();
        for (number, file) in state
            .files
            .iter()
            .enumerate()
            .filter(|_| state.status == Status::Done)
        {
            let url = self.link(id, number as u32, &job, request).await;
            let url = url.map_err(|error| unavailable(&error))?;
            files.push(json!({ "url": url, "rows": file.rows, "bytes": file.bytes }));
        }
        let mut response = answer::one(&described(id, &job, &state, &files));
        if !state.is_over() {
            response.headers_mut().insert(RETRY_AFTER, AGAIN.into());
        }
        Ok(response)
    }

    async fn link(
        &self,
        id: Uuid,
        number: u32,
        job: &Job,
        request: &Request<Bytes>,
    ) -> Result<String, Error> {
        let extension = job.format.extension();
        let key = keys::export_file(id, number, extension);
        let name = job.path().trim_matches('/').replace('/', "-");
        let link = Link {
            opens: LINK,
            content_type: job.format.content_type(),
            file_name: &format!("{name}-{number}.{extension}"),
        };
        let url = self.objects.link(&key, &link).await?;
        Ok(url.unwrap_or_else(|| format!("{}/exports/{id}/{number}", prefix(request))))
    }

    /// Makes the files of the export of which the notice at that key tells.
    pub async fn make_noticed(&self, key: &str) -> Result<(), Failure> {
        let id = keys::export_of_notice(key).and_then(|id| Uuid::parse_str(id).ok());
        let Some(id) = id else {
            let message = format!("`{key}` is no notice");
            return Err(Failure::new(FailureName::Internal, message));
        };
        self.make_export(id).await
    }

    /// Makes an export's files beside everything else, where nobody is notified of it.
    fn make_behind(&self, id: Uuid) {
        if self.by_notice {
            return;
        }
        let serve = self.clone();
        tokio::spawn(async move {
            if let Err(failure) = serve.make_export(id).await {
                tracing::error!(%failure, export = %id, "the export was not made");
            }
        });
    }
}

/// What a caller is told of an export.
fn described(id: Uuid, job: &Job, state: &State, files: &[Value]) -> Value {
    json!({
        "export": id,
        "status": state.status,
        "format": job.format.media_type(),
        "rows": state.files.iter().map(|file| file.rows).sum::<u64>(),
        "files": files,
        "as_of": state.as_of,
        "failure": state.failure,
        "created_at": job.created_at,
    })
}

fn prefix(request: &Request<Bytes>) -> &str {
    let prefix = request.headers().get(PREFIX);
    prefix
        .and_then(|prefix| prefix.to_str().ok())
        .unwrap_or_default()
}

fn unavailable(error: &Error) -> Problem {
    tracing::error!(%error, "the exports cannot be reached");
    Problem::unavailable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_preferred_is_found_among_other_things() {
        let prefers = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", value.parse().unwrap());
            is_wanted(&headers)
        };
        assert!(prefers("respond-async") && prefers("wait=10, Respond-Async"));
        assert!(!prefers("wait=10") && !prefers("respond-asynchronously"));
        assert!(!is_wanted(&HeaderMap::new()));
    }

    #[test]
    fn paths_of_exports_are_told_from_others() {
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let parsed: Uuid = id.parse().unwrap();
        let of = |path: &str| of_path(&path.replace("ID", id));
        assert_eq!(of("/exports/ID"), Some((parsed, None)));
        assert_eq!(of("/exports/ID/3"), Some((parsed, Some(3))));
        for path in [
            "/exports/",
            "/exports/ID/",
            "/exports/ID/x",
            "/exports/ID/1/2",
            "/exports/{ID}",
            "/quakes",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
