//! Wire connection → connection.

use super::{politeness, value};
use crate::definition::SecretRef;
use crate::definition::connection::{Auth, Connection, KeyPlace};
use crate::definition::problem::{Path, Review};
use crate::definition::wire::connection::{ApiKeyForm, AuthForm, ConnectionFile};
use crate::definition::wire::form::SecretName;

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
    let politeness = politeness::politeness(&wire, review);
    let timeouts = politeness::timeouts(&wire, review);
    for (name, text) in &wire.headers {
        review.accept(
            &root.field("headers").field(name),
            value::header(name, &text.0),
        );
    }
    Some(Connection {
        name: wire.connection,
        base_url: base_url?,
        auth: auth?,
        politeness: politeness?,
        headers: wire
            .headers
            .into_iter()
            .map(|(name, text)| (name, text.0))
            .collect(),
        timeouts: timeouts?,
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
