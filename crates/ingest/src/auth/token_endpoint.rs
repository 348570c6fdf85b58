//! The token endpoint of an OAuth 2 server: RFC 6749, section 5.

use super::call::{Answer, Caller};
use super::credential::SCRUBBED;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header;
use millrace_model::definition::auth::{ClientAuth, TokenRequest};
use millrace_model::{Failure, FailureName};
use millrace_store::secrets::Secret;
use serde_json::Value;
use std::time::Duration;
use url::form_urlencoded::byte_serialize;

/// How many characters of an answer that is no token are told.
const EXCERPT: usize = 300;

/// What a token endpoint grants.
pub(super) struct Grant {
    pub(super) access_token: String,
    /// How long it is valid, where the server says so.
    pub(super) lifetime: Option<Duration>,
    /// The next refresh token, where the server gives one.
    pub(super) refresh_token: Option<String>,
}

/// A request for a token under way.
#[derive(Default)]
pub(super) struct Form {
    fields: Vec<(String, String)>,
    authorization: Option<String>,
    /// The values that must be in no message.
    hidden: Vec<String>,
}

/// Why there is no token.
pub(super) enum Ungranted {
    /// The server refuses what it was given: why, without secrets.
    Refused(String),
    /// It did not come to that.
    Failed(Failure),
}

impl Form {
    /// With that grant type.
    pub(super) fn new(grant_type: &str) -> Self {
        Self::default().with("grant_type", grant_type)
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With a value that must be seen nowhere.
    pub(super) fn with_hidden(mut self, name: &str, value: &str) -> Self {
        self.hidden.push(value.to_owned());
        self.with(name, value)
    }

    /// With what the definition says of the request, and with the client's own credential.
    pub(super) fn of(mut self, request: &TokenRequest, secret: &Secret) -> Result<Self, Failure> {
        self = self
            .with_some("scope", request.scope.as_deref())
            .with_some("audience", request.audience.as_deref());
        for (name, value) in &request.params {
            self = self.with(name, value);
        }
        let id = secret.field(Some("client_id"))?;
        // A public client has no secret; the field is left out then.
        let client_secret = match serde_json::from_str::<Value>(secret.text()) {
            Ok(Value::Object(fields)) if !fields.contains_key("client_secret") => None,
            _ => Some(secret.field(Some("client_secret"))?),
        };
        Ok(match (request.client_auth, client_secret) {
            (_, None) => self.with("client_id", id.text()),
            (ClientAuth::Body, Some(client_secret)) => self
                .with("client_id", id.text())
                .with_hidden("client_secret", client_secret.text()),
            (ClientAuth::Basic, Some(client_secret)) => {
                // RFC 6749, section 2.3.1: both are encoded as in a form first. `%20` is read as a space by those servers,
                // too, that do not take `+` for one, as Authlib does not.
                let encode = |text: &str| {
                    let form: String = byte_serialize(text.as_bytes()).collect();
                    form.replace('+', "%20")
                };
                let pair = format!("{}:{}", encode(id.text()), encode(client_secret.text()));
                let pair = STANDARD.encode(pair);
                self.hidden.push(client_secret.text().to_owned());
                self.hidden.push(pair.clone());
                self.authorization = Some(format!("Basic {pair}"));
                self
            }
        })
    }

    /// Asks for the token.
    pub(super) async fn send(&self, caller: &Caller, url: &str) -> Result<Grant, Ungranted> {
        let answer = caller.post(url, |request| {
            let request = request
                .header(header::ACCEPT, "application/json")
                .form(&self.fields);
            match &self.authorization {
                Some(value) => request.header(header::AUTHORIZATION, value),
                None => request,
            }
        });
        let answer = answer.await.map_err(Ungranted::Failed)?;
        granted(&answer).ok_or_else(|| {
            let problem = format!("POST {url} answered {}{}", answer.status, told(&answer));
            Ungranted::Refused(self.scrub(&problem))
        })
    }

    fn scrub(&self, text: &str) -> String {
        let hidden = self.hidden.iter().filter(|value| !value.is_empty());
        hidden.fold(text.to_owned(), |text, value| text.replace(value, SCRUBBED))
    }
}

impl Ungranted {
    /// The failure of a request whose credential is in the secret of that name.
    pub(super) fn into_failure(self, secret: &str) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Refused(problem) => Failure::new(
                FailureName::Unauthorized,
                format!(
                    "{problem}: the server gives no token for what the secret `{secret}` holds; put a valid credential \
                     into it"
                ),
            ),
        }
    }
}

fn granted(answer: &Answer) -> Option<Grant> {
    if !(200..300).contains(&answer.status) {
        return None;
    }
    let fields: Value = serde_json::from_slice(&answer.body).ok()?;
    let text = |name| {
        fields
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    // Some servers write the number as text, and some write 0 where a token has no end.
    let lifetime = fields.get("expires_in").and_then(|value| {
        let seconds = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
        let lifetime = Duration::try_from_secs_f64(seconds).ok()?;
        (!lifetime.is_zero()).then_some(lifetime)
    });
    Some(Grant {
        access_token: text("access_token")?.to_owned(),
        lifetime,
        refresh_token: text("refresh_token").map(ToOwned::to_owned),
    })
}

/// What an answer without a token says: the error of RFC 6749, section 5.2, else its beginning.
fn told(answer: &Answer) -> String {
    let fields: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let field = |name| fields.as_ref()?.get(name)?.as_str();
    match (field("error"), field("error_description")) {
        (Some(error), Some(description)) => format!(" ({error}: {description})"),
        (Some(error), None) => format!(" ({error})"),
        // An answer that went well and is no JSON may hold a token in another form.
        _ if answer.status < 300 => " without an `access_token`".to_owned(),
        _ => {
            let text = String::from_utf8_lossy(&answer.body);
            let text: String = text.trim().chars().take(EXCERPT).collect();
            if text.is_empty() {
                text
            } else {
                format!(" ({text})")
            }
        }
    }
}
