//! Logins against a real server.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

use millrace_model::FailureName;
use millrace_redis::private::PrivateServer;
use millrace_redis::{cmd, login};
use millrace_store::secrets::LocalSecrets;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// One secret, in a file that can be changed.
fn secrets(file: &Path, value: &str) -> LocalSecrets {
    let text = serde_json::json!({ "redis": value }).to_string();
    std::fs::write(file, text).unwrap();
    LocalSecrets::new(Some(file.to_owned()), [])
}

#[tokio::test]
async fn a_password_that_was_rotated_is_read_again() {
    let server = PrivateServer::start(None).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secrets.json");
    let secrets = secrets(&file, &server.owner().to_secret());
    let mut first = login(&secrets, "redis", PATIENCE).await.unwrap();
    let mut admin = {
        let admin = LocalSecrets::new(
            None,
            [(LocalSecrets::variable("redis"), server.admin().to_secret())],
        );
        login(&admin, "redis", PATIENCE).await.unwrap()
    };
    let rotate = ["SETUSER", "owner", "resetpass", ">another"];
    admin.ask::<()>(cmd("ACL").arg(&rotate)).await.unwrap();
    let refused = login(&secrets, "redis", PATIENCE).await.unwrap_err();
    assert_eq!(refused.name, FailureName::Unauthorized, "{refused}");
    assert!(refused.message.contains("`redis`"), "{refused}");
    assert!(!refused.message.contains(&server.owner().password));
    let mut rotated = server.owner();
    rotated.password = "another".to_owned();
    let text = serde_json::json!({ "redis": rotated.to_secret() }).to_string();
    std::fs::write(&file, text).unwrap();
    let mut again = login(&secrets, "redis", PATIENCE).await.unwrap();
    again.ask::<()>(cmd("SET").arg("a").arg(1)).await.unwrap();
    // Who is in already stays.
    assert_eq!(first.ask::<u64>(cmd("GET").arg("a")).await.unwrap(), 1);
}

#[tokio::test]
async fn the_reader_cannot_write() {
    let server = PrivateServer::start(None).await.unwrap();
    let secrets = LocalSecrets::new(
        None,
        [(LocalSecrets::variable("redis"), server.reader().to_secret())],
    );
    let mut reader = login(&secrets, "redis", PATIENCE).await.unwrap();
    for command in [&["SET", "a", "b"][..], &["DEL", "a"], &["KEYS", "*"]] {
        let error = reader
            .ask::<()>(cmd(command[0]).arg(&command[1..]))
            .await
            .unwrap_err();
        let failure = reader.failure(&error, "write");
        assert_eq!(failure.name, FailureName::Unauthorized, "{failure}");
    }
}

#[tokio::test]
async fn tls_wants_a_certificate_of_that_name() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = |name: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
        made.cert.pem()
    };
    let path = dir.path().display();
    let config = format!(
        "tls-port {{port}}\ntls-cert-file {path}/cert.pem\ntls-key-file {path}/key.pem\ntls-auth-clients no\n"
    );
    for (name, trusted, expected) in [
        ("127.0.0.1", true, true),
        ("127.0.0.1", false, false),
        ("else", true, false),
    ] {
        let pem = certificate(name);
        let server = PrivateServer::start_with(None, &config).await.unwrap();
        let mut credentials = server.owner();
        credentials.tls = true;
        credentials.tls_ca = trusted.then_some(pem);
        let secrets = LocalSecrets::new(
            None,
            [(LocalSecrets::variable("redis"), credentials.to_secret())],
        );
        let connected = login(&secrets, "redis", PATIENCE).await;
        assert_eq!(
            connected.is_ok(),
            expected,
            "{name} {trusted}: {connected:?}"
        );
        if let Err(failure) = connected {
            assert_eq!(failure.name, FailureName::BadDefinition, "{failure}");
        }
    }
}
