//! Tokens of hostile callers.

use super::*;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::json;

const NOW: i64 = 1_800_000_000;

fn jwt(algorithm: Algorithm) -> Jwt {
    Jwt {
        issuer: "https://login.example.org/".into(),
        audience: "quakes".into(),
        jwks: "https://login.example.org/keys".into(),
        algorithm,
    }
}

fn claims(change: &Value) -> Map<String, Value> {
    let mut claims = json!({
        "iss": "https://login.example.org/", "aud": "quakes", "sub": "ada", "exp": NOW + 300, "scope": "a b",
        "tenant": "acme",
    });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object().unwrap().clone()
}

#[test]
fn claims_are_for_this_route_and_for_now() {
    let accepted = |change: Value| caller(&jwt(Algorithm::EdDsa), claims(&change), NOW);
    let ada = accepted(json!({})).unwrap();
    assert_eq!(
        (ada.name.as_str(), ada.scopes.as_slice()),
        ("ada", &["a".to_owned(), "b".to_owned()][..])
    );
    assert_eq!(ada.claims["tenant"], "acme");
    for fine in [
        json!({ "aud": ["other", "quakes"] }),
        json!({ "exp": NOW - 59 }),
        json!({ "nbf": NOW + 59 }),
        json!({ "scp": ["a"] }),
    ] {
        assert!(accepted(fine.clone()).is_some(), "{fine}");
    }
    for hostile in [
        json!({ "exp": NOW - 60 }),
        json!({ "exp": null }),
        json!({ "exp": "9999999999" }),
        json!({ "nbf": NOW + 61 }),
        json!({ "nbf": "0" }),
        json!({ "aud": "other" }),
        json!({ "aud": ["other"] }),
        json!({ "aud": { "quakes": true } }),
        json!({ "iss": "https://login.example.org" }),
        json!({ "iss": ["https://login.example.org/"] }),
        json!({ "sub": 7 }),
    ] {
        assert_eq!(accepted(hostile.clone()), None, "{hostile}");
    }
    for missing in ["exp", "aud", "iss", "sub"] {
        let mut claims = claims(&json!({}));
        claims.remove(missing);
        assert_eq!(
            caller(&jwt(Algorithm::EdDsa), claims, NOW),
            None,
            "{missing}"
        );
    }
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token under a header, signed by that.
fn token(header: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let far = json!({ "exp": 9_999_999_999i64 });
    let message = format!(
        "{}.{}",
        encoded(header),
        encoded(&Value::Object(claims(&far)))
    );
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn with_keys(keys: &Value) -> Tokens {
    let tokens = Tokens::default();
    let known = Known {
        fetched: Instant::now(),
        keys: Arc::new(read_keys(keys.to_string().as_bytes()).unwrap()),
    };
    tokens.known().insert(jwt(Algorithm::EdDsa).jwks, known);
    tokens
}

#[tokio::test]
async fn the_route_says_how_a_token_is_signed() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = URL_SAFE_NO_PAD.encode(pair.public_key());
    let keys = json!({ "keys": [
        { "kty": "future", "kid": "z" },
        { "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": public, "alg": "EdDSA", "use": "sig" },
        { "kty": "OKP", "crv": "Ed25519", "kid": "enc", "x": public, "use": "enc" },
    ] });
    let tokens = with_keys(&keys);
    let sign = |message: &[u8]| pair.sign(message).as_ref().to_vec();
    let ask = async |algorithm, text: String| tokens.bearer(&jwt(algorithm), &text).await;

    let good = token(&json!({ "alg": "EdDSA", "kid": "k" }), sign);
    assert_eq!(
        ask(Algorithm::EdDsa, good.clone()).await.unwrap().name,
        "ada"
    );
    assert!(
        ask(Algorithm::EdDsa, token(&json!({ "alg": "EdDSA" }), sign))
            .await
            .is_ok()
    );
    // The public key as the secret of a MAC: the oldest confusion of all.
    let confused = |message: &[u8]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes());
        ring::hmac::sign(&key, message).as_ref().to_vec()
    };
    for hostile in [
        token(&json!({ "alg": "none" }), |_| Vec::new()),
        token(&json!({ "alg": "None", "kid": "k" }), |_| Vec::new()),
        token(&json!({ "alg": "HS256", "kid": "k" }), confused),
        token(&json!({ "alg": "EdDSA", "kid": "k" }), confused),
        token(&json!({ "alg": "EdDSA", "kid": "k" }), |_| Vec::new()),
        token(&json!({ "alg": "EdDSA", "kid": "enc" }), sign),
        token(&json!({ "alg": "EdDSA", "kid": "../../k" }), sign),
        token(
            &json!({ "alg": "EdDSA", "kid": "k", "crit": ["exp"] }),
            sign,
        ),
        good.replace('.', ".."),
        good[..good.len() - 2].to_owned(),
        format!("{good}="),
        "a.b.c".to_owned(),
        String::new(),
        "..".to_owned(),
    ] {
        let refused = ask(Algorithm::EdDsa, hostile.clone()).await.unwrap_err();
        assert_eq!(refused.status, 401, "{hostile}");
    }
    // A token that is right where another algorithm is demanded.
    assert!(ask(Algorithm::Rs256, good.clone()).await.is_err());
    assert!(ask(Algorithm::Es256, good.clone()).await.is_err());
    // One letter of the claims changed.
    let mut forged = good.into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    assert!(
        ask(Algorithm::EdDsa, String::from_utf8(forged).unwrap())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn elliptic_signatures_are_taken_too() {
    let random = ring::rand::SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random)
            .unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (
        URL_SAFE_NO_PAD.encode(&point[1..33]),
        URL_SAFE_NO_PAD.encode(&point[33..]),
    );
    let tokens = with_keys(
        &json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "e", "x": x, "y": y }] }),
    );
    let sign = |message: &[u8]| pair.sign(&random, message).unwrap().as_ref().to_vec();
    let good = token(&json!({ "alg": "ES256", "kid": "e" }), sign);
    assert!(tokens.bearer(&jwt(Algorithm::Es256), &good).await.is_ok());
    let zeros = token(&json!({ "alg": "ES256", "kid": "e" }), |_| vec![0; 64]);
    assert!(tokens.bearer(&jwt(Algorithm::Es256), &zeros).await.is_err());
}

#[test]
fn a_signature_of_rsa_is_verified() {
    // RFC 7515, appendix A.2.
    let key = json!({ "keys": [{ "kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" }] });
    let text = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let keys = read_keys(key.to_string().as_bytes()).unwrap();
    let token = Token::parse(text).unwrap();
    assert!(keys[0].verifies(Algorithm::Rs256, &token).is_some());
    let other = Token {
        message: "eyJhbGciOiJSUzI1NiJ9.e30",
        ..token
    };
    assert!(keys[0].verifies(Algorithm::Rs256, &other).is_none());
}

/// A place of keys that answers with these bytes, once for each.
async fn place(answers: Vec<Vec<u8>>) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let Ok(1..) = stream.read(&mut [0; 4096]).await else {
                continue;
            };
            stream.write_all(&answer).await.ok();
        }
    });
    url
}

fn document(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into_bytes()
}

#[tokio::test]
async fn keys_that_are_changed_are_fetched_again_and_not_too_often() {
    let pair = |seed| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let set = |id: &str, seed| {
        let public = URL_SAFE_NO_PAD.encode(pair(seed).public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": public }] }).to_string()
    };
    let url = place(vec![document(&set("old", 1)), document(&set("new", 2))]).await;
    let jwt = Jwt {
        jwks: url.clone(),
        ..jwt(Algorithm::EdDsa)
    };
    let tokens = Tokens::default();
    let signed = |id: &str, seed| {
        let header = json!({ "alg": "EdDSA", "kid": id });
        token(&header, |message| {
            pair(seed).sign(message).as_ref().to_vec()
        })
    };
    assert!(tokens.bearer(&jwt, &signed("old", 1)).await.is_ok());
    // Whoever makes up names of keys does not make this process fetch them each time.
    for _ in 0..5 {
        assert!(tokens.bearer(&jwt, &signed("new", 2)).await.is_err());
    }
    let earlier = Instant::now().checked_sub(PAUSE).unwrap();
    tokens.known().get_mut(&url).unwrap().fetched = earlier;
    assert!(tokens.bearer(&jwt, &signed("new", 2)).await.is_ok());
    assert!(tokens.bearer(&jwt, &signed("old", 1)).await.is_err());
    // The place is gone by now: what was known stays.
    let earlier = Instant::now().checked_sub(FRESH).unwrap();
    tokens.known().get_mut(&url).unwrap().fetched = earlier;
    assert!(tokens.bearer(&jwt, &signed("new", 2)).await.is_ok());
}

#[tokio::test]
async fn a_place_of_keys_that_misbehaves_opens_nothing() {
    let padded = format!("{{\"keys\":[],\"x\":\"{}\"}}", "y".repeat(LARGEST));
    let moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    for answer in [
        document("[]"),
        document("not JSON"),
        document(&padded),
        moved.to_vec(),
        b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_vec(),
        Vec::new(),
    ] {
        let url = place(vec![answer]).await;
        let jwt = Jwt {
            jwks: url,
            ..jwt(Algorithm::EdDsa)
        };
        let text = token(&json!({ "alg": "EdDSA", "kid": "k" }), |_| vec![0; 64]);
        let refused = Tokens::default().bearer(&jwt, &text).await.unwrap_err();
        assert_eq!(refused.status, 503);
    }
}
