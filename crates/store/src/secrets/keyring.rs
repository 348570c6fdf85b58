//! Who holds which key: what a secret of callers' keys says, and whose key a presented one is.

use super::{Secret, SecretError};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// Callers and the digests of their keys.
#[derive(Clone)]
pub struct Keyring {
    callers: Vec<Caller>,
    keys: Vec<Key>,
}

/// Who holds keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name.
    pub name: String,
    /// What the caller may do.
    pub scopes: Vec<String>,
    /// What else is known of the caller: claim → value.
    pub claims: Map<String, Value>,
}

#[derive(Clone)]
struct Key {
    digest: [u8; 32],
    /// Until when it opens; for ever where this is none.
    expires: Option<Timestamp>,
    /// The holder's place among the callers.
    holder: usize,
}

impl Keyring {
    /// Reads a secret that holds a JSON object of caller → key, or keys, or keys with what the caller may do:
    ///
    /// ```json
    /// { "dashboard": "key in plain text",
    ///   "shop": ["sha256:<the digest in hexadecimal>", { "key": "sha256:…", "expires": "2026-12-31T00:00:00Z" }],
    ///   "partner": { "keys": ["sha256:…"], "scopes": ["quakes:read"], "claims": { "tenant": "acme" } } }
    /// ```
    pub fn from_secret(secret: &Secret) -> Result<Self, SecretError> {
        let Ok(Value::Object(entries)) = serde_json::from_str(secret.text()) else {
            return Err(secret.malformed("is not a JSON object of caller → key"));
        };
        let mut keyring = Self {
            callers: Vec::with_capacity(entries.len()),
            keys: Vec::with_capacity(entries.len()),
        };
        for (name, entry) in entries {
            keyring
                .add(&name, entry)
                .map_err(|problem| secret.malformed(problem))?;
        }
        Ok(keyring)
    }

    /// Adds a caller. An error never repeats a key.
    fn add(&mut self, name: &str, entry: Value) -> Result<(), String> {
        let (keys, scopes, claims) = match entry {
            Value::Object(mut fields) if fields.contains_key("keys") => {
                let keys = fields.remove("keys").unwrap_or_default();
                let scopes = match fields.remove("scopes") {
                    None => Some(Vec::new()),
                    Some(scopes) => serde_json::from_value(scopes).ok(),
                };
                let claims = match fields.remove("claims") {
                    None => Some(Map::new()),
                    Some(claims) => serde_json::from_value(claims).ok(),
                };
                let (Some(scopes), Some(claims), true) = (scopes, claims, fields.is_empty()) else {
                    return Err(format!(
                        "has for its caller `{name}` something else than `keys`, `scopes` (a list of texts) and \
                         `claims` (an object)"
                    ));
                };
                (keys, scopes, claims)
            }
            keys => (keys, Vec::new(), Map::new()),
        };
        let keys = match keys {
            Value::Array(keys) => keys,
            key => vec![key],
        };
        let holder = self.callers.len();
        for key in keys {
            let (digest, expires) = read_key(name, &key)?;
            self.keys.push(Key {
                digest,
                expires,
                holder,
            });
        }
        self.callers.push(Caller {
            name: name.to_owned(),
            scopes,
            claims,
        });
        Ok(())
    }

    /// The key that a request carries, from the values of its headers: behind `Bearer` in `Authorization`, else in
    /// `x-api-key`. In that order, since a gateway that meters its callers wants its own, powerless key in the latter.
    pub fn presented<'a>(
        authorization: Option<&'a str>,
        x_api_key: Option<&'a str>,
    ) -> Option<&'a str> {
        let bearer = authorization.and_then(|value| {
            let (scheme, key) = value.trim().split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(key)
        });
        let given = |key: &&str| !key.is_empty();
        bearer
            .map(str::trim)
            .filter(given)
            .or_else(|| x_api_key.map(str::trim).filter(given))
    }

    /// The name of whose key that is, if anybody's, now.
    pub fn identify(&self, presented: &str) -> Option<&str> {
        let holder = self.holder(presented, Timestamp::now());
        holder.map(|caller| caller.name.as_str())
    }

    /// Whose key that is at a moment, if anybody's. It takes as long for a key that is nearly right as for any other, and
    /// as long for one that has expired.
    pub fn holder(&self, presented: &str, at: Timestamp) -> Option<&Caller> {
        let presented = Sha256::digest(presented);
        let mut holder = None;
        for key in &self.keys {
            let same: Choice = key.digest[..].ct_eq(&presented[..]);
            let open = key.expires.is_none_or(|expires| at < expires);
            if (same & Choice::from(u8::from(open))).into() {
                holder = Some(key.holder);
            }
        }
        holder.map(|holder| &self.callers[holder])
    }
}

/// A key's digest, and when it expires.
fn read_key(caller: &str, key: &Value) -> Result<([u8; 32], Option<Timestamp>), String> {
    let (text, expires) = match key {
        Value::Object(fields) => {
            let expires = match fields.get("expires").map(Value::as_str) {
                None => None,
                Some(text) => Some(text.and_then(moment).ok_or_else(|| {
                    format!(
                        "has a key for its caller `{caller}` whose `expires` is no moment such as \
                         `2026-12-31T00:00:00Z`"
                    )
                })?),
            };
            (fields.get("key").and_then(Value::as_str), expires)
        }
        other => (other.as_str(), None),
    };
    let text = text
        .filter(|text| !text.is_empty())
        .ok_or_else(|| format!("has no key for its caller `{caller}`"))?;
    let Some(digits) = text.strip_prefix("sha256:") else {
        return Ok((Sha256::digest(text).into(), expires));
    };
    let mut digest = [0; 32];
    hex::decode_to_slice(digits, &mut digest).map_err(|_| {
        format!(
            "has a key for its caller `{caller}` that begins with `sha256:` and does not go on with 64 hexadecimal \
             digits"
        )
    })?;
    Ok((digest, expires))
}

/// A moment, or the beginning of a day in UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let day = || format!("{text}T00:00:00Z").parse().ok();
    text.parse().ok().or_else(day)
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let callers = self.callers.iter().map(|caller| &caller.name);
        formatter.debug_set().entries(callers).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearers_key_goes_before_the_one_that_meters() {
        assert_eq!(
            Keyring::presented(Some("bearer  k "), Some("meter")),
            Some("k")
        );
        assert_eq!(
            Keyring::presented(Some("Basic abc"), Some(" k ")),
            Some("k")
        );
        assert_eq!(Keyring::presented(Some("Bearer "), None), None);
        assert_eq!(Keyring::presented(None, Some(" ")), None);
    }

    #[test]
    fn knows_plain_and_digested_keys() {
        let digest = hex::encode(Sha256::digest("key-of-the-dashboard"));
        let text = format!(r#"{{"adf": "key-of-adf", "dashboard": "sha256:{digest}"}}"#);
        let keyring = Keyring::from_secret(&Secret::new("millrace/consumers", &text)).unwrap();
        assert_eq!(keyring.identify("key-of-adf"), Some("adf"));
        assert_eq!(keyring.identify("key-of-the-dashboard"), Some("dashboard"));
        for wrong in ["", "key-of-ad", "adf", &digest, &format!("sha256:{digest}")] {
            assert_eq!(keyring.identify(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{keyring:?}"), r#"{"adf", "dashboard"}"#);
    }

    #[test]
    fn a_caller_may_have_several_keys_that_expire() {
        let text = r#"{"shop": ["first", {"key": "second", "expires": "2026-12-01"}],
            "partner": {"keys": "third", "scopes": ["a", "b"], "claims": {"tenant": "acme"}}}"#;
        let keyring = Keyring::from_secret(&Secret::new("k", text)).unwrap();
        let at = |moment: &str, key| {
            let caller = keyring.holder(key, moment.parse().unwrap());
            caller.map(|caller| caller.name.as_str())
        };
        assert_eq!(at("2026-11-30T23:59:59Z", "first"), Some("shop"));
        assert_eq!(at("2026-11-30T23:59:59Z", "second"), Some("shop"));
        assert_eq!(at("2026-12-01T00:00:00Z", "second"), None);
        assert_eq!(at("2026-12-01T00:00:00Z", "first"), Some("shop"));
        let partner = keyring.holder("third", Timestamp::now()).unwrap();
        assert_eq!(partner.scopes, ["a", "b"]);
        assert_eq!(partner.claims["tenant"], "acme");
    }

    #[test]
    fn refuses_what_is_not_a_keyring_without_showing_it() {
        for (text, problem) in [
            ("hunter2", "is not a JSON object of caller → key"),
            (r#"{"adf": ""}"#, "has no key for its caller `adf`"),
            (r#"{"adf": 2}"#, "has no key for its caller `adf`"),
            (
                r#"{"adf": {"key": "hunter2", "expires": "soon"}}"#,
                "`expires`",
            ),
            (
                r#"{"adf": {"keys": ["hunter2"], "scope": "a"}}"#,
                "`scopes`",
            ),
            (r#"{"adf": "sha256:hunter2"}"#, "`sha256:`"),
        ] {
            let error = Keyring::from_secret(&Secret::new("k", text)).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
