//! Each `sslmode`, against PostgreSQL with TLS and without.

#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

use millrace_postgres::private::PrivateServer;
use millrace_postgres::{Credentials, SslMode, connect};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

/// A certificate authority, and a server's certificate and key that it signed, as PEM.
struct Signed {
    authority: String,
    certificate: String,
    key: String,
}

fn signed_for(name: &str) -> Signed {
    let mut of_authority = CertificateParams::new(Vec::new()).unwrap();
    of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(of_authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let of_server = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = of_server.signed_by(&key, &authority).unwrap();
    Signed {
        authority: authority.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

/// Has the server write its own files, so that they belong to the account it runs as, and take up TLS.
async fn turn_on_tls(admin: &Credentials, signed: &Signed) {
    let client = connect(admin, "test").await.unwrap();
    let row = client.query_one("SHOW data_directory", &[]).await.unwrap();
    let data = PathBuf::from(row.get::<_, String>(0));
    let (certificate, key) = (data.join("server.crt"), data.join("server.key"));
    for (file, pem) in [(&certificate, &signed.certificate), (&key, &signed.key)] {
        let lines = format!(
            "SELECT unnest(string_to_array('{}', E'\\n'))",
            pem.trim_end()
        );
        let copy = format!("COPY ({lines}) TO '{}'", file.display());
        client.batch_execute(&copy).await.unwrap();
    }
    // PostgreSQL takes no key that others may read, and COPY lets them.
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    client
        .batch_execute("ALTER SYSTEM SET ssl = on")
        .await
        .unwrap();
    client
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
}

async fn is_encrypted(credentials: &Credentials) -> Result<bool, String> {
    let client = connect(credentials, "test")
        .await
        .map_err(|failure| failure.to_string())?;
    let row = client
        .query_one(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            &[],
        )
        .await
        .unwrap();
    Ok(row.get(0))
}

#[tokio::test]
async fn every_mode_means_what_it_means_to_libpq() {
    let dir = tempfile::tempdir().unwrap();
    let server = PrivateServer::start(dir.path(), None).await.unwrap();
    let admin = server.admin();
    let with = |sslmode, sslrootcert: Option<&str>| Credentials {
        sslmode,
        sslrootcert: sslrootcert.map(str::to_owned),
        ..admin.clone()
    };

    assert_eq!(is_encrypted(&with(SslMode::Prefer, None)).await, Ok(false));
    let refused = is_encrypted(&with(SslMode::Require, None)).await;
    assert!(refused.unwrap_err().contains("TLS"));

    let signed = signed_for(&admin.host);
    turn_on_tls(&admin, &signed).await;
    // The server takes its settings up a moment later.
    for _ in 0..100 {
        if is_encrypted(&with(SslMode::Prefer, None)).await == Ok(true) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let other = signed_for(&admin.host);
    assert_eq!(is_encrypted(&with(SslMode::Disable, None)).await, Ok(false));
    assert_eq!(is_encrypted(&with(SslMode::Prefer, None)).await, Ok(true));
    assert_eq!(is_encrypted(&with(SslMode::Require, None)).await, Ok(true));
    let proved = with(SslMode::VerifyFull, Some(&signed.authority));
    assert_eq!(is_encrypted(&proved).await, Ok(true));
    for (why, unproved) in [
        ("a public authority", with(SslMode::VerifyFull, None)),
        (
            "that authority",
            with(SslMode::VerifyFull, Some(&other.authority)),
        ),
        (
            "that name",
            Credentials {
                host: "localhost".to_owned(),
                ..proved
            },
        ),
    ] {
        let failure = is_encrypted(&unproved).await.unwrap_err();
        assert!(failure.contains("certificate"), "not by {why}: {failure}");
        assert!(!failure.contains(&admin.password), "{failure}");
    }
    server.stop().await.unwrap();
}
