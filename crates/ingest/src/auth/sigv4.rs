//! AWS Signature Version 4, in the `Authorization` header.

use super::credential::{Credential, Form, sensitive};
use super::hmac::host;
use super::values;
use http::{HeaderName, header};
use millrace_model::Failure;
use millrace_store::secrets::Secret;
use reqwest::Request;
use ring::hmac::{self, HMAC_SHA256};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};
use url::Url;

/// What signs requests.
#[derive(PartialEq, Eq)]
pub(super) struct Signer {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    region: String,
    service: String,
}

pub(super) fn credential(
    region: &str,
    service: &str,
    secret: &Secret,
) -> Result<Credential, Failure> {
    let field = |name| Ok::<_, Failure>(secret.field(Some(name))?.text().to_owned());
    let has_session = serde_json::from_str::<serde_json::Value>(secret.text())
        .is_ok_and(|fields| fields.get("session_token").is_some());
    let signer = Signer {
        access_key_id: field("access_key_id")?,
        secret_access_key: field("secret_access_key")?,
        session_token: if has_session {
            Some(field("session_token")?)
        } else {
            None
        },
        region: region.to_owned(),
        service: service.to_owned(),
    };
    Ok(Credential::new(Form::Sigv4(signer), values::texts(secret)))
}

impl Signer {
    /// Signs a request that is otherwise complete.
    pub(super) fn sign(&self, request: &mut Request, now: SystemTime) -> Result<(), Failure> {
        // What is signed is what is sent: `+` for a space would be read as a plus.
        let query = canonical_query(request.url());
        let sent = (!query.is_empty()).then_some(query.as_str());
        request.url_mut().set_query(sent);

        let time = compact(now);
        let body = request
            .body()
            .and_then(|body| body.as_bytes())
            .unwrap_or_default();
        let body_hash = hex::encode(Sha256::digest(body));
        let mut signed = vec![("host", host(request.url())), ("x-amz-date", time.clone())];
        if self.service == "s3" {
            signed.push(("x-amz-content-sha256", body_hash.clone()));
        }
        if let Some(token) = &self.session_token {
            signed.push(("x-amz-security-token", token.clone()));
        }
        signed.sort_unstable();

        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let mut canonical = format!(
            "{}\n{}\n{query}\n",
            request.method(),
            canonical_path(request.url(), self.service != "s3")
        );
        for (name, value) in &signed {
            // Writing into a text cannot fail.
            let _ = writeln!(canonical, "{name}:{}", value.trim());
        }
        let _ = write!(canonical, "\n{names}\n{body_hash}");

        let scope = format!(
            "{}/{}/{}/aws4_request",
            &time[..8],
            self.region,
            self.service
        );
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
            hex::encode(Sha256::digest(canonical))
        );
        let signature = hex::encode(mac(&self.key(&time[..8]), to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key_id
        );
        let headers = request.headers_mut();
        for (name, value) in signed.into_iter().filter(|(name, _)| *name != "host") {
            headers.insert(HeaderName::from_static(name), sensitive(&value)?);
        }
        headers.insert(header::AUTHORIZATION, sensitive(&authorization)?);
        Ok(())
    }

    fn key(&self, day: &str) -> Vec<u8> {
        let first = format!("AWS4{}", self.secret_access_key).into_bytes();
        [day, &self.region, &self.service, "aws4_request"]
            .into_iter()
            .fold(first, |key, part| mac(&key, part.as_bytes()))
    }
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(HMAC_SHA256, key), message)
        .as_ref()
        .to_vec()
}

/// `20180207T031500Z`.
fn compact(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = jiff::Timestamp::from_second(seconds as i64).unwrap_or_default();
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The path as it is signed: all services but S3 encode what stands in the request once more.
fn canonical_path(url: &Url, encodes_twice: bool) -> String {
    if encodes_twice {
        url.path()
            .split('/')
            .map(encoded)
            .collect::<Vec<_>>()
            .join("/")
    } else {
        url.path().to_owned()
    }
}

fn canonical_query(url: &Url) -> String {
    let mut pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// Everything but letters, digits and `-._~` as `%XX`.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a text cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What AWS publishes as its test suite.
    #[test]
    fn signs_as_aws_does() {
        let secret = Secret::new(
            "aws",
            r#"{"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}"#,
        );
        // 2015-08-30T12:36:00Z
        let now = UNIX_EPOCH + Duration::from_mins(24_015_636);
        for (url, expected) in [
            (
                "https://example.amazonaws.com/",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "https://example.amazonaws.com/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            let credential = credential("us-east-1", "service", &secret).unwrap();
            let mut request = reqwest::Client::new().get(url).build().unwrap();
            let Form::Sigv4(signer) = credential.form() else {
                panic!("another form");
            };
            signer.sign(&mut request, now).unwrap();
            assert_eq!(
                request.headers()["authorization"],
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature={expected}"
                ),
                "{url}"
            );
        }
    }
}
