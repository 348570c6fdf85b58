use super::*;
use async_trait::async_trait;
use millrace_model::definition::connection::{KeyPlace, Politeness, Timeouts};
use millrace_store::objects::Folder;
use millrace_store::secrets::{SecretError, SecretErrorKind, SecretVersion};
use reqwest::{Client, Request};
use std::collections::BTreeMap;

/// A secret that is always the same.
#[derive(Debug)]
struct Same(&'static str);

#[async_trait]
impl Secrets for Same {
    async fn get(&self, name: &str) -> Result<Secret, SecretError> {
        Ok(Secret::new(name, self.0))
    }

    async fn refresh(&self, name: &str) -> Result<Secret, SecretError> {
        self.get(name).await
    }

    async fn read(&self, name: &str) -> Result<(Secret, SecretVersion), SecretError> {
        Ok((self.get(name).await?, SecretVersion("1".into())))
    }

    async fn replace(
        &self,
        name: &str,
        _: &str,
        _: &SecretVersion,
    ) -> Result<SecretVersion, SecretError> {
        Err(SecretError::new(
            SecretErrorKind::Denied,
            name,
            "may not be written",
        ))
    }
}

fn reference() -> SecretRef {
    SecretRef {
        name: "millrace/crm".into(),
        field: None,
    }
}

fn authenticator(auth: Auth, secret: &'static str) -> Authenticator {
    let connection = Connection {
        name: "crm".into(),
        base_url: "https://api.example.com/v1".into(),
        auth,
        politeness: Politeness::default(),
        headers: BTreeMap::new(),
        timeouts: Timeouts::default(),
    };
    let objects = Arc::new(Folder::new("no/such/folder"));
    Authenticator::new(
        &connection,
        Arc::new(Same(secret)),
        objects,
        Duration::from_secs(1),
    )
    .unwrap()
}

async fn credential(auth: &Auth, secret: &'static str) -> Result<Credential, Failure> {
    authenticator(auth.clone(), secret).credential(0).await
}

fn request() -> Request {
    Client::new()
        .get("https://api.example.com/v1/items?page=2")
        .header("cookie", "theme=dark")
        .build()
        .unwrap()
}

fn bearer() -> Auth {
    Auth::Bearer {
        secret: reference(),
    }
}

fn basic() -> Auth {
    Auth::Basic {
        secret: reference(),
    }
}

fn key(place: KeyPlace) -> Auth {
    Auth::ApiKey {
        secret: reference(),
        place,
    }
}

#[tokio::test]
async fn headers_carry_the_credential_marked_as_sensitive() {
    let in_header = key(KeyPlace::Header("X-Api-Key".into()));
    let in_cookie = key(KeyPlace::Cookie("session".into()));
    for (auth, secret, name, value) in [
        (bearer(), "hunter2", "authorization", "Bearer hunter2"),
        (
            bearer(),
            r#"{"token": "hunter2"}"#,
            "authorization",
            "Bearer hunter2",
        ),
        (
            basic(),
            r#"{"username": "ann", "password": "hunter2"}"#,
            "authorization",
            "Basic YW5uOmh1bnRlcjI=",
        ),
        (in_header, r#"{"key": "hunter2"}"#, "x-api-key", "hunter2"),
        (
            in_cookie,
            "hunter2",
            "cookie",
            "theme=dark; session=hunter2",
        ),
    ] {
        let credential = credential(&auth, secret).await.unwrap();
        let mut request = request();
        credential.apply(&mut request).unwrap();
        assert_eq!(request.headers()[name], value);
        assert!(request.headers()[name].is_sensitive());
        assert_eq!(credential.scrub("no hunter2 here"), "no *** here");
        assert!(!format!("{credential:?}").contains("hunter"));
    }
}

#[tokio::test]
async fn a_key_in_the_query_is_encoded_and_scrubbed_either_way() {
    let auth = key(KeyPlace::Query("api_key".into()));
    let credential = credential(&auth, "hunter&2").await.unwrap();
    let mut request = request();
    credential.apply(&mut request).unwrap();
    assert_eq!(request.url().query(), Some("page=2&api_key=hunter%262"));
    assert_eq!(
        credential.scrub("you sent hunter&2 (hunter%262)"),
        "you sent *** (***)"
    );
}

#[tokio::test]
async fn a_secret_of_another_form_is_told_without_its_value() {
    for (auth, secret) in [
        (basic(), "hunter2"),
        (basic(), r#"{"username": "hunter2"}"#),
        (bearer(), "hunter2\u{1}"),
        (bearer(), r#"{"tokn": "hunter2"}"#),
        (
            key(KeyPlace::Cookie("session".into())),
            "hunter2; theme=light",
        ),
    ] {
        let failure = credential(&auth, secret).await.unwrap_err();
        assert_eq!(failure.name, FailureName::Unauthorized);
        assert!(failure.message.contains("millrace/crm"), "{failure}");
        assert!(!failure.message.contains("hunter2"), "{failure}");
    }
}

#[tokio::test]
async fn a_secret_that_is_still_the_same_is_no_renewal() {
    let authenticator = authenticator(bearer(), "hunter2");
    let refused = authenticator.credential(0).await.unwrap();
    assert_eq!(authenticator.renewed(&refused).await.unwrap(), None);
}
