//! Each kind opens the source, and is nowhere in the lake.

use super::server::{Answer, Call, ITEMS, PAGES, Place, granted, items, refused, serve};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    RsaKeyPair, UnparsedPublicKey,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const RSA: &str = include_str!("../keys/rsa.pem");
const P256: &str = include_str!("../keys/p256.pem");

/// What must be seen nowhere: each secret and token of these tests has it in it.
const HIDDEN: &str = "hunter";

/// Pulls from a source whose `/items` asks for what `opens` says, and whose other paths `answer`.
async fn pull(
    auth: &str,
    secret: &str,
    opens: impl Fn(&Call) -> bool + Send + Sync + 'static,
    answer: impl Fn(&Call) -> Answer + Send + Sync + 'static,
) {
    let source = serve(move |call| match call.path.as_str() {
        "/items" if opens(call) => items(call),
        "/items" => refused(401, json!({ "error": "unauthorized" })),
        _ => answer(call),
    })
    .await;
    let place = Place::new(&source.url, auth, secret);
    place.pull(1).await;
    let everything = place.world.everything().await;
    assert!(
        !everything.contains(HIDDEN),
        "{auth}: a secret is in the lake"
    );
}

fn nothing(call: &Call) -> Answer {
    refused(404, json!({ "no such path": call.uri }))
}

#[tokio::test]
async fn a_key_in_a_cookie() {
    let opens = |call: &Call| call.header("cookie") == "sid=hunter2";
    pull(
        "api_key: { secret: SECRET, cookie: sid }",
        "hunter2",
        opens,
        nothing,
    )
    .await;
}

#[tokio::test]
async fn headers_of_a_template() {
    let auth = r#"headers: { secret: SECRET, set: { Authorization: 'Token token="{{ secret.token }}"', X-App: "{{secret.app}}" } }"#;
    let opens = |call: &Call| {
        call.header("authorization") == r#"Token token="hunter2""# && call.header("x-app") == "mill"
    };
    pull(
        auth,
        r#"{"token": "hunter2", "app": "mill"}"#,
        opens,
        nothing,
    )
    .await;
}

#[tokio::test]
async fn a_signature_with_a_shared_key() {
    let auth = r#"hmac:
    secret: SECRET
    message: "{{ timestamp }}\n{{ method }}\n{{ path_and_query }}\n{{ body_sha256 }}"
    headers: { X-Signature: "v1={{ signature }}", X-Timestamp: "{{ timestamp }}", X-Key: "{{ secret.id }}" }"#;
    let opens = |call: &Call| {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let message = format!(
            "{}\n{}\n{}\n{empty}",
            call.header("x-timestamp"),
            call.method,
            call.uri
        );
        let signature = hex::decode(&call.header("x-signature")[3..]).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"hunter2");
        call.header("x-key") == "mill" && hmac::verify(&key, message.as_bytes(), &signature).is_ok()
    };
    pull(auth, r#"{"key": "hunter2", "id": "mill"}"#, opens, nothing).await;

    let auth = r#"hmac:
    secret: SECRET
    algorithm: sha512
    key_encoding: base64
    encoding: base64
    message: "{{ nonce }}{{ url }}{{ date }}"
    headers: { X-Signature: "{{ signature }}", X-Nonce: "{{ nonce }}", Date: "{{ date }}" }"#;
    let opens = |call: &Call| {
        let url = format!("http://{}{}", call.header("host"), call.uri);
        let message = format!("{}{url}{}", call.header("x-nonce"), call.header("date"));
        let signature = STANDARD.decode(call.header("x-signature")).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA512, b"hunter2");
        hmac::verify(&key, message.as_bytes(), &signature).is_ok()
    };
    pull(auth, &STANDARD.encode("hunter2"), opens, nothing).await;
}

#[tokio::test]
async fn a_signature_of_aws() {
    let auth = "aws_sigv4: { secret: SECRET, region: eu-central-1, service: execute-api }";
    let secret = r#"{"access_key_id": "AKIAMILL", "secret_access_key": "hunter2", "session_token": "hunter3"}"#;
    // Whether the signature itself is right is compared with AWS's examples beside the code.
    let opens = |call: &Call| {
        let authorization = call.header("authorization");
        let day = &call.header("x-amz-date")[..8];
        authorization.starts_with(&format!(
            "AWS4-HMAC-SHA256 Credential=AKIAMILL/{day}/eu-central-1/execute-api/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-security-token, Signature="
        )) && call.header("x-amz-security-token") == "hunter3"
    };
    pull(auth, secret, opens, nothing).await;
}

#[tokio::test]
async fn client_credentials() {
    let secret = r#"{"client_id": "mill&race", "client_secret": "hunter 2"}"#;
    let opens = |call: &Call| call.bearer() == "hunter-token";
    let by_basic = |call: &Call| {
        let form = call.form();
        let is_sound = call.basic() == "mill%26race:hunter%202"
            && form["grant_type"] == "client_credentials"
            && form["scope"] == "read write"
            && form["audience"] == "https://api.example.com"
            && form["resource"] == "crm";
        token_if(is_sound)
    };
    let auth = "oauth2_client_credentials:
    token_url: URL/token
    secret: SECRET
    scope: read write
    audience: https://api.example.com
    params: { resource: crm }";
    pull(auth, secret, opens, by_basic).await;
    let by_body = |call: &Call| {
        let form = call.form();
        token_if(form["client_id"] == "mill&race" && form["client_secret"] == "hunter 2")
    };
    let auth =
        "oauth2_client_credentials: { token_url: URL/token, secret: SECRET, client_auth: body }";
    pull(auth, secret, opens, by_body).await;
}

fn token_if(is_sound: bool) -> Answer {
    if is_sound {
        granted(
            json!({ "access_token": "hunter-token", "token_type": "Bearer", "expires_in": "3600" }),
        )
    } else {
        refused(401, json!({ "error": "invalid_client" }))
    }
}

/// The claims of an assertion whose signature `verify` accepts.
fn claims(assertion: &str, kid: &str, verify: impl Fn(&[u8], &[u8]) -> bool) -> Option<Value> {
    let (message, signature) = assertion.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let header: Value = serde_json::from_slice(&decoded(header)).unwrap();
    let is_signed = header["kid"] == kid && verify(message.as_bytes(), &decoded(signature));
    is_signed.then(|| serde_json::from_slice(&decoded(claims)).unwrap())
}

#[tokio::test]
async fn an_assertion_that_a_private_key_has_signed() {
    let rsa = PrivatePkcs8KeyDer::from_pem_slice(RSA.as_bytes()).unwrap();
    let rsa = RsaKeyPair::from_pkcs8(rsa.secret_pkcs8_der()).unwrap();
    let rsa = UnparsedPublicKey::new(
        &signature::RSA_PKCS1_2048_8192_SHA256,
        rsa.public().as_ref().to_vec(),
    );
    let p256 = PrivatePkcs8KeyDer::from_pem_slice(P256.as_bytes()).unwrap();
    let p256 = EcdsaKeyPair::from_pkcs8(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        p256.secret_pkcs8_der(),
        &SystemRandom::new(),
    )
    .unwrap();
    let p256 = UnparsedPublicKey::new(
        &ECDSA_P256_SHA256_FIXED,
        p256.public_key().as_ref().to_vec(),
    );
    let of_a_service_account =
        json!({ "private_key": RSA, "client_email": "mill@example.com" }).to_string();
    for (algorithm, secret) in [
        ("RS256", RSA),
        ("RS256", &of_a_service_account),
        ("ES256", P256),
    ] {
        let (rsa, p256) = (rsa.clone(), p256.clone());
        let answer = move |call: &Call| {
            let form = call.form();
            assert_eq!(
                form["grant_type"],
                "urn:ietf:params:oauth:grant-type:jwt-bearer"
            );
            let claims = claims(
                &form["assertion"],
                "key-1",
                |message, signature| match algorithm {
                    "RS256" => rsa.verify(message, signature).is_ok(),
                    _ => p256.verify(message, signature).is_ok(),
                },
            );
            let claims = claims.expect("a signed assertion");
            let now = jiff::Timestamp::now().as_second();
            let (from, to) = (
                claims["iat"].as_i64().unwrap(),
                claims["exp"].as_i64().unwrap(),
            );
            token_if(
                claims["iss"] == "mill"
                    && claims["sub"] == "ann"
                    && claims["aud"] == "https://login.example.com"
                    && claims["scope"] == "read"
                    && claims["tenant"] == json!({ "id": 7 })
                    && from < now
                    && now + 200 < to
                    && to <= from + 300,
            )
        };
        let auth = format!(
            "jwt_bearer:
    token_url: URL/token
    secret: SECRET
    algorithm: {algorithm}
    key_id: key-1
    issuer: mill
    subject: ann
    audience: https://login.example.com
    scope: read
    claims: {{ tenant: {{ id: 7 }} }}"
        );
        pull(
            &auth,
            secret,
            |call| call.bearer() == "hunter-token",
            answer,
        )
        .await;
    }
}

#[tokio::test]
async fn a_session_of_a_login() {
    let secret = r#"{"user": "ann", "password": "hunter2"}"#;
    let json_login = |call: &Call| {
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        if body == json!({ "auth": { "user": "ann", "password": "hunter2" }, "days": 1 }) {
            granted(json!({ "data": { "token": "hunter-session" } }))
        } else {
            refused(403, Value::Null)
        }
    };
    let auth = r#"session:
    secret: SECRET
    login: { url: /login, json: { auth: { user: "{{ secret.user }}", password: "{{ secret.password }}" }, days: 1 } }
    token: { path: data.token }
    send: { header: X-Session, value: "Session {{ token }}" }"#;
    let opens = |call: &Call| call.header("x-session") == "Session hunter-session";
    pull(auth, secret, opens, json_login).await;

    let form_login = |call: &Call| {
        let is_sound = call.form()["pw"] == "hunter2";
        let cookie = vec![(
            "set-cookie",
            "sid=hunter-session; Path=/; HttpOnly".to_owned(),
        )];
        if is_sound {
            Answer(302, cookie, Value::Null)
        } else {
            refused(403, Value::Null)
        }
    };
    let auth = r#"session:
    secret: SECRET
    login: { url: URL/login, form: { pw: "{{ secret.password }}" } }
    token: { cookie: sid }"#;
    pull(
        auth,
        secret,
        |call| call.header("cookie") == "sid=hunter-session",
        form_login,
    )
    .await;

    let header_login = |_: &Call| {
        Answer(
            200,
            vec![("x-token", "hunter-session".to_owned())],
            Value::Null,
        )
    };
    let auth = "session:
    secret: SECRET
    login: { url: /login, form: {} }
    token: { header: X-Token }";
    pull(
        auth,
        secret,
        |call| call.bearer() == "hunter-session",
        header_login,
    )
    .await;
}

#[tokio::test]
async fn several_credentials_are_used_in_turn() {
    let uses: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let seen = Arc::clone(&uses);
    let opens = move |call: &Call| {
        let key = format!(
            "{}{}",
            call.bearer(),
            call.query.get("key").map_or("", String::as_str)
        );
        *seen.lock().unwrap().entry(key.clone()).or_default() += 1;
        ["hunter1", "hunter2", "hunter3"].contains(&key.as_str())
    };
    let auth = "in_turn:
    - bearer: { secret: \"SECRET#a\" }
    - bearer: { secret: \"SECRET#b\" }
    - api_key: { secret: \"SECRET#c\", query: key }";
    pull(
        auth,
        r#"{"a": "hunter1", "b": "hunter2", "c": "hunter3"}"#,
        opens,
        nothing,
    )
    .await;
    let uses = uses.lock().unwrap();
    assert_eq!(uses.len(), 3);
    assert!(
        uses.values().all(|count| *count >= PAGES / 3),
        "{uses:?} of {} items",
        PAGES * ITEMS
    );
}

#[tokio::test]
async fn each_of_several_credentials_has_a_limit_of_its_own() {
    const MOST: usize = 3;
    const SPAN: Duration = Duration::from_secs(1);
    let uses: Arc<Mutex<BTreeMap<String, Vec<Instant>>>> = Arc::default();
    let seen = Arc::clone(&uses);
    let source = serve(move |call| {
        let mut seen = seen.lock().unwrap();
        seen.entry(call.bearer().to_owned())
            .or_default()
            .push(Instant::now());
        items(call)
    })
    .await;
    let auth = "in_turn:
    - bearer: { secret: \"SECRET#a\" }
    - bearer: { secret: \"SECRET#b\" }";
    let mut place = Place::new(&source.url, auth, r#"{"a": "hunter1", "b": "hunter2"}"#);
    place.world = place.world.rate_limit(MOST as u32, SPAN);
    let began = Instant::now();
    place.pull(1).await;
    let took = began.elapsed();
    let uses = uses.lock().unwrap();
    assert_eq!(uses.len(), 2);
    for arrivals in uses.values() {
        for most in arrivals.windows(MOST + 1) {
            assert!(most[MOST] - most[0] >= SPAN, "{uses:?}");
        }
    }
    let requests: usize = uses.values().map(Vec::len).sum();
    let alone = SPAN * ((requests - 1) / MOST) as u32;
    assert!(
        took < alone,
        "{requests} requests took {took:?}, one credential's limit allows {alone:?}"
    );
}
