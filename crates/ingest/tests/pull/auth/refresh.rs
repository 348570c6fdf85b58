//! Refresh tokens that are good for one use.

use super::server::{Answer, Call, PAGES, Place, granted, items, refused, serve};
use millrace_model::FailureName;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

pub const AUTH: &str = "oauth2_refresh_token: { token_url: URL/token, secret: SECRET }";

pub fn secret(refresh_token: &str) -> String {
    json!({ "client_id": "mill", "client_secret": "hunter2", "refresh_token": refresh_token })
        .to_string()
}

/// A server that gives a new refresh token with each access token, and takes the reuse of an old one for theft: then
/// none of them is good any more.
#[derive(Debug, Default)]
pub struct Tokens {
    /// How many renewals there were; the tokens are `r<n>` and `a<n>`.
    pub renewals: usize,
    /// How many pages the access token is still good for.
    left: usize,
    /// How many pages each access token is good for.
    pub pages: usize,
    /// Whether the refresh token before the last is taken again as long as nothing of the last answer was used.
    pub minds_lost_answers: bool,
    is_last_used: bool,
    pub thefts: usize,
    pub refusals: usize,
}

impl Tokens {
    pub fn new(pages: usize, minds_lost_answers: bool) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            pages,
            minds_lost_answers,
            ..Self::default()
        }))
    }

    pub fn answer(&mut self, call: &Call) -> Answer {
        if call.path == "/token" {
            return self.token(call);
        }
        if self.left > 0 && call.bearer() == format!("a{}", self.renewals) {
            self.left -= 1;
            self.is_last_used = true;
            return items(call);
        }
        self.refusals += 1;
        refused(401, json!({}))
    }

    fn token(&mut self, call: &Call) -> Answer {
        let form = call.form();
        assert_eq!(
            (call.basic().as_str(), form["grant_type"].as_str()),
            ("mill:hunter2", "refresh_token")
        );
        let presented = form["refresh_token"].as_str();
        let is_latest = presented == format!("r{}", self.renewals);
        let is_repetition = self.minds_lost_answers
            && !self.is_last_used
            && self.renewals > 0
            && presented == format!("r{}", self.renewals - 1);
        if self.thefts > 0 || !(is_latest || is_repetition) {
            self.thefts += 1;
            return refused(
                400,
                json!({ "error": "invalid_grant", "error_description": "reuse" }),
            );
        }
        if is_latest {
            self.renewals += 1;
            self.left = self.pages;
            self.is_last_used = false;
        }
        granted(json!({
            "access_token": format!("a{}", self.renewals),
            "refresh_token": format!("r{}", self.renewals),
            "expires_in": 3600,
        }))
    }
}

#[tokio::test]
async fn each_new_refresh_token_is_written_back_and_the_access_token_is_shared() {
    let tokens = Tokens::new(4, false);
    let seen = tokens.clone();
    let source = serve(move |call| seen.lock().unwrap().answer(call)).await;
    let place = Place::new(&source.url, AUTH, &secret("r0"));
    place.pull(1).await;
    assert_eq!(tokens.lock().unwrap().renewals, 2);
    // A second process begins with what the first has left.
    place.pull(2).await;
    {
        let tokens = tokens.lock().unwrap();
        assert_eq!(tokens.renewals, (2 * (PAGES + 1)).div_ceil(4));
        assert_eq!(tokens.thefts, 0);
    }
    let everything = place.world.everything().await;
    for hidden in ["hunter2", "\"r3\"", "\"a3\""] {
        assert!(!everything.contains(hidden), "{hidden} is in the lake");
    }
}

#[tokio::test]
async fn a_refresh_token_that_is_refused_is_not_presented_again_and_a_new_one_counts_at_once() {
    let tokens = Tokens::new(100, false);
    let seen = tokens.clone();
    let source = serve(move |call| seen.lock().unwrap().answer(call)).await;
    let place = Place::new(&source.url, AUTH, &secret("stolen"));
    let failure = place.run(1).await.unwrap_err();
    assert_eq!(failure.name, FailureName::Unauthorized);
    assert!(
        failure.message.contains("invalid_grant") && failure.message.contains("`millrace/source`"),
        "{failure}"
    );
    assert!(!failure.message.contains("stolen"), "{failure}");
    {
        let mut tokens = tokens.lock().unwrap();
        assert_eq!(tokens.thefts, 1);
        tokens.thefts = 0;
    }
    place.put_secret(&secret("r0"));
    place.pull(1).await;
}

#[tokio::test]
async fn nothing_is_used_up_where_nothing_can_be_written_back() {
    let tokens = Tokens::new(100, false);
    let seen = tokens.clone();
    let source = serve(move |call| seen.lock().unwrap().answer(call)).await;
    let place = Place::new(&source.url, AUTH, &secret("r0"));
    // A file lies where the folder should be.
    std::fs::write(place.folder().join("written"), "").unwrap();
    let failure = place.run(1).await.unwrap_err();
    assert_eq!(failure.name, FailureName::Unauthorized);
    assert!(
        failure.message.contains("the secret `millrace/source`"),
        "{failure}"
    );
    assert_eq!(tokens.lock().unwrap().renewals, 0);
}

#[tokio::test]
async fn a_server_that_keeps_its_refresh_token_is_all_the_same() {
    let source = serve(|call| match call.path.as_str() {
        "/token" => {
            assert_eq!(call.form()["refresh_token"], "r");
            granted(json!({ "access_token": "a", "refresh_token": Value::Null }))
        }
        _ if call.bearer() == "a" => items(call),
        _ => refused(401, json!({})),
    })
    .await;
    let place = Place::new(&source.url, AUTH, &secret("r"));
    place.pull(1).await;
    place.pull(2).await;
}
