//! A signature with a key that both sides hold, over what the definition says.

use super::credential::{Credential, Form, header_name, sensitive};
use super::values;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_model::Failure;
use millrace_model::definition::auth::{Encoding, Hmac, HmacAlgorithm};
use millrace_store::secrets::Secret;
use reqwest::Request;
use ring::hmac;
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

/// What signs requests.
#[derive(PartialEq, Eq)]
pub(super) struct Signer {
    definition: Hmac,
    secret: Secret,
    key: Vec<u8>,
}

pub(super) fn credential(definition: &Hmac, secret: &Secret) -> Result<Credential, Failure> {
    let key = secret.resolve(&definition.secret, "key")?;
    let bytes = match definition.key_encoding {
        Encoding::Text => key.text().as_bytes().to_vec(),
        Encoding::Hex => {
            hex::decode(key.text()).map_err(|_| key.malformed("is not hexadecimal"))?
        }
        Encoding::Base64 => STANDARD
            .decode(key.text())
            .map_err(|_| key.malformed("is not Base64"))?,
    };
    let hidden = values::texts(secret);
    let signer = Signer {
        definition: definition.clone(),
        secret: secret.clone(),
        key: bytes,
    };
    Ok(Credential::new(Form::Hmac(signer), hidden))
}

impl Signer {
    /// Signs a request that is otherwise complete.
    pub(super) fn sign(&self, request: &mut Request, now: SystemTime) -> Result<(), Failure> {
        let nonce = format!("{:032x}", rand::random::<u128>());
        let about = About::of(request, now, nonce);
        let message = self
            .definition
            .message
            .fill(|name| self.value(&about, name))?;
        let signature = self.signature(message.as_bytes());
        let mut headers = Vec::with_capacity(self.definition.headers.len());
        for (name, template) in &self.definition.headers {
            let value = template.fill(|name| match name {
                "signature" => Ok(signature.clone()),
                name => self.value(&about, name),
            })?;
            headers.push((header_name(name)?, sensitive(&value)?));
        }
        request.headers_mut().extend(headers);
        Ok(())
    }

    fn value(&self, about: &About, name: &str) -> Result<String, Failure> {
        match about.value(name) {
            Some(value) => Ok(value),
            None => values::of_secret(&self.definition.secret, &self.secret, name),
        }
    }

    fn signature(&self, message: &[u8]) -> String {
        let algorithm = match self.definition.algorithm {
            HmacAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            HmacAlgorithm::Sha256 => hmac::HMAC_SHA256,
            HmacAlgorithm::Sha512 => hmac::HMAC_SHA512,
        };
        let tag = hmac::sign(&hmac::Key::new(algorithm, &self.key), message);
        match self.definition.encoding {
            Encoding::Base64 => STANDARD.encode(tag),
            Encoding::Hex | Encoding::Text => hex::encode(tag),
        }
    }
}

/// What a message may say of a request.
struct About {
    method: String,
    url: url::Url,
    body: Vec<u8>,
    now: SystemTime,
    nonce: String,
}

impl About {
    fn of(request: &Request, now: SystemTime, nonce: String) -> Self {
        let body = request.body().and_then(|body| body.as_bytes());
        Self {
            method: request.method().as_str().to_owned(),
            url: request.url().clone(),
            body: body.unwrap_or_default().to_vec(),
            now,
            nonce,
        }
    }

    fn value(&self, name: &str) -> Option<String> {
        let since = self.now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let url = &self.url;
        Some(match name {
            "method" => self.method.clone(),
            "url" => url.to_string(),
            "host" => host(url),
            "path" => url.path().to_owned(),
            "query" => url.query().unwrap_or_default().to_owned(),
            "path_and_query" => {
                url[url::Position::BeforePath..url::Position::AfterQuery].to_owned()
            }
            "body" => String::from_utf8_lossy(&self.body).into_owned(),
            "body_sha256" => hex::encode(Sha256::digest(&self.body)),
            "timestamp" => since.as_secs().to_string(),
            "timestamp_ms" => since.as_millis().to_string(),
            "date" => httpdate::fmt_http_date(self.now),
            "iso_date" => jiff::Timestamp::from_second(since.as_secs() as i64)
                .unwrap_or_default()
                .to_string(),
            "nonce" => self.nonce.clone(),
            _ => return None,
        })
    }
}

/// The host as the header of that name has it.
pub(super) fn host(url: &url::Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => String::new(),
    }
}
