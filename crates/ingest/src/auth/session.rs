//! A session: a request logs in, and its answer holds a token.

use super::call::{Answer, Caller};
use super::credential::{Credential, Form, header_name, header_value};
use super::{Kept, api_key, values};
use http::header::SET_COOKIE;
use millrace_model::definition::auth::{LoginBody, Sending, Session, TokenPlace};
use millrace_model::{Failure, FailureName};
use millrace_store::secrets::Secret;
use serde_json::Value;

pub(super) async fn obtain(
    caller: &Caller,
    base_url: &str,
    session: &Session,
    secret: &Secret,
) -> Result<Kept, Failure> {
    let url = if session.url.starts_with('/') {
        format!("{base_url}{}", session.url)
    } else {
        session.url.clone()
    };
    let value = |name: &str| values::of_secret(&session.secret, secret, name);
    let answer = match &session.body {
        LoginBody::Json(json) => {
            let body = filled(json, secret, session)?;
            caller.post(&url, |request| request.json(&body)).await?
        }
        LoginBody::Form(fields) => {
            let mut form = Vec::with_capacity(fields.len());
            for (name, template) in fields {
                form.push((name.as_str(), template.fill(value)?));
            }
            caller.post(&url, |request| request.form(&form)).await?
        }
    };
    let refused = |problem: String| {
        let message = format!("POST {url} answered {}{problem}", answer.status);
        Failure::new(FailureName::Unauthorized, message)
    };
    if !(200..400).contains(&answer.status) {
        return Err(refused(format!(
            ": the login is refused; put a valid credential into the secret `{}`",
            secret.name()
        )));
    }
    let token = token(&answer, &session.token).ok_or_else(|| {
        let place = match &session.token {
            TokenPlace::Path(path) => format!("text at `{}` of its body", path.0),
            TokenPlace::Header(name) => format!("header `{name}`"),
            TokenPlace::Cookie(name) => format!("cookie `{name}`"),
        };
        refused(format!(
            ", but has no {place}, where the connection's `auth.session.token` expects the token; it may be that the \
             secret `{}` does not open it",
            secret.name()
        ))
    })?;
    let token = Secret::new(secret.name(), &token);
    let credential = credential(&session.send, &token)?;
    Ok(Kept::ending(credential, session.lasts))
}

/// JSON whose texts are templates, with the values in their places.
fn filled(json: &Value, secret: &Secret, session: &Session) -> Result<Value, Failure> {
    Ok(match json {
        Value::String(text) => {
            let template = millrace_model::definition::auth::Template::parse(text, |_| true)
                .map_err(|problem| Failure::new(FailureName::BadDefinition, problem))?;
            template
                .fill(|name| values::of_secret(&session.secret, secret, name))?
                .into()
        }
        Value::Array(items) => items
            .iter()
            .map(|item| filled(item, secret, session))
            .collect::<Result<_, _>>()?,
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| Ok((name.clone(), filled(value, secret, session)?)))
                .collect::<Result<_, Failure>>()?,
        ),
        other => other.clone(),
    })
}

fn token(answer: &Answer, place: &TokenPlace) -> Option<String> {
    let token = match place {
        TokenPlace::Path(path) => {
            let body: Value = serde_json::from_slice(&answer.body).ok()?;
            let found = path
                .segments()
                .try_fold(&body, |value, name| value.get(name))?;
            match found {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return None,
            }
        }
        TokenPlace::Header(name) => answer.headers.get(name)?.to_str().ok()?.to_owned(),
        TokenPlace::Cookie(name) => {
            answer
                .headers
                .get_all(SET_COOKIE)
                .iter()
                .find_map(|cookie| {
                    let pair = cookie.to_str().ok()?.split(';').next()?;
                    let (set, value) = pair.split_once('=')?;
                    (set.trim() == name).then(|| value.trim().to_owned())
                })?
        }
    };
    (!token.is_empty()).then_some(token)
}

fn credential(send: &Sending, token: &Secret) -> Result<Credential, Failure> {
    match send {
        Sending::At(place) => api_key::at(place, token),
        Sending::Header { name, value } => {
            let text = value.fill(|_| Ok::<_, Failure>(token.text().to_owned()))?;
            let header = (header_name(name)?, header_value(token, &text)?);
            Ok(Credential::new(
                Form::Headers(vec![header]),
                [token.text().to_owned()],
            ))
        }
    }
}
