use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::TransactionError;
use millrace_model::{Failure, FailureName};
use std::error::Error as StdError;

/// What went wrong with which table.
#[derive(Debug, thiserror::Error)]
#[error("{kind} ({table}){}", source.as_ref().map(|source| format!(": {source}")).unwrap_or_default())]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// With which table, or which place.
    pub table: String,
    /// What the implementation says about it.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What can go wrong with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ErrorKind {
    /// Somebody else committed in between.
    #[error("the table was changed by somebody else")]
    Conflict,
    /// The location is neither a folder nor a bucket.
    #[error("the lake's location is neither a folder nor `s3://<bucket>`")]
    BadLocation,
    /// The role or the file system says no.
    #[error("access to the table was denied")]
    Denied,
    /// It may go better the next time.
    #[error("the table's store did not answer")]
    Transient,
    /// It is not a table, or not one that can be read.
    #[error("the table cannot be read")]
    Malformed,
    /// It uses what this crate does not know.
    #[error("the table uses features of Delta that Millrace does not know")]
    Unsupported,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, table: &str) -> Self {
        Self {
            kind,
            table: table.to_owned(),
            source: None,
        }
    }

    pub(crate) fn because(
        kind: ErrorKind,
        table: &str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            table: table.to_owned(),
            source: Some(source.into()),
        }
    }

    /// An error of the libraries below, told apart by what is at its root.
    pub(crate) fn of(table: &str, source: impl StdError + Send + Sync + 'static) -> Self {
        Self::because(kind_of(&source), table, source)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (name, advice) = match error.kind {
            ErrorKind::Conflict => (FailureName::Conflict, ""),
            ErrorKind::Transient => (FailureName::Transient, ""),
            ErrorKind::BadLocation => (
                FailureName::BadDefinition,
                "; set `MILLRACE_LAKE` to `s3://<bucket>` or a folder",
            ),
            ErrorKind::Denied => (
                FailureName::Unauthorized,
                "; check the role's access to the lake",
            ),
            ErrorKind::Malformed | ErrorKind::Unsupported => (
                FailureName::Internal,
                "; if something else wrote to the table, remove it and run with a full refresh",
            ),
        };
        Failure::new(name, format!("{error}{advice}"))
    }
}

fn kind_of(error: &(dyn StdError + 'static)) -> ErrorKind {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<TransactionError>() {
            match error {
                TransactionError::VersionAlreadyExists(_)
                | TransactionError::MaxCommitAttempts(_)
                | TransactionError::CommitConflict(_) => return ErrorKind::Conflict,
                TransactionError::UnsupportedTableFeatures(_)
                | TransactionError::TableFeaturesRequired(_) => return ErrorKind::Unsupported,
                _ => {}
            }
        }
        if let Some(DeltaTableError::VersionAlreadyExists(_)) = error.downcast_ref() {
            return ErrorKind::Conflict;
        }
        if let Some(error) = error.downcast_ref::<object_store::Error>() {
            return kind_of_store(error);
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            // What an I/O error wraps is not its source, which is the source of what it wraps.
            match error.get_ref() {
                Some(inner) => {
                    next = Some(inner);
                    continue;
                }
                None if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    return ErrorKind::Denied;
                }
                None => return ErrorKind::Transient,
            }
        }
        next = error.source();
    }
    ErrorKind::Malformed
}

fn kind_of_store(error: &object_store::Error) -> ErrorKind {
    use object_store::Error as Store;
    match error {
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => ErrorKind::Denied,
        Store::AlreadyExists { .. } | Store::Precondition { .. } => ErrorKind::Conflict,
        // A file that a commit names is there unless somebody removed it, so that reading again sees another version.
        Store::NotFound { .. } => ErrorKind::Malformed,
        Store::InvalidPath { .. } | Store::UnknownConfigurationKey { .. } => ErrorKind::BadLocation,
        _ => ErrorKind::Transient,
    }
}
