//! Tokens that somebody else signed (JWT, RFC 7519), by the signer's published keys.
//!
//! How a token is signed is the route's to say and never the token's; issuer, audience and expiry must be there.

use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use millrace_model::definition::endpoint::{Algorithm, Jwt};
use millrace_store::secrets::Caller;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far the signer's clock may be from this one, in seconds.
const SKEW: i64 = 60;
/// How old the keys may be.
const FRESH: Duration = Duration::from_mins(10);
/// How soon they may be fetched again because a token names one that is not there.
const PAUSE: Duration = Duration::from_secs(30);
/// How long fetching them may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How large they may be, in bytes.
const LARGEST: usize = 256 * 1024;

/// The signers' keys.
#[derive(Debug, Default)]
pub struct Tokens {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    fetched: Instant,
    keys: Arc<Vec<Key>>,
}

/// A public key of a set (RFC 7517).
#[derive(Clone, Debug, Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// A token in its parts.
struct Token<'a> {
    header: Header,
    /// What is signed.
    message: &'a str,
    signature: Vec<u8>,
    claims: Map<String, Value>,
}

impl Tokens {
    /// Whose token that is, if the route takes it.
    pub async fn bearer(&self, jwt: &Jwt, presented: &str) -> Result<Caller, Problem> {
        let token = Token::parse(presented).ok_or_else(Problem::bad_token)?;
        if token.header.alg != name(jwt.algorithm) || token.header.crit.is_some() {
            return Err(Problem::bad_token());
        }
        let mut keys = self.keys(jwt, false).await?;
        if !keys.iter().any(|key| key.is_for(&token.header, jwt)) {
            // The signer may have changed its keys.
            keys = self.keys(jwt, true).await?;
        }
        let verified = keys
            .iter()
            .filter(|key| key.is_for(&token.header, jwt))
            .any(|key| key.verifies(jwt.algorithm, &token).is_some());
        if !verified {
            return Err(Problem::bad_token());
        }
        caller(jwt, token.claims, Timestamp::now().as_second()).ok_or_else(Problem::bad_token)
    }

    async fn keys(&self, jwt: &Jwt, again: bool) -> Result<Arc<Vec<Key>>, Problem> {
        let known = self.known().get(&jwt.jwks).cloned();
        let patience = if again { PAUSE } else { FRESH };
        if let Some(known) = &known
            && known.fetched.elapsed() < patience
        {
            return Ok(known.keys.clone());
        }
        let keys = match (fetch(&jwt.jwks).await, known) {
            (Ok(keys), _) => Arc::new(keys),
            // Keys that were right before are right while their place cannot be reached.
            (Err(error), Some(known)) => {
                tracing::error!(
                    jwks = jwt.jwks,
                    error,
                    "the signer's keys were not fetched again"
                );
                known.keys
            }
            (Err(error), None) => {
                tracing::error!(
                    jwks = jwt.jwks,
                    error,
                    "the signer's keys cannot be fetched"
                );
                return Err(Problem::unavailable());
            }
        };
        let known = Known {
            fetched: Instant::now(),
            keys: keys.clone(),
        };
        self.known().insert(jwt.jwks.clone(), known);
        Ok(keys)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(url: &str) -> Result<Vec<Key>, String> {
    let told = |error: reqwest::Error| error.without_url().to_string();
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(told)?;
    let mut response = client
        .get(url)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(told)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST {
            return Err(format!("they are larger than {LARGEST} bytes"));
        }
    }
    read_keys(&body).ok_or_else(|| "they are no JSON Web Key Set".to_owned())
}

/// The keys of a set. Of a kind that is not known here, they are passed over.
fn read_keys(body: &[u8]) -> Option<Vec<Key>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(body).ok()?;
    let keys = set.keys.into_iter();
    Some(
        keys.filter_map(|key| serde_json::from_value(key).ok())
            .collect(),
    )
}

impl<'a> Token<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        Some(Self {
            header: serde_json::from_slice(&decode(header)?).ok()?,
            message,
            signature: decode(signature)?,
            claims: serde_json::from_slice(&decode(claims)?).ok()?,
        })
    }
}

impl Key {
    /// Whether a token may have been signed with it.
    fn is_for(&self, header: &Header, jwt: &Jwt) -> bool {
        let kind = match jwt.algorithm {
            Algorithm::Rs256 => self.kty == "RSA",
            Algorithm::Es256 => self.kty == "EC" && self.crv.as_deref() == Some("P-256"),
            Algorithm::EdDsa => self.kty == "OKP" && self.crv.as_deref() == Some("Ed25519"),
        };
        let named = header.kid.is_none() || header.kid == self.kid;
        let signs = self
            .purpose
            .as_deref()
            .is_none_or(|purpose| purpose == "sig");
        let same = self
            .alg
            .as_deref()
            .is_none_or(|alg| alg == name(jwt.algorithm));
        kind && named && signs && same
    }

    fn verifies(&self, algorithm: Algorithm, token: &Token<'_>) -> Option<()> {
        let part = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let (message, signature) = (token.message.as_bytes(), token.signature.as_slice());
        match algorithm {
            Algorithm::Rs256 => RsaPublicKeyComponents {
                n: part(&self.n)?,
                e: part(&self.e)?,
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            Algorithm::Es256 => {
                let point = [&[4][..], &part(&self.x)?, &part(&self.y)?].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Algorithm::EdDsa => {
                UnparsedPublicKey::new(&ED25519, part(&self.x)?).verify(message, signature)
            }
        }
        .ok()
    }
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Rs256 => "RS256",
        Algorithm::Es256 => "ES256",
        Algorithm::EdDsa => "EdDSA",
    }
}

/// Who a token's claims say it is, where they are for this route, now.
fn caller(jwt: &Jwt, claims: Map<String, Value>, now: i64) -> Option<Caller> {
    let moment = |name: &str| match claims.get(name) {
        None => Some(None),
        Some(value) => value.as_f64().map(Some),
    };
    let audience = match claims.get("aud")? {
        Value::String(audience) => *audience == jwt.audience,
        Value::Array(audiences) => audiences.iter().any(|one| *one == jwt.audience.as_str()),
        _ => false,
    };
    let issued = claims.get("iss")?.as_str()? == jwt.issuer;
    let (skew, now) = (SKEW as f64, now as f64);
    let expired = moment("exp")?? + skew <= now;
    let early = moment("nbf")?.is_some_and(|begins| begins - skew > now);
    if !audience || !issued || expired || early {
        return None;
    }
    let name = claims.get("sub").and_then(Value::as_str)?.to_owned();
    let scopes = match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Value::String(scopes)) => scopes.split(' ').map(str::to_owned).collect(),
        Some(Value::Array(scopes)) => {
            let texts = scopes.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    Some(Caller {
        name,
        scopes,
        claims,
    })
}

#[cfg(test)]
mod tests;
