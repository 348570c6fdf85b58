//! Who holds which key: what a secret of callers' keys says, and whose key a presented one is.

use super::{Secret, SecretError};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// Callers and the digests of their keys.
#[derive(Clone)]
pub struct Keyring {
    callers: Vec<(String, [u8; 32])>,
}

impl Keyring {
    /// Reads a secret that holds a JSON object of caller → key, each key in plain text or as `sha256:` and its digest in
    /// hexadecimal.
    pub fn from_secret(secret: &Secret) -> Result<Self, SecretError> {
        let Ok(Value::Object(keys)) = serde_json::from_str(secret.text()) else {
            return Err(secret.malformed("is not a JSON object of caller → key"));
        };
        let mut callers = Vec::with_capacity(keys.len());
        for (caller, key) in keys {
            let key = key.as_str().filter(|key| !key.is_empty());
            let Some(key) = key else {
                return Err(secret.malformed(format!("has no key for its caller `{caller}`")));
            };
            let digest = match key.strip_prefix("sha256:") {
                None => Sha256::digest(key).into(),
                Some(digits) => {
                    let mut digest = [0; 32];
                    hex::decode_to_slice(digits, &mut digest).map_err(|_| {
                        let problem = format!(
                            "has a key for its caller `{caller}` that begins with `sha256:` and does not go on with \
                             64 hexadecimal digits"
                        );
                        secret.malformed(problem)
                    })?;
                    digest
                }
            };
            callers.push((caller, digest));
        }
        Ok(Self { callers })
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

    /// Whose key that is, if anybody's. It takes as long for a key that is nearly right as for any other.
    pub fn identify(&self, presented: &str) -> Option<&str> {
        let presented = Sha256::digest(presented);
        let mut holder = None;
        for (caller, digest) in &self.callers {
            let same: Choice = digest[..].ct_eq(&presented[..]);
            if same.into() {
                holder = Some(caller.as_str());
            }
        }
        holder
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let callers = self.callers.iter().map(|(caller, _)| caller);
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
    fn refuses_what_is_not_a_keyring_without_showing_it() {
        for (text, problem) in [
            ("hunter2", "is not a JSON object of caller → key"),
            (r#"{"adf": ""}"#, "has no key for its caller `adf`"),
            (r#"{"adf": 2}"#, "has no key for its caller `adf`"),
            (r#"{"adf": "sha256:hunter2"}"#, "`sha256:`"),
        ] {
            let error = Keyring::from_secret(&Secret::new("k", text)).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
