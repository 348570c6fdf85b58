//! Who may ask, how often, and what is kept from whom.

use super::value;
use crate::definition::endpoint::{Algorithm, Auth, Jwt, Rate};
use crate::definition::problem::{Path, Review};
use crate::definition::wire::endpoint::{ConsumersForm, JwtForm};
use std::collections::BTreeMap;
use std::time::Duration;

#[allow(clippy::option_option)] // Outside: whether the form is sound; inside: whether callers say who they are.
pub(super) fn auth(
    form: Option<ConsumersForm>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Option<Auth>> {
    match form {
        None | Some(ConsumersForm::None) => Some(None),
        Some(ConsumersForm::SecretPath(name)) => {
            let secret = review.accept(&at.field("secret_path"), value::secret(&name.0))?;
            Some(Some(Auth::Keys(secret)))
        }
        Some(ConsumersForm::Jwt(form)) => {
            let jwt = jwt(form, &at.field("jwt"), review)?;
            Some(Some(Auth::Jwt(jwt)))
        }
    }
}

fn jwt(form: JwtForm, at: &Path, review: &mut Review<'_, '_>) -> Option<Jwt> {
    for (name, text) in [("issuer", &form.issuer), ("audience", &form.audience)] {
        review.require(!text.is_empty(), &at.field(name), || {
            "without it, anybody's tokens would be taken".to_owned()
        });
    }
    review.accept(&at.field("jwks"), key_set(&form.jwks))?;
    Some(Jwt {
        issuer: form.issuer,
        audience: form.audience,
        jwks: form.jwks,
        algorithm: form.algorithm.unwrap_or(Algorithm::Rs256),
    })
}

/// Keys that came by `http` could be anybody's; on this machine nobody stands between.
fn key_set(text: &str) -> Result<(), String> {
    let url = url::Url::parse(text).map_err(|error| format!("this is no URL: {error}"))?;
    let near = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(()),
        "http" if near => Ok(()),
        _ => Err("the keys are fetched by `https`".to_owned()),
    }
}

/// Scopes and columns, by name.
pub(super) fn check_names(
    scopes: &[String],
    mask: &BTreeMap<String, String>,
    at: &Path,
    review: &mut Review<'_, '_>,
) {
    for (index, scope) in scopes.iter().enumerate() {
        review.accept(&at.field("scopes").index(index), scope_name(scope));
    }
    for (column, scope) in mask {
        review.accept(&at.field("mask").field(column), scope_name(scope));
    }
}

/// As RFC 6749 has it: what stands between the spaces of `scope`.
fn scope_name(text: &str) -> Result<(), String> {
    let sound = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if sound && !text.is_empty() {
        Ok(())
    } else {
        Err("a scope is letters, digits and signs without spaces: `quakes:read`".to_owned())
    }
}

#[allow(clippy::option_option)] // Outside: whether the form is sound; inside: whether there is a limit.
pub(super) fn rate(
    text: Option<String>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<Option<Rate>> {
    match text {
        None => Some(None),
        Some(text) => review.accept(at, parse_rate(&text)).map(Some),
    }
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    let malformed = || "a rate is a number, a slash and `s`, `m`, `h` or `d`: `100/m`".to_owned();
    let (requests, unit) = text.split_once('/').ok_or_else(malformed)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(malformed()),
    };
    match requests.parse() {
        Ok(requests @ 1..) => Ok(Rate {
            requests,
            window: Duration::from_secs(seconds),
        }),
        _ => Err(malformed()),
    }
}
