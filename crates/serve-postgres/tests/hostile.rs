//! Callers who mean harm: with tokens and cursors that are not theirs, headers that say two things, and too much of all.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::Place;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const ISSUER: &str = "https://login.example.org/";

/// Whoever signs tokens.
struct Signer {
    pair: EcdsaKeyPair,
    document: Vec<u8>,
    random: SystemRandom,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let signing = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(signing, &random).unwrap();
        let document = document.as_ref().to_vec();
        Self {
            pair: EcdsaKeyPair::from_pkcs8(signing, &document, &random).unwrap(),
            document,
            random,
        }
    }

    /// The public key as a set has it.
    fn key(&self, id: &str) -> Value {
        let point = self.pair.public_key().as_ref();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": part(&point[1..33]), "y": part(&point[33..]) })
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&self.random, message).unwrap();
        signature.as_ref().to_vec()
    }

    /// The same signature in the other encoding that there is.
    fn sign_as_der(&self, message: &[u8]) -> Vec<u8> {
        let signing = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(signing, &self.document, &self.random).unwrap();
        pair.sign(&self.random, message).unwrap().as_ref().to_vec()
    }

    /// A token of these claims.
    fn token(&self, claims: &Value) -> String {
        token(&json!({ "alg": "ES256", "kid": "k" }), claims, |message| {
            self.sign(message)
        })
    }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// What a good token says of Ada, with changes; null takes a claim away.
fn claims(change: &Value) -> Value {
    let now = jiff::Timestamp::now().as_second();
    let mut claims = json!({
        "iss": ISSUER, "aud": "people", "sub": "ada", "exp": now + 600, "nbf": now - 5, "scope": "people:read pii",
        "tenant": "even",
    });
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// A place that answers everybody with the same document, and counts how often.
async fn document(body: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let mut request = [0; 4096];
            let Ok(1..) = stream.read(&mut request).await else {
                continue;
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    (url, asked)
}

/// Rows of two tenants, for callers with tokens.
async fn tenants(jwks: &str) -> Place {
    let place = Place::new().await;
    let rows = "
        CREATE TABLE s.people (id bigint PRIMARY KEY, name text, email text, tenant text);
        INSERT INTO s.people SELECT n, 'name ' || n, n || '@example.org', CASE WHEN n % 2 = 0 THEN 'even' ELSE 'odd' END
        FROM generate_series(1, 20) AS n;";
    place.client.batch_execute(rows).await.unwrap();
    let auth = format!(
        "    auth: {{ jwt: {{ issuer: \"{ISSUER}\", audience: people, jwks: \"{jwks}\", algorithm: ES256 }} }}\n    \
         scopes: [people:read]\n    mask: {{ email: pii }}\n"
    );
    let claim = "{ name: tenant, type: string, claim: tenant }";
    let query = "SELECT id, name, email FROM s.people WHERE tenant = :tenant ORDER BY name";
    for name in ["own", "other"] {
        let more = format!("    params: [{claim}]\n{auth}");
        place.route(name, &format!("/{name}"), query, &more).await;
    }
    let more = format!("    params: [{claim}, {{ name: least, type: int, default: 1 }}]\n{auth}");
    let query =
        "SELECT id, email FROM s.people WHERE tenant = :tenant AND id >= :least ORDER BY id";
    place.route("by", "/by", query, &more).await;
    place
}

async fn ask(place: &Place, uri: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    place.send(request.body(Bytes::new()).unwrap()).await
}

async fn with_token(place: &Place, uri: &str, token: &str) -> Response<Bytes> {
    ask(place, uri, &[("authorization", &format!("Bearer {token}"))]).await
}

fn json_of(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

/// An answer that refuses: a problem, and nothing that is nobody's business.
fn refuses(response: &Response<Bytes>, status: u16, what: &str) {
    let text = String::from_utf8_lossy(response.body()).into_owned();
    let what = &what[..what.len().min(80)];
    assert_eq!(response.status(), status, "{what}: {text}");
    let body = json_of(response);
    assert_eq!(body["data"], json!([]), "{what}");
    assert_eq!(body["error"][0]["status"], status, "{what}");
    for secret in [
        "s.people",
        "SELECT",
        "select",
        "example.org",
        "127.0.0.1",
        "ostgre",
        "key-of",
        ".rs:",
        "panicked",
    ] {
        assert!(!text.contains(secret), "{what}: {text}");
    }
    assert_eq!(response.headers()["cache-control"], "no-store", "{what}");
}

#[tokio::test]
async fn tokens_that_are_not_right_are_refused_alike() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let symmetric = URL_SAFE_NO_PAD.encode("a secret of the issuer's");
    let set = json!({ "keys": [
        signer.key("k"), { "kty": "oct", "kid": "o", "k": symmetric, "alg": "HS256" }, { "kty": "EC", "kid": "cut" },
    ] });
    let (jwks, _) = document(set.to_string()).await;
    let (strangers, fetched) = document(json!({ "keys": [stranger.key("k")] }).to_string()).await;
    let place = tenants(&jwks).await;
    let now = jiff::Timestamp::now().as_second();

    let good = signer.token(&claims(&json!({})));
    let rows = json_of(&with_token(&place, "/own", &good).await);
    assert_eq!(rows["data"].as_array().unwrap().len(), 10, "{rows}");
    assert_eq!(rows["data"][0]["email"], "10@example.org");

    let mac = |key: Vec<u8>| {
        move |message: &[u8]| {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
            ring::hmac::sign(&key, message).as_ref().to_vec()
        }
    };
    let all = claims(&json!({}));
    let public = signer.key("k");
    let header = |change: Value| {
        let mut header = json!({ "alg": "ES256", "kid": "k" });
        for (name, value) in change.as_object().unwrap() {
            header[name] = value.clone();
        }
        header
    };
    let of_stranger = |message: &[u8]| stranger.sign(message);
    let own = |message: &[u8]| signer.sign(message);
    let mut hostile: Vec<(&str, String)> = vec![
        (
            "none",
            token(&header(json!({ "alg": "none" })), &all, |_| Vec::new()),
        ),
        ("nOnE", token(&header(json!({ "alg": "nOnE" })), &all, own)),
        ("no algorithm", token(&json!({ "kid": "k" }), &all, own)),
        (
            "the public key as a MAC's",
            token(
                &header(json!({ "alg": "HS256" })),
                &all,
                mac(public.to_string().into_bytes()),
            ),
        ),
        (
            "its point as a MAC's",
            token(
                &header(json!({ "alg": "HS256" })),
                &all,
                mac(signer.pair.public_key().as_ref().to_vec()),
            ),
        ),
        (
            "under the route's algorithm",
            token(
                &header(json!({})),
                &all,
                mac(public["x"].as_str().unwrap().into()),
            ),
        ),
        (
            "a symmetric key of the set",
            token(
                &json!({ "alg": "HS256", "kid": "o" }),
                &all,
                mac(b"a secret of the issuer's".to_vec()),
            ),
        ),
        (
            "the same, with the route's algorithm",
            token(&json!({ "alg": "ES256", "kid": "o" }), &all, own),
        ),
        (
            "RS256",
            token(&header(json!({ "alg": "RS256" })), &all, own),
        ),
        (
            "ES384",
            token(&header(json!({ "alg": "ES384" })), &all, own),
        ),
        (
            "a stranger's signature",
            token(&header(json!({})), &all, of_stranger),
        ),
        (
            "a key that it brings along",
            token(
                &header(json!({ "jwk": stranger.key("k") })),
                &all,
                of_stranger,
            ),
        ),
        (
            "a place of keys that it names",
            token(
                &header(json!({ "jku": strangers, "x5u": strangers })),
                &all,
                of_stranger,
            ),
        ),
        (
            "a path as its key's name",
            token(&header(json!({ "kid": "../../../dev/null" })), &all, |_| {
                Vec::new()
            }),
        ),
        (
            "SQL as its key's name",
            token(&header(json!({ "kid": "k' OR '1'='1" })), &all, own),
        ),
        (
            "what must be understood and is not",
            token(&header(json!({ "crit": ["b64"], "b64": false })), &all, own),
        ),
        (
            "no signature",
            token(&header(json!({})), &all, |_| Vec::new()),
        ),
        ("zeros", token(&header(json!({})), &all, |_| vec![0; 64])),
        (
            "the other encoding",
            token(&header(json!({})), &all, |message| {
                signer.sign_as_der(message)
            }),
        ),
        ("nothing", ".".to_owned()),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned()),
        ("five parts", format!("{good}.a.b")),
        ("padding", format!("{good}=")),
        ("two tokens", format!("{good}, Bearer {good}")),
        (
            "depth",
            format!(
                "{}.{}.x",
                encoded(&header(json!({}))),
                URL_SAFE_NO_PAD.encode("[".repeat(5000))
            ),
        ),
        ("length", format!("{good}{}", "A".repeat(9000))),
    ];
    for (name, change) in [
        ("expired", json!({ "exp": now - 61 })),
        ("no expiry", json!({ "exp": null })),
        ("an expiry as text", json!({ "exp": "9999999999" })),
        ("not yet", json!({ "nbf": now + 300 })),
        ("for others", json!({ "aud": "peoples" })),
        ("for a list of others", json!({ "aud": ["a", "b"] })),
        ("for nobody", json!({ "aud": null })),
        (
            "of another issuer",
            json!({ "iss": "https://login.example.org.evil.net/" }),
        ),
        ("of no issuer", json!({ "iss": null })),
        ("of nobody", json!({ "sub": null })),
    ] {
        hostile.push((name, signer.token(&claims(&change))));
    }
    let said = token(
        &header(json!({})),
        &claims(&json!({ "tenant": "odd" })),
        own,
    );
    let parts: Vec<&str> = good.split('.').collect();
    let swapped = format!(
        "{}.{}.{}",
        parts[0],
        said.split('.').nth(1).unwrap(),
        parts[2]
    );
    hostile.push(("claims under another's signature", swapped));

    let mut bodies = BTreeSet::new();
    for (name, token) in &hostile {
        let response = with_token(&place, "/own", token).await;
        refuses(&response, 401, name);
        if *name != "length" {
            bodies.insert(response.body().clone());
        }
        assert!(
            response.headers().contains_key("www-authenticate"),
            "{name}"
        );
    }
    assert_eq!(
        bodies.len(),
        1,
        "which part is wrong is not told: {bodies:?}"
    );
    assert_eq!(
        fetched.load(Ordering::Relaxed),
        0,
        "no token says whose keys count"
    );

    // Right tokens of people who may not.
    for change in [
        json!({ "scope": "people:write" }),
        json!({ "scope": "people:read2" }),
        json!({ "scope": null }),
        json!({ "tenant": null }),
        json!({ "tenant": ["even", "odd"] }),
        json!({ "tenant": { "$ne": "" } }),
    ] {
        let response = with_token(&place, "/own", &signer.token(&claims(&change))).await;
        refuses(&response, 403, &change.to_string());
    }
    let injected = signer.token(&claims(&json!({ "tenant": "even' OR '1'='1" })));
    assert_eq!(
        json_of(&with_token(&place, "/own", &injected).await)["data"],
        json!([])
    );
    let without = signer.token(&claims(&json!({ "scope": "people:read" })));
    let masked = json_of(&with_token(&place, "/own", &without).await);
    assert!(!masked.to_string().contains("example.org"), "{masked}");
}

#[tokio::test]
async fn cursors_are_nobody_elses() {
    let signer = Signer::new();
    let (jwks, _) = document(json!({ "keys": [signer.key("k")] }).to_string()).await;
    let place = tenants(&jwks).await;
    let ada = signer.token(&claims(&json!({})));
    let bob = signer.token(&claims(&json!({ "sub": "bob" })));
    let odd = signer.token(&claims(&json!({ "tenant": "odd" })));
    let masked = signer.token(&claims(&json!({ "scope": "people:read" })));
    let next = async |uri: &str, token: &str| {
        let page = json_of(&with_token(&place, uri, token).await);
        page["page"]["next"].as_str().unwrap().to_owned()
    };
    let cursor = next("/own?limit=3", &ada).await;
    let on = format!("/own?limit=3&cursor={cursor}");
    assert_eq!(with_token(&place, &on, &ada).await.status(), 200);
    let fresh = signer.token(&claims(&json!({ "iat": 7 })));
    assert_eq!(
        with_token(&place, &on, &fresh).await.status(),
        200,
        "a token that was renewed goes on"
    );

    let mut bodies = BTreeSet::new();
    let mut refused = async |uri: &str, token: &str| {
        let response = with_token(&place, uri, token).await;
        refuses(&response, 400, uri);
        bodies.insert(response.body().clone());
    };
    for other in [&bob, &odd, &masked] {
        refused(&on, other).await;
    }
    refused(&format!("/other?limit=3&cursor={cursor}"), &ada).await;
    let by = next("/by?limit=3&least=2", &ada).await;
    refused(&format!("/by?limit=3&least=4&cursor={by}"), &ada).await;
    refused(&format!("/by?limit=3&cursor={by}"), &ada).await;
    let bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 1 << (at % 8);
        let forged = URL_SAFE_NO_PAD.encode(forged);
        refused(&format!("/own?limit=3&cursor={forged}"), &ada).await;
    }
    for made_up in [
        "",
        "AA",
        "%00",
        &"A".repeat(4000),
        &"A".repeat(5000),
        "'%20OR%201=1--",
    ] {
        let uri = format!("/own?cursor={made_up}");
        let response = with_token(&place, &uri, &ada).await;
        refuses(&response, 400, &uri);
    }
    assert_eq!(bodies.len(), 1, "why is not told: {bodies:?}");
}

#[tokio::test]
async fn headers_that_say_who_somebody_is_say_nothing() {
    let signer = Signer::new();
    let (jwks, _) = document(json!({ "keys": [signer.key("k")] }).to_string()).await;
    let place = tenants(&jwks).await;
    let good = format!("Bearer {}", signer.token(&claims(&json!({}))));
    let bob = format!(
        "Bearer {}",
        signer.token(&claims(&json!({ "tenant": "odd" })))
    );

    for (name, value) in [
        ("x-forwarded-user", "ada"),
        ("x-amzn-oidc-identity", "ada"),
        ("x-consumer-username", "ada"),
        ("x-original-url", "/openapi.json"),
        ("x-rewrite-url", "/openapi.json"),
        ("x-http-method-override", "OPTIONS"),
        ("x_api_key", "key"),
        ("proxy-authorization", good.as_str()),
        ("cookie", "authorization=Bearer"),
        ("authorization", "Basic YWRhOmFkYQ=="),
        ("authorization", "Bearer"),
        ("authorization", "Bearer  "),
    ] {
        let response = ask(&place, "/own", &[(name, value)]).await;
        refuses(&response, 401, name);
    }
    for twice in [[&good, &bob], [&bob, &good], [&good, &good]] {
        let headers = twice.map(|value| ("authorization", value.as_str()));
        refuses(&ask(&place, "/own", &headers).await, 400, "twice");
    }
    let claimed = [
        ("authorization", bob.as_str()),
        ("tenant", "even"),
        ("x-tenant", "even"),
    ];
    let rows = json_of(&ask(&place, "/own", &claimed).await);
    assert!(
        rows["data"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["id"].as_i64().unwrap() % 2 == 1)
    );
    for uri in [
        "/own?tenant=even",
        "/own?Tenant=even",
        "/own?tenant%00=even",
        "/by?least=1&least=2",
        "/by?least[]=1",
    ] {
        refuses(
            &ask(&place, uri, &[("authorization", &bob)]).await,
            400,
            uri,
        );
    }
}

#[tokio::test]
async fn too_much_of_anything_is_refused_at_once() {
    let place = Place::new().await;
    place
        .client
        .batch_execute("CREATE TABLE s.people AS SELECT 1::bigint AS id, 'x' AS name")
        .await
        .unwrap();
    let more = "    params: [{ name: name, type: string }, { name: ids, type: int, list: true }, \
                { name: code, type: string, pattern: \"(a|aa)+b\" }, { name: price, type: decimal }]\n";
    let query = "SELECT id, name FROM s.people WHERE (:name IS NULL OR name = :name) AND (:ids IS NULL OR id = ANY(:ids)) \
                 AND (:code IS NULL OR name = :code) AND (:price IS NULL OR id > :price) ORDER BY id";
    place.route("open", "/open", query, more).await;
    let locked = "    auth: { secret_path: aws::secret/millrace/consumers }\n";
    place
        .route(
            "locked",
            "/locked",
            "SELECT id FROM s.people ORDER BY id",
            locked,
        )
        .await;
    assert_eq!(place.get("/open").await.0, 200);

    let long = "x".repeat(60_000);
    for (uri, status) in [
        (format!("/open?name={}", "x".repeat(2001)), 400),
        (format!("/open?name={}", "%C3%A4".repeat(2001)), 400),
        (format!("/open?{long}=1"), 400),
        (format!("/open?ids={}", vec!["1"; 101].join(",")), 400),
        (format!("/open?ids={}", ",".repeat(50_000)), 400),
        (format!("/open?{}", "name=x&".repeat(9_000)), 400),
        (
            format!(
                "/open?{}",
                (0..7_000)
                    .map(|n| format!("a{n}=1&"))
                    .collect::<Vec<_>>()
                    .concat()
            ),
            400,
        ),
        // What makes a regular expression that backtracks take for ever.
        (format!("/open?code={}", "a".repeat(1_900)), 400),
        (format!("/open?price={}", "9".repeat(1_900)), 400),
        ("/open?price=1e999999999".to_owned(), 400),
        ("/open?price=1e-999999999".to_owned(), 400),
        ("/open?limit=99999999999999999999".to_owned(), 400),
        ("/open?ids=9223372036854775808".to_owned(), 400),
        (format!("/{long}"), 404),
        (format!("/open{}", "/".repeat(50_000)), 404),
    ] {
        let began = Instant::now();
        let response = ask(&place, &uri, &[]).await;
        refuses(&response, status, &uri);
        assert!(
            response.body().len() < 2_000,
            "what was sent does not come back whole"
        );
        assert!(
            began.elapsed() < Duration::from_millis(500),
            "{}",
            &uri[..40]
        );
    }
    for (name, value, status) in [
        ("x-api-key", long.clone(), 401),
        ("authorization", format!("Bearer {long}"), 401),
    ] {
        refuses(
            &ask(&place, "/locked", &[(name, &value)]).await,
            status,
            name,
        );
    }
    for (name, value) in [
        ("accept", "a/b;q=0.1,".repeat(6_000)),
        ("if-none-match", "\"x\",".repeat(9_000)),
        ("accept-encoding", "gzip;q=0,".repeat(6_000)),
    ] {
        let began = Instant::now();
        let status = ask(&place, "/open", &[(name, &value)])
            .await
            .status()
            .as_u16();
        assert!(matches!(status, 200 | 406), "{name}: {status}");
        assert!(began.elapsed() < Duration::from_millis(500), "{name}");
    }
    assert_eq!(place.get("/open").await.0, 200);
}
