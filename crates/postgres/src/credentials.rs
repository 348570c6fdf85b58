//! What it takes to log in: the secret that RDS keeps, or one of the same form.

use crate::tls::{self, SslMode};
use millrace_model::{Failure, FailureName, login};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Who logs in to which database, with what. Its `Debug` leaves the password out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The name of the secret that holds them, for messages; not part of the secret.
    #[serde(skip)]
    pub secret: String,
    /// The server's name or address.
    pub host: String,
    /// Its port; 5432 where the secret does not say.
    #[serde(default = "default_port", deserialize_with = "login::port")]
    pub port: u16,
    /// The database; `postgres` where the secret does not say.
    #[serde(default = "default_dbname")]
    pub dbname: String,
    /// The role.
    pub username: String,
    /// Its password.
    pub password: String,
    /// How much the connection is protected; `require` where the secret does not say.
    #[serde(default)]
    pub sslmode: SslMode,
    /// Certificates, as PEM, that are trusted beside the public ones. RDS signs its servers' certificates with an
    /// authority of its own: `verify-full` needs the region's bundle here, `require` does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sslrootcert: Option<String>,
}

impl Credentials {
    /// Reads the value of the secret of that name.
    pub fn parse(secret: &str, value: &str) -> Result<Self, Failure> {
        let form = "a JSON object with host, port, dbname, username, password and sslmode (disable, prefer, require or \
                    verify-full)";
        let parsed: Self = login::read(secret, value, form)?;
        Ok(Self {
            secret: secret.to_owned(),
            ..parsed
        })
    }

    /// The secret's value, as `parse` reads it.
    pub fn to_secret(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The same, for another role of the same database.
    #[must_use]
    pub fn with_role(&self, username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            password: password.to_owned(),
            ..self.clone()
        }
    }

    /// What tokio-postgres connects by. `application` is what the server shows for the connection.
    pub fn config(&self, application: &str) -> Config {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .dbname(&self.dbname)
            .user(&self.username)
            .password(&self.password)
            .ssl_mode(match self.sslmode {
                SslMode::Disable => tokio_postgres::config::SslMode::Disable,
                SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
                SslMode::Require | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
            })
            .application_name(application)
            .connect_timeout(Duration::from_secs(5))
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(Duration::from_mins(1));
        config
    }

    /// The TLS of its connections.
    pub fn tls(&self) -> Result<MakeRustlsConnect, Failure> {
        tls::connector(self.sslmode, self.sslrootcert.as_deref()).map_err(|error| {
            Failure::new(
                FailureName::BadDefinition,
                format!(
                    "`sslrootcert` of the secret `{}` cannot be used: {error}",
                    self.secret
                ),
            )
        })
    }

    /// `role@host:port/database`, for messages.
    pub fn place(&self) -> String {
        format!(
            "{}@{}:{}/{}",
            self.username, self.host, self.port, self.dbname
        )
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("secret", &self.secret)
            .field("place", &self.place())
            .field("sslmode", &self.sslmode)
            .finish_non_exhaustive()
    }
}

fn default_port() -> u16 {
    5432
}

fn default_dbname() -> String {
    "postgres".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RDS: &str = r#"{"engine":"postgres","host":"db.example","port":5433,"dbname":"store","username":"owner",
        "password":"hunter2","dbInstanceIdentifier":"x"}"#;

    #[test]
    fn the_secret_of_rds_is_read_and_comes_out_the_same() {
        let credentials = Credentials::parse("millrace/store", RDS).unwrap();
        assert_eq!(credentials.place(), "owner@db.example:5433/store");
        assert_eq!(credentials.sslmode, SslMode::Require);
        assert_eq!(
            Credentials::parse("millrace/store", &credentials.to_secret()).unwrap(),
            credentials
        );
    }

    #[test]
    fn a_port_may_be_text_and_may_be_left_out() {
        let text = RDS.replace("5433", "\"5433\"");
        assert_eq!(Credentials::parse("s", &text).unwrap().port, 5433);
        let absent = RDS.replace(r#""port":5433,"#, "");
        assert_eq!(Credentials::parse("s", &absent).unwrap().port, 5432);
    }

    #[test]
    fn debug_and_messages_never_hold_the_password() {
        let credentials = Credentials::parse("s", RDS).unwrap();
        assert!(!format!("{credentials:?}").contains("hunter2"));
        for broken in [
            RDS.replace(r#""hunter2""#, "[\"hunter2\"]"),
            RDS.replace("5433", "\"hunter2\""),
            "hunter2".to_owned(),
            "\"hunter2\"".to_owned(),
            RDS.replace("\"engine\"", "\"sslmode\":\"hunter2\",\"engine\""),
        ] {
            let failure = Credentials::parse("millrace/store", &broken).unwrap_err();
            assert!(!failure.to_string().contains("hunter2"), "{failure}");
            assert!(failure.message.contains("millrace/store"), "{failure}");
            assert_eq!(failure.name, FailureName::Unauthorized);
        }
    }

    #[test]
    fn a_missing_field_is_named() {
        let failure = Credentials::parse("s", r#"{"host":"h","username":"u"}"#).unwrap_err();
        assert!(failure.message.contains("lacks `password`"), "{failure}");
    }
}
