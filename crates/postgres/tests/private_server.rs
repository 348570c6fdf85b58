//! The private server and the set-up of a store, against PostgreSQL itself.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

use millrace_model::FailureName;
use millrace_postgres::private::PrivateServer;
use millrace_postgres::{SslMode, bootstrap, connect};

#[tokio::test]
async fn a_folder_is_used_by_several_at_once_and_again_later() {
    let dir = tempfile::tempdir().unwrap();
    let first = PrivateServer::start(dir.path(), None).await.unwrap();
    let (owner, reader) = first.store("shop").await.unwrap();
    let client = connect(&owner, "test").await.unwrap();
    client
        .batch_execute("CREATE SCHEMA s; CREATE TABLE s.t (x int); INSERT INTO s.t VALUES (7)")
        .await
        .unwrap();

    // What the owner makes, the reader reads, and only reads.
    let reading = connect(&reader, "test").await.unwrap();
    assert_eq!(
        reading
            .query_one("SELECT x FROM s.t", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        7
    );
    assert!(
        reading
            .batch_execute("INSERT INTO s.t VALUES (8)")
            .await
            .is_err()
    );
    assert!(
        reading
            .batch_execute("CREATE TABLE s.u (x int)")
            .await
            .is_err()
    );

    let second = PrivateServer::start(dir.path(), None).await.unwrap();
    assert_eq!(second.admin(), first.admin());
    assert!(!first.stop().await.unwrap(), "the second one still uses it");
    assert_eq!(
        client
            .query_one("SELECT x FROM s.t", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        7
    );
    assert!(second.stop().await.unwrap());

    let again = PrivateServer::start(dir.path(), None).await.unwrap();
    let (owner_again, _) = again.store("shop").await.unwrap();
    assert_eq!(owner_again.password, owner.password);
    let client = connect(&owner_again, "test").await.unwrap();
    assert_eq!(
        client
            .query_one("SELECT x FROM s.t", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        7
    );

    // Setting up again changes passwords and nothing else.
    let changed = owner_again.with_role(&owner_again.username, "it's \\ another");
    let admin = millrace_postgres::Credentials {
        dbname: "shop".into(),
        ..again.admin()
    };
    bootstrap(&admin, &changed, &reader).await.unwrap();
    let failure = connect(&owner_again, "test").await.unwrap_err();
    assert_eq!(failure.name, FailureName::Unauthorized);
    assert!(!failure.message.contains(&owner_again.password));
    connect(&changed, "test").await.unwrap();

    // What is wrong with a connection is told.
    let missing = millrace_postgres::Credentials {
        dbname: "nowhere".into(),
        ..changed.clone()
    };
    assert_eq!(
        connect(&missing, "test").await.unwrap_err().name,
        FailureName::BadDefinition
    );
    let encrypted = millrace_postgres::Credentials {
        sslmode: SslMode::Require,
        secret: "a/b".into(),
        ..changed.clone()
    };
    let failure = connect(&encrypted, "test").await.unwrap_err();
    assert_eq!(failure.name, FailureName::BadDefinition, "{failure}");
    assert!(
        failure.message.contains("sslmode") && failure.message.contains("a/b"),
        "{failure}"
    );

    assert!(again.stop().await.unwrap());
    let failure = connect(&changed, "test").await.unwrap_err();
    assert_eq!(failure.name, FailureName::Transient, "{failure}");
}

#[tokio::test]
async fn binaries_that_are_not_there_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = PrivateServer::start(dir.path(), Some(dir.path()))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains(dir.path().to_str().unwrap()),
        "{error}"
    );
}
