//! How the source behaves: as told at its start, and at run time through `/_control`.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How the source behaves. Every field has a default, with which the source does nothing unusual. `every: n` means each
/// n-th request to anything but the routes that begin with an underscore.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// How long each answer is held back, in milliseconds.
    pub delay_ms: u64,
    /// Which requests are answered with a status and nothing else.
    pub status_every: Option<StatusEvery>,
    /// Which bodies end halfway: the connection is closed short of `Content-Length`.
    pub cut_every: Option<u64>,
    /// Which bodies stop halfway, with the connection left open.
    pub stall_every: Option<u64>,
    /// How many requests a second are answered; those beyond get a 429 with `Retry-After: 1`.
    pub limit_per_second: Option<u64>,
    /// The bearer token without which nothing is answered.
    pub require_bearer: Option<String>,
    /// The `user:password` without which nothing is answered.
    pub require_basic: Option<String>,
    /// The API key without which nothing is answered.
    pub require_key: Option<RequiredKey>,
    /// Whether bodies are sent compressed to those who accept that.
    pub gzip: bool,
    /// Whether a query that matches nothing is answered with an empty list, as the real service does for GeoJSON, and
    /// not with the 204 of the FDSN specification.
    pub empty_list: bool,
}

/// Which requests are answered with a status and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusEvery {
    /// Each n-th one.
    pub n: u64,
    /// The status.
    pub status: u16,
    /// The header `Retry-After`, as it is to be sent.
    #[serde(default)]
    pub retry_after: Option<String>,
}

/// An API key that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequiredKey {
    /// The name of the header or of the query parameter.
    pub name: String,
    /// The key.
    pub value: String,
    /// Whether it is sent in the query, and not in a header.
    #[serde(default)]
    pub in_query: bool,
}

/// What `/_control` is told: fields of `Behaviour` to set, `null` for the default; and what is to be done at once.
#[derive(Debug, Deserialize)]
pub(crate) struct Control {
    /// Reports to correct.
    pub(crate) correct: Option<Correct>,
    /// How many reports there are from now on.
    pub(crate) records: Option<u32>,
    /// The fields of `Behaviour`.
    #[serde(flatten)]
    behaviour: Map<String, Value>,
}

/// Which reports are corrected, and how.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Correct {
    /// The reports, by id.
    pub ids: Vec<String>,
    /// How many reports beside those, spread evenly over all.
    pub count: u32,
    /// What is added to their magnitudes.
    pub magnitude: f64,
    /// Their `updated`, in milliseconds since 1970; without it a minute after the last update of all.
    pub updated: Option<i64>,
}

/// What was corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Corrected {
    /// The reports.
    pub ids: Vec<String>,
    /// Their `updated` from now on.
    pub updated: i64,
}

impl Behaviour {
    /// This behaviour with the fields changed that a control request names.
    pub(crate) fn with(&self, control: &Control) -> Result<Self, serde_json::Error> {
        let mut fields = serde_json::to_value(self)?;
        if let Value::Object(fields) = &mut fields {
            for (name, value) in &control.behaviour {
                if value.is_null() {
                    fields.remove(name);
                } else {
                    fields.insert(name.clone(), value.clone());
                }
            }
        }
        serde_json::from_value(fields)
    }

    /// Whether a request carries all credentials that are asked for.
    pub(crate) fn admits(&self, headers: &HeaderMap, parameters: &[(String, String)]) -> bool {
        self.require_bearer
            .as_deref()
            .is_none_or(|token| has_bearer(headers, token))
            && self
                .require_basic
                .as_deref()
                .is_none_or(|pair| has_basic(headers, pair))
            && self
                .require_key
                .as_ref()
                .is_none_or(|key| has_key(headers, parameters, key))
    }
}

/// Whether a request carries any of the credentials that open `/keyed`.
pub(crate) fn opens_keyed(headers: &HeaderMap, parameters: &[(String, String)]) -> bool {
    let key = |name: &str, in_query| RequiredKey {
        name: name.to_owned(),
        value: crate::API_KEY.to_owned(),
        in_query,
    };
    has_bearer(headers, crate::BEARER_TOKEN)
        || has_basic(headers, crate::BASIC_CREDENTIALS)
        || has_key(headers, parameters, &key("X-Api-Key", false))
        || has_key(headers, parameters, &key("api_key", true))
}

fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix(scheme)?
        .strip_prefix(' ')
}

fn has_bearer(headers: &HeaderMap, token: &str) -> bool {
    authorization(headers, "Bearer") == Some(token)
}

fn has_basic(headers: &HeaderMap, pair: &str) -> bool {
    let sent = authorization(headers, "Basic").and_then(|encoded| STANDARD.decode(encoded).ok());
    sent.as_deref() == Some(pair.as_bytes())
}

fn has_key(headers: &HeaderMap, parameters: &[(String, String)], key: &RequiredKey) -> bool {
    if key.in_query {
        parameters
            .iter()
            .any(|(name, value)| *name == key.name && *value == key.value)
    } else {
        headers
            .get(&key.name)
            .is_some_and(|value| value.as_bytes() == key.value.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(text: &str) -> Control {
        serde_json::from_str(text).expect("a control request")
    }

    #[test]
    fn a_control_request_changes_what_it_names_and_nothing_else() {
        let before = Behaviour {
            delay_ms: 5,
            cut_every: Some(3),
            gzip: true,
            ..Behaviour::default()
        };
        let request = control(
            r#"{"cut_every": null, "status_every": {"n": 2, "status": 429}, "correct": {"count": 1}}"#,
        );
        let after = before.with(&request).expect("known fields");
        let status_every = Some(StatusEvery {
            n: 2,
            status: 429,
            retry_after: None,
        });
        assert_eq!(
            after,
            Behaviour {
                cut_every: None,
                status_every,
                ..before
            }
        );
    }

    #[test]
    fn a_control_request_with_a_typo_is_refused() {
        let error = Behaviour::default()
            .with(&control(r#"{"delay": 5}"#))
            .expect_err("there is no such field");
        assert!(error.to_string().contains("`delay`"), "{error}");
    }

    #[test]
    fn credentials_must_match_to_the_last_character() {
        let behaviour = Behaviour {
            require_basic: Some("ann:secret".to_owned()),
            ..Behaviour::default()
        };
        let mut headers = HeaderMap::new();
        assert!(!behaviour.admits(&headers, &[]));
        for (pair, admitted) in [
            ("ann:secret", true),
            ("ann:secre", false),
            ("ann:secret2", false),
        ] {
            let value = format!("Basic {}", STANDARD.encode(pair));
            headers.insert(header::AUTHORIZATION, value.parse().expect("a header"));
            assert_eq!(behaviour.admits(&headers, &[]), admitted, "{pair}");
        }
    }
}
