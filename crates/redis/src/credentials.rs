//! What it takes to log in.

use millrace_model::{Failure, login};
use redis::{ProtocolVersion, RedisConnectionInfo};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who logs in to which Redis, with what. Its `Debug` leaves the password out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The name of the secret that holds them, for messages; not part of the secret.
    #[serde(skip)]
    pub secret: String,
    /// The server's name or address.
    pub host: String,
    /// Its port; 6379 where the secret does not say.
    #[serde(default = "default_port", deserialize_with = "login::port")]
    pub port: u16,
    /// The ACL user; `default` where the secret does not say.
    #[serde(default = "default_user")]
    pub username: String,
    /// Its password.
    pub password: String,
    /// Whether the connection is encrypted, and the server proves its name; `true` where the secret does not say.
    #[serde(default = "default_tls")]
    pub tls: bool,
    /// Certificates, as PEM, that are trusted beside the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
}

impl Credentials {
    /// Reads the value of the secret of that name.
    pub fn parse(secret: &str, value: &str) -> Result<Self, Failure> {
        let form = "a JSON object with host, port, username, password and tls (true or false)";
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

    /// `user@host:port`, for messages.
    pub fn place(&self) -> String {
        format!("{}@{}:{}", self.username, self.host, self.port)
    }

    /// What a new connection is told. Version 2 of the protocol is what every server speaks.
    pub(crate) fn info(&self) -> RedisConnectionInfo {
        RedisConnectionInfo::default()
            .set_username(&self.username)
            .set_password(&self.password)
            .set_protocol(ProtocolVersion::RESP2)
            .set_skip_set_lib_name()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("secret", &self.secret)
            .field("place", &self.place())
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

fn default_port() -> u16 {
    6379
}

fn default_user() -> String {
    "default".to_owned()
}

fn default_tls() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_model::FailureName;

    const SECRET: &str =
        r#"{"host":"cache.example","port":"6380","username":"owner","password":"hunter2"}"#;

    #[test]
    fn a_secret_is_read_and_comes_out_the_same() {
        let credentials = Credentials::parse("millrace/redis", SECRET).unwrap();
        assert_eq!(credentials.place(), "owner@cache.example:6380");
        assert!(credentials.tls);
        let again = Credentials::parse("millrace/redis", &credentials.to_secret());
        assert_eq!(again.unwrap(), credentials);
        let short = Credentials::parse("s", r#"{"host":"h","password":"p","tls":false}"#).unwrap();
        assert_eq!(
            (short.place().as_str(), short.tls),
            ("default@h:6379", false)
        );
    }

    #[test]
    fn debug_and_messages_never_hold_the_password() {
        let credentials = Credentials::parse("s", SECRET).unwrap();
        assert!(!format!("{credentials:?}").contains("hunter2"));
        for broken in [
            SECRET.replace(r#""hunter2""#, "[\"hunter2\"]"),
            SECRET.replace("6380", "hunter2"),
            "hunter2".to_owned(),
            SECRET.replace("\"host\"", "\"tls\":\"hunter2\",\"host\""),
        ] {
            let failure = Credentials::parse("millrace/redis", &broken).unwrap_err();
            assert!(!failure.to_string().contains("hunter2"), "{failure}");
            assert!(failure.message.contains("millrace/redis"), "{failure}");
            assert_eq!(failure.name, FailureName::Unauthorized);
        }
        let failure = Credentials::parse("s", r#"{"host":"h"}"#).unwrap_err();
        assert!(failure.message.contains("lacks `password`"), "{failure}");
    }
}
