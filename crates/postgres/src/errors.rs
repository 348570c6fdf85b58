//! What an error of PostgreSQL means to a step.

use crate::credentials::Credentials;
use millrace_model::{Failure, FailureName};
use std::error::Error as _;
use tokio_postgres::error::SqlState;

/// The failure of a step that was doing `what` when the error came.
pub fn failure(error: &tokio_postgres::Error, credentials: &Credentials, what: &str) -> Failure {
    let (name, advice) = judge(error);
    let secret = &credentials.secret;
    let advice = match advice {
        Advice::Login => format!("check the role and the password in the secret `{secret}`"),
        Advice::Database => {
            format!("check host and dbname in the secret `{secret}`, and that the store is set up")
        }
        Advice::Privilege => format!("check what the role of the secret `{secret}` may do"),
        Advice::Tls => format!("check sslmode and sslrootcert in the secret `{secret}`"),
        Advice::Again => "it is tried again".to_owned(),
        Advice::None => String::new(),
    };
    let separator = if advice.is_empty() { "" } else { "; " };
    Failure::new(
        name,
        format!(
            "the operational store {}: {what}: {}{separator}{advice}",
            credentials.place(),
            text(error)
        ),
    )
}

/// Whether the login was refused: the secret may have been rotated since it was read.
pub fn is_rejected_login(error: &tokio_postgres::Error) -> bool {
    matches!(judge(error), (_, Advice::Login))
}

/// What a person can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Advice {
    Login,
    Database,
    Privilege,
    Tls,
    Again,
    None,
}

fn judge(error: &tokio_postgres::Error) -> (FailureName, Advice) {
    if let Some(code) = error.code() {
        return judge_state(code);
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            let tls = matches!(io.get_ref(), Some(inner) if inner.is::<rustls::Error>());
            return if tls {
                (FailureName::BadDefinition, Advice::Tls)
            } else {
                (FailureName::Transient, Advice::Again)
            };
        }
        source = cause.source();
    }
    // tokio-postgres tells its own kinds apart by text alone.
    match error.to_string().as_str() {
        "error performing TLS handshake" => (FailureName::BadDefinition, Advice::Tls),
        "authentication error" => (FailureName::Unauthorized, Advice::Login),
        "error connecting to server" | "timeout waiting for server" | "connection closed" => {
            (FailureName::Transient, Advice::Again)
        }
        _ => (FailureName::Internal, Advice::None),
    }
}

fn judge_state(code: &SqlState) -> (FailureName, Advice) {
    match *code {
        SqlState::INVALID_CATALOG_NAME => return (FailureName::BadDefinition, Advice::Database),
        SqlState::INSUFFICIENT_PRIVILEGE => return (FailureName::Unauthorized, Advice::Privilege),
        SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED => {
            return (FailureName::Transient, Advice::Again);
        }
        _ => {}
    }
    match &code.code()[..2] {
        "28" => (FailureName::Unauthorized, Advice::Login),
        // Connection exceptions, transaction rollbacks (serialisation, deadlock), insufficient resources, operator
        // intervention (shutdown), system errors (I/O).
        "08" | "40" | "53" | "57" | "58" => (FailureName::Transient, Advice::Again),
        // Data exceptions, and constraints that the data breaks.
        "22" | "23" => (FailureName::BadData, Advice::None),
        _ => (FailureName::Internal, Advice::None),
    }
}

/// The server's own words, or those of the innermost cause. `DETAIL` is left out: it may quote rows.
fn text(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} ({})", error.message(), error.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_named_for_what_should_be_done_about_it() {
        for (state, name) in [
            (SqlState::INVALID_PASSWORD, FailureName::Unauthorized),
            (
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                FailureName::Unauthorized,
            ),
            (SqlState::INSUFFICIENT_PRIVILEGE, FailureName::Unauthorized),
            (SqlState::INVALID_CATALOG_NAME, FailureName::BadDefinition),
            (SqlState::TOO_MANY_CONNECTIONS, FailureName::Transient),
            (SqlState::T_R_DEADLOCK_DETECTED, FailureName::Transient),
            (SqlState::ADMIN_SHUTDOWN, FailureName::Transient),
            (SqlState::NUMERIC_VALUE_OUT_OF_RANGE, FailureName::BadData),
            (SqlState::NOT_NULL_VIOLATION, FailureName::BadData),
            (SqlState::SYNTAX_ERROR, FailureName::Internal),
        ] {
            assert_eq!(judge_state(&state).0, name, "{}", state.code());
        }
    }
}
