//! What is put on a request, and kept out of everything that is stored or told.

use super::{hmac, sigv4};
use http::{HeaderName, HeaderValue, header};
use millrace_model::{Failure, FailureName};
use millrace_store::secrets::Secret;
use reqwest::Request;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// What stands in a text in the place of a secret.
pub(crate) const SCRUBBED: &str = "***";

/// What proves who sends a request. A clone is the same credential, and costs nothing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    /// Which of the connection's credentials it is.
    slot: usize,
    inner: Arc<Inner>,
}

#[derive(PartialEq, Eq)]
struct Inner {
    form: Form,
    /// The values that nobody must see.
    hidden: Vec<String>,
}

/// How a credential is sent.
#[derive(PartialEq, Eq)]
pub(super) enum Form {
    /// Not at all.
    None,
    /// As headers.
    Headers(Vec<(HeaderName, HeaderValue)>),
    /// As a query parameter.
    Query(String, String),
    /// As a cookie, beside those that the definition's headers send.
    Cookie(String, String),
    /// As a signature of AWS.
    Sigv4(sigv4::Signer),
    /// As a signature with a shared key.
    Hmac(hmac::Signer),
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credential(redacted)")
    }
}

impl Credential {
    /// Of a source that asks for none.
    pub(crate) fn none() -> Self {
        Self::new(Form::None, [])
    }

    /// A credential of that form; `hidden` are the values that must be seen nowhere.
    pub(super) fn new(form: Form, hidden: impl IntoIterator<Item = String>) -> Self {
        let mut hidden: Vec<String> = hidden
            .into_iter()
            .filter(|value| !value.is_empty())
            .collect();
        let encoded = hidden
            .iter()
            .map(|value| url::form_urlencoded::byte_serialize(value.as_bytes()).collect());
        let encoded: Vec<String> = encoded.collect();
        hidden.extend(encoded);
        // Where one value is part of another, the longer one goes first, so that nothing of it remains.
        hidden.sort_by_key(|value| std::cmp::Reverse(value.len()));
        hidden.dedup();
        Self {
            slot: 0,
            inner: Arc::new(Inner { form, hidden }),
        }
    }

    /// The same as that one of the connection's credentials.
    pub(super) fn in_slot(self, slot: usize) -> Self {
        Self { slot, ..self }
    }

    /// Which of the connection's credentials it is.
    pub(crate) fn slot(&self) -> usize {
        self.slot
    }

    /// How it is sent.
    #[cfg(test)]
    pub(super) fn form(&self) -> &Form {
        &self.inner.form
    }

    /// Whether this value is hidden by it.
    pub(super) fn hides(&self, value: &str) -> bool {
        self.inner.hidden.iter().any(|hidden| hidden == value)
    }

    /// Puts the credential on a request that is otherwise complete.
    pub(crate) fn apply(&self, request: &mut Request) -> Result<(), Failure> {
        match &self.inner.form {
            Form::None => {}
            Form::Headers(headers) => {
                for (name, value) in headers {
                    request.headers_mut().insert(name, value.clone());
                }
            }
            Form::Query(name, value) => {
                request.url_mut().query_pairs_mut().append_pair(name, value);
            }
            Form::Cookie(name, value) => {
                let others = request.headers().get(header::COOKIE);
                let others = others.and_then(|others| others.to_str().ok());
                let cookie = match others {
                    Some(others) => format!("{others}; {name}={value}"),
                    None => format!("{name}={value}"),
                };
                request
                    .headers_mut()
                    .insert(header::COOKIE, sensitive(&cookie)?);
            }
            Form::Sigv4(signer) => signer.sign(request, SystemTime::now())?,
            Form::Hmac(signer) => signer.sign(request, SystemTime::now())?,
        }
        Ok(())
    }

    /// A text without the credential's values, in case a source sends them back.
    pub(crate) fn scrub(&self, text: &str) -> String {
        self.inner
            .hidden
            .iter()
            .fold(text.to_owned(), |text, value| text.replace(value, SCRUBBED))
    }
}

/// A header's name that the definition gives.
pub(super) fn header_name(name: &str) -> Result<HeaderName, Failure> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        Failure::new(
            FailureName::BadDefinition,
            format!("`{name}` cannot be a header's name"),
        )
    })
}

/// A header's value that is made of a secret.
pub(super) fn header_value(secret: &Secret, value: &str) -> Result<HeaderValue, Failure> {
    sensitive(value).map_err(|_| {
        let problem = "holds characters that no HTTP header may have; put the bare value into it";
        secret.malformed(problem).into()
    })
}

/// A header's value that no log shows.
pub(super) fn sensitive(value: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        let message = "a credential holds characters that no HTTP header may have";
        Failure::new(FailureName::Unauthorized, message)
    })?;
    value.set_sensitive(true);
    Ok(value)
}
