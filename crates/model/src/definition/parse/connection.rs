//! Wire connection → connection.

use super::{auth, politeness, value};
use crate::definition::connection::{Auth, Connection};
use crate::definition::problem::{Path, Review};
use crate::definition::wire::connection::ConnectionFile;

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
        Some(form) => auth::validate(form, &root.field("auth"), review),
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
