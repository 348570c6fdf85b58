//! What an error of Redis means to a step.

use crate::credentials::Credentials;
use millrace_model::{Failure, FailureName};
use redis::{ErrorKind, RedisError};

/// The failure of a step that was doing `what` when the error came.
pub fn failure(error: &RedisError, credentials: &Credentials, what: &str) -> Failure {
    let (name, advice) = judge(error);
    let secret = &credentials.secret;
    let advice = match advice {
        Advice::Login => format!("check the user and the password in the secret `{secret}`"),
        Advice::Privilege => {
            format!("check which commands and keys the user of the secret `{secret}` may use")
        }
        Advice::Room => "give it more memory, or its rows a `ttl`".to_owned(),
        Advice::Again => "it is tried again".to_owned(),
        Advice::None => String::new(),
    };
    let separator = if advice.is_empty() { "" } else { "; " };
    Failure::new(
        name,
        format!(
            "Redis {}: {what}: {}{separator}{advice}",
            credentials.place(),
            text(error)
        ),
    )
}

/// Whether it cannot be reached, or cannot answer, at the moment.
pub fn is_away(error: &RedisError) -> bool {
    judge(error).0 == FailureName::Transient
}

/// What a person can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Advice {
    Login,
    Privilege,
    Room,
    Again,
    None,
}

fn judge(error: &RedisError) -> (FailureName, Advice) {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return (FailureName::Unauthorized, Advice::Login);
    }
    if error.is_io_error() || error.is_connection_dropped() || error.is_timeout() {
        return (FailureName::Transient, Advice::Again);
    }
    // What stands in a pipeline has no code of its own; its text begins with the first one's.
    let text = error.to_string();
    let says = |code: &str| error.code() == Some(code) || text.contains(code);
    match () {
        () if ["WRONGPASS", "NOAUTH"].into_iter().any(says) => {
            (FailureName::Unauthorized, Advice::Login)
        }
        () if says("NOPERM") => (FailureName::Unauthorized, Advice::Privilege),
        () if says("OOM") => (FailureName::Transient, Advice::Room),
        () if [
            "LOADING",
            "READONLY",
            "MASTERDOWN",
            "BUSY",
            "TRYAGAIN",
            "CLUSTERDOWN",
            "max number of clients",
        ]
        .into_iter()
        .any(says) =>
        {
            (FailureName::Transient, Advice::Again)
        }
        () => (FailureName::Internal, Advice::None),
    }
}

/// The server's own words; those of an error in a pipeline may quote keys, and are short.
fn text(error: &RedisError) -> String {
    let text = error.to_string();
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn an_error_is_named_for_what_should_be_done_about_it() {
        let refused = RedisError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(judge(&refused), (FailureName::Transient, Advice::Again));
        let login = RedisError::from((ErrorKind::AuthenticationFailed, "no"));
        assert_eq!(judge(&login), (FailureName::Unauthorized, Advice::Login));
        assert!(is_away(&refused) && !is_away(&login));
    }
}
