//! What is sent: the URL of a position, without the credential, which is in no URL that is kept or told.

use crate::auth::SCRUBBED;
use crate::cursor;
use crate::paginate;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use millrace_model::definition::Connection;
use millrace_model::definition::pipeline::{CursorValue, Paginate, Resource};
use millrace_model::raw::Position;
use millrace_model::{Failure, FailureName};
use url::Url;

/// What is asked of a resource in one run.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    /// The URL without paging.
    base: Url,
    /// The query parameters that carry credentials, if any do.
    key_parameters: Vec<String>,
    /// The headers of every request but the credential's.
    pub(crate) headers: HeaderMap,
}

impl Requests {
    pub(crate) fn new(
        connection: &Connection,
        resource: &Resource,
        start: Option<&CursorValue>,
    ) -> Result<Self, Failure> {
        let bad = |message: String| Failure::new(FailureName::BadDefinition, message);
        let text = format!("{}{}", connection.base_url, resource.path);
        let mut base = Url::parse(&text).map_err(|error| {
            bad(format!(
                "`{text}`, the base_url and path of `{}`, is no URL: {error}",
                resource.name
            ))
        })?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(bad(format!(
                "`{text}`: only http and https can be pulled; change the connection's base_url"
            )));
        }
        base.set_fragment(None);
        let incremental = resource.incremental.as_ref().zip(start);
        if !resource.params.is_empty() || incremental.is_some() {
            let mut pairs = base.query_pairs_mut();
            pairs.extend_pairs(&resource.params);
            if let Some((incremental, start)) = incremental {
                pairs.append_pair(
                    &incremental.param,
                    &cursor::parameter(start, incremental.send),
                );
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in connection.headers.iter().chain(&resource.headers) {
            let parsed = HeaderName::from_bytes(name.as_bytes())
                .ok()
                .zip(HeaderValue::from_str(value).ok());
            let (name, value) = parsed
                .ok_or_else(|| bad(format!("`{name}: {value}` cannot be sent as a header")))?;
            headers.insert(name, value);
        }
        let key_parameters = connection.auth.query_parameters();
        Ok(Self {
            base,
            key_parameters: key_parameters.into_iter().map(ToOwned::to_owned).collect(),
            headers,
        })
    }

    /// The URL of a position, without the credential.
    pub(crate) fn url(&self, paginate: &Paginate, position: &Position) -> Result<Url, Failure> {
        if let Position::Url { url } = position {
            let url = Url::parse(url).map_err(|error| {
                Failure::new(
                    FailureName::Internal,
                    format!("the checkpoint leads to `{url}`, which is no URL: {error}"),
                )
            })?;
            return Ok(self.without_key(&url));
        }
        let mut url = self.base.clone();
        let parameters = paginate::parameters(paginate, position);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        Ok(url)
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

    /// The URL as it is kept and told: with the place of the credential, and without its value.
    pub(crate) fn shown(&self, url: &Url) -> String {
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

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
