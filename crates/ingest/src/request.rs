//! What is sent: a whole request but for the credential, which is in nothing that is kept or told.

mod body;

use crate::auth::SCRUBBED;
use crate::cursor;
use crate::paginate::{self, Parameter};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use millrace_model::definition::Connection;
use millrace_model::definition::pipeline::{
    Body, CursorValue, Incremental, Method, Paginate, RequestForm, Resource, SideRequest,
    TimestampForm,
};
use millrace_model::raw::Position;
use millrace_model::template::{TemplateError, Templates};
use millrace_model::{Failure, FailureName};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use url::Url;

/// A request without its credential.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    /// The URL as it is kept and told: with the place of the credential, and without its value.
    pub(crate) shown: String,
    /// The SHA-256 in hexadecimal of the body.
    pub(crate) digest: Option<String>,
    /// Whether it goes to another host than the connection's, which must not see the credential.
    pub(crate) is_foreign: bool,
}

impl Request {
    /// What tells it from the run's other requests.
    pub(crate) fn key(&self) -> String {
        key(&self.shown, self.digest.as_deref())
    }

    /// How messages call it.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method.as_str(), self.shown)
    }
}

/// What tells a request from the others of its slice.
pub(crate) fn key(shown: &str, digest: Option<&str>) -> String {
    match digest {
        None => shown.to_owned(),
        Some(digest) => format!("{shown} {digest}"),
    }
}

/// What is asked of a resource in one run.
#[derive(Debug)]
pub(crate) struct Requests {
    resource: Resource,
    base_url: String,
    /// Headers of all requests to the connection's host.
    headers: BTreeMap<String, String>,
    /// The incremental parameters and their values: from where on, and until where.
    incremental: Vec<Parameter>,
    /// The URL at which the run begins, where the source has said so.
    begins_at: Option<String>,
    /// What templates see in every request.
    scope: Value,
    templates: Templates,
    /// The query parameters that carry credentials, if any do.
    key_parameters: Vec<String>,
}

impl Requests {
    /// `scope` is what templates see in every request of the run.
    pub(crate) fn new(
        connection: &Connection,
        resource: &Resource,
        mut scope: Value,
        start: Option<&CursorValue>,
        until: Option<&CursorValue>,
    ) -> Self {
        let mut sent = Vec::new();
        if let Some(incremental) = &resource.incremental {
            for (value, name, param) in [
                (start, "cursor", &incremental.param),
                (until, "until", &incremental.end_param),
            ] {
                let value = value.map(|value| sent_value(value, incremental));
                scope[name] = value.clone().unwrap_or_default();
                sent.extend(param.clone().zip(value));
            }
        }
        let key_parameters = connection.auth.query_parameters();
        Self {
            resource: resource.clone(),
            base_url: connection.base_url.clone(),
            headers: connection.headers.clone(),
            incremental: sent,
            begins_at: match start {
                Some(CursorValue::Token(url)) => Some(url.clone()),
                _ => None,
            },
            scope,
            templates: Templates::default(),
            key_parameters: key_parameters.into_iter().map(ToOwned::to_owned).collect(),
        }
    }

    /// What templates of a slice see.
    pub(crate) fn scope(&self, slice: &Value) -> Value {
        let mut scope = self.scope.clone();
        if let (Some(scope), Some(slice)) = (scope.as_object_mut(), slice.as_object()) {
            scope.extend(slice.clone());
        }
        scope
    }

    /// The value of an expression in a slice.
    pub(crate) fn value(&self, expression: &str, slice: &Value) -> Result<Value, Failure> {
        let value = self.templates.value(expression, &self.scope(slice));
        value.map_err(|error| self.bad_template(&error))
    }

    /// Whether an expression holds in a slice.
    pub(crate) fn holds(&self, expression: &str, slice: &Value) -> Result<bool, Failure> {
        let holds = self.templates.holds(expression, &self.scope(slice));
        holds.map_err(|error| self.bad_template(&error))
    }

    /// The request for the page at a position of a slice.
    pub(crate) fn page(
        &self,
        slice: &Value,
        paginate: &Paginate,
        position: &Position,
    ) -> Result<Request, Failure> {
        let mut scope = self.scope(slice);
        scope["page"] = paginate::variables(paginate, position);
        let mut parameters = self.incremental(slice);
        parameters.extend(paginate::parameters(paginate, position));
        let resource = &self.resource;
        let mut request = self.request(
            &resource.path,
            &resource.params,
            &resource.request,
            parameters,
            &scope,
        )?;
        if *paginate == Paginate::OdataDelta {
            let changes = HeaderValue::from_static("odata.track-changes");
            request.headers.entry("prefer").or_insert(changes);
        }
        let link = match position {
            Position::Url { url } => Some(url),
            Position::Start => self.begins_at.as_ref(),
            _ => None,
        };
        if let Some(url) = link {
            let url = Url::parse(url).map_err(|error| {
                Failure::new(
                    FailureName::Internal,
                    format!("the checkpoint leads to `{url}`, which is no URL: {error}"),
                )
            })?;
            request.url = self.without_key(&url);
            request.shown = self.shown(&request.url);
        }
        Ok(request)
    }

    /// A value of the incremental field as requests have it; none where the resource is not incremental.
    pub(crate) fn sent(&self, value: &CursorValue) -> Option<Value> {
        let incremental = self.resource.incremental.as_ref()?;
        Some(sent_value(value, incremental))
    }

    /// The incremental parameters in a slice, which may start elsewhere than the run.
    fn incremental(&self, slice: &Value) -> Vec<Parameter> {
        let mut parameters = self.incremental.clone();
        let name = self
            .resource
            .incremental
            .as_ref()
            .and_then(|it| it.param.as_ref());
        if let (Some(own), Some(name)) = (slice.get("cursor"), name) {
            for (_, value) in parameters.iter_mut().filter(|(known, _)| known == name) {
                value.clone_from(own);
            }
        }
        parameters
    }

    /// A request beside those for records.
    pub(crate) fn side(&self, side: &SideRequest, slice: &Value) -> Result<Request, Failure> {
        let scope = self.scope(slice);
        self.request(&side.path, &side.params, &side.request, Vec::new(), &scope)
    }

    fn request(
        &self,
        path: &str,
        params: &BTreeMap<String, String>,
        form: &RequestForm,
        parameters: Vec<Parameter>,
        scope: &Value,
    ) -> Result<Request, Failure> {
        let base = self.base()?;
        let mut url = self.target(&base, path, form.url.as_deref(), scope)?;
        let in_body = matches!(
            form.body,
            Some(Body::Json(_) | Body::Form(_) | Body::Graphql { .. })
        );
        let (to_body, to_query) = if in_body {
            (parameters, Vec::new())
        } else {
            (Vec::new(), parameters)
        };
        let mut pairs = Vec::new();
        for (name, text) in params {
            pairs.push((name.clone(), self.text(text, scope)?));
        }
        pairs.extend(
            to_query
                .into_iter()
                .map(|(name, value)| (name, body::text(&value))),
        );
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let is_foreign = url.origin() != base.origin();
        let mut headers = self.headers(is_foreign, scope)?;
        let mut body = None;
        if let Some(form) = &form.body {
            let (kind, bytes) = body::render(form, to_body, &self.templates, scope)
                .map_err(|error| self.bad_template(&error))?;
            headers
                .entry(header::CONTENT_TYPE)
                .or_insert(HeaderValue::from_static(kind));
            body = Some(bytes);
        }
        Ok(Request {
            method: form.method,
            shown: self.shown(&url),
            digest: body.as_ref().map(|body| hex::encode(Sha256::digest(body))),
            url,
            headers,
            body,
            is_foreign,
        })
    }

    fn base(&self) -> Result<Url, Failure> {
        let bad = |what: String| {
            Failure::new(
                FailureName::BadDefinition,
                format!(
                    "`{}`, the base_url of `{}`, {what}",
                    self.base_url, self.resource.name
                ),
            )
        };
        let base =
            Url::parse(&self.base_url).map_err(|error| bad(format!("is no URL: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(bad("cannot be pulled: only http and https can".to_owned()));
        }
        Ok(base)
    }

    /// The URL that is meant, without parameters.
    fn target(
        &self,
        base: &Url,
        path: &str,
        url: Option<&str>,
        scope: &Value,
    ) -> Result<Url, Failure> {
        let (text, parsed) = if let Some(url) = url {
            let text = self.text(url, scope)?;
            let parsed = base.join(&text);
            (text, parsed)
        } else {
            let path = self.templates.path(path, scope);
            let path = path.map_err(|error| self.bad_template(&error))?;
            let text = format!("{}{path}", self.base_url);
            let parsed = Url::parse(&text);
            (text, parsed)
        };
        let mut url = parsed.map_err(|error| {
            let name = &self.resource.name;
            let message = format!("`{text}`, the URL of `{name}`, is none: {error}");
            Failure::new(FailureName::BadDefinition, message)
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            let message = format!("`{text}`: only http and https can be pulled");
            return Err(Failure::new(FailureName::BadDefinition, message));
        }
        url.set_fragment(None);
        Ok(self.without_key(&url))
    }

    fn headers(&self, is_foreign: bool, scope: &Value) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let connection = self.headers.iter().filter(|_| !is_foreign);
        for (name, text) in connection.chain(&self.resource.headers) {
            let value = self.text(text, scope)?;
            let parsed = HeaderName::from_bytes(name.as_bytes())
                .ok()
                .zip(HeaderValue::from_str(&value).ok());
            let (name, value) = parsed.ok_or_else(|| {
                let message = format!("`{name}: {value}` cannot be sent as a header");
                Failure::new(FailureName::BadDefinition, message)
            })?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn text(&self, template: &str, scope: &Value) -> Result<String, Failure> {
        let text = self.templates.text(template, scope);
        text.map_err(|error| self.bad_template(&error))
    }

    fn bad_template(&self, error: &TemplateError) -> Failure {
        let message = format!("a template of `{}`: {error}", self.resource.name);
        Failure::new(FailureName::BadDefinition, message)
    }

    /// A position without the credential, which a source may put into its links.
    pub(crate) fn unsigned(&self, position: Position) -> Position {
        match position {
            Position::Url { url } => match Url::parse(&url) {
                Ok(parsed) => Position::Url {
                    url: self.without_key(&parsed).into(),
                },
                Err(_) => Position::Url { url },
            },
            other => other,
        }
    }

    fn shown(&self, url: &Url) -> String {
        if self.key_parameters.is_empty() {
            return url.to_string();
        }
        let mut url = url.clone();
        for name in &self.key_parameters {
            url.query_pairs_mut().append_pair(name, SCRUBBED);
        }
        url.into()
    }

    fn without_key(&self, url: &Url) -> Url {
        let mut url = url.clone();
        let is_key = |name: &str| self.key_parameters.iter().any(|key| key == name);
        if url.query_pairs().any(|(name, _)| is_key(&name)) {
            let kept: Vec<(String, String)> = url
                .query_pairs()
                .filter(|(name, _)| !is_key(name))
                .map(|(a, b)| (a.into(), b.into()))
                .collect();
            url.set_query(None);
            if !kept.is_empty() {
                url.query_pairs_mut().extend_pairs(kept);
            }
        }
        url
    }
}

/// The value from which a run starts, as it is sent: numbers as numbers, which matters in a body.
fn sent_value(value: &CursorValue, incremental: &Incremental) -> Value {
    let text = cursor::parameter(value, incremental);
    let is_number = match value {
        CursorValue::Number(_) => true,
        CursorValue::Timestamp(_) => matches!(
            incremental.send,
            TimestampForm::EpochS | TimestampForm::EpochMs
        ),
        CursorValue::Text(_) | CursorValue::Token(_) => false,
    };
    match text.parse::<i64>() {
        Ok(number) if is_number => number.into(),
        _ => text.into(),
    }
}

/// What templates see in every request of a run: its name, when it began, and the pipeline's own values.
pub(crate) fn run_scope(
    run: &str,
    began: jiff::Timestamp,
    config: &BTreeMap<String, Value>,
) -> Value {
    json!({ "run": run, "now": began.to_string(), "config": config })
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
