//! Wire connection → connection.

use super::value;
use crate::definition::SecretRef;
use crate::definition::connection::{Auth, Connection, KeyPlace, RateLimit};
use crate::definition::problem::{Path, Review};
use crate::definition::wire::connection::{ApiKeyForm, AuthForm, ConnectionFile};
use crate::definition::wire::form::SecretName;
use std::time::Duration;

const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

pub(super) fn validate(
    wire: ConnectionFile,
    stem: &str,
    review: &mut Review<'_, '_>,
) -> Option<Connection> {
    let root = Path::default();
    review.accept(
        &root.field("connection"),
        value::definition_name(&wire.connection, stem),
    );
    let base_url = review.accept(&root.field("base_url"), base_url(&wire.base_url));
    let auth = match &wire.auth {
        None => Some(Auth::None),
        Some(form) => auth(form, &root.field("auth"), review),
    };
    let rate_limit = match &wire.rate_limit {
        None => Some(None),
        Some(text) => review
            .accept(&root.field("rate_limit"), rate_limit(text))
            .map(Some),
    };
    for (name, text) in &wire.headers {
        review.accept(
            &root.field("headers").field(name),
            value::header(name, &text.0),
        );
    }
    let timeout = match &wire.timeout {
        None => Some(DEFAULT_TIMEOUT),
        Some(text) => {
            let (least, most) = (Duration::from_millis(100), Duration::from_mins(10));
            review.accept(
                &root.field("timeout"),
                value::duration(&text.0, least, most),
            )
        }
    };
    Some(Connection {
        name: wire.connection,
        base_url: base_url?,
        auth: auth?,
        rate_limit: rate_limit?,
        headers: wire
            .headers
            .into_iter()
            .map(|(name, text)| (name, text.0))
            .collect(),
        timeout: timeout?,
    })
}

/// The URL without a slash at the end. The message does not repeat it: there may be a password in it.
pub(crate) fn base_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| format!("this is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the URL begins with `https://` or `http://`".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "a URL here has no user and no password; name the secret under `auth`".to_owned(),
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(
            "a URL here has no `?` and no `#`; parameters stand in the resource's `params`"
                .to_owned(),
        );
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn auth(form: &AuthForm, path: &Path, review: &mut Review<'_, '_>) -> Option<Auth> {
    match form {
        AuthForm::None => Some(Auth::None),
        AuthForm::Bearer(form) => secret(&form.secret, &path.field("bearer"), review)
            .map(|secret| Auth::Bearer { secret }),
        AuthForm::Basic(form) => {
            let secret = secret(&form.secret, &path.field("basic"), review)?;
            review.require(secret.field.is_none(), &path.field("basic").field("secret"), || {
                "the secret of `basic` is a JSON object with `username` and `password`; leave `#…` out".to_owned()
            });
            Some(Auth::Basic { secret })
        }
        AuthForm::ApiKey(form) => api_key(form, &path.field("api_key"), review),
    }
}

fn api_key(form: &ApiKeyForm, path: &Path, review: &mut Review<'_, '_>) -> Option<Auth> {
    let secret = secret(&form.secret, path, review);
    let place = match (&form.header, &form.query, &form.cookie) {
        (Some(name), None, None) => review
            .accept(&path.field("header"), value::header_name(name))
            .map(|()| KeyPlace::Header(name.clone())),
        (None, Some(name), None) => review
            .accept(&path.field("query"), value::query_param(name))
            .map(|()| KeyPlace::Query(name.clone())),
        (None, None, Some(name)) => review
            .accept(&path.field("cookie"), value::header_name(name))
            .map(|()| KeyPlace::Cookie(name.clone())),
        _ => {
            let message = "a key is sent in one place: name one of `header: X-Api-Key`, `query: key` and `cookie: session`";
            review.problem(path, message);
            None
        }
    };
    Some(Auth::ApiKey {
        secret: secret?,
        place: place?,
    })
}

fn secret(name: &SecretName, path: &Path, review: &mut Review<'_, '_>) -> Option<SecretRef> {
    review.accept(&path.field("secret"), value::secret(&name.0))
}

fn rate_limit(text: &str) -> Result<RateLimit, String> {
    let malformed = || "a rate limit is a number, `/`, and `s`, `m` or `h`: `5/s`".to_owned();
    let (requests, unit) = text.split_once('/').ok_or_else(malformed)?;
    let requests: u32 = requests.parse().map_err(|_| malformed())?;
    let per = match unit {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        _ => return Err(malformed()),
    };
    if requests == 0 {
        return Err("at least one request must be allowed".to_owned());
    }
    Ok(RateLimit { requests, per })
}
