use datafusion::error::DataFusionError;
use std::fmt;

/// Why a query gives no rows.
#[derive(Debug, thiserror::Error)]
#[error("{}{message}", place.map(|place| format!("{place}: ")).unwrap_or_default())]
pub struct Error {
    /// What kind of reason it is.
    pub kind: ErrorKind,
    /// Where in the query, if that is known.
    pub place: Option<Place>,
    /// What is wrong, in a sentence or more.
    pub message: String,
    /// What the tables' store says, where it is the reason.
    #[source]
    source: Option<DataFusionError>,
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The query is not right: its syntax, a name, a type.
    Query,
    /// A value does not allow what the query does with it: a division by 0, a text that is no number.
    Data,
    /// It needs more memory, or more room to spill, than there is.
    Exhausted,
    /// The tables' files could not be read; it may go better the next time.
    Store,
    /// None of these: a mistake of ours or of DataFusion's.
    Internal,
}

/// A place in a query, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}", self.line, self.column)
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            place: None,
            message: message.into(),
            source: None,
        }
    }

    /// What went wrong while a query was planned.
    pub(crate) fn planning(error: DataFusionError) -> Self {
        let place = place(&error);
        let error = Self::running(error);
        // While nothing is read yet, what is not understood is the query.
        let kind = match error.kind {
            ErrorKind::Internal | ErrorKind::Data => ErrorKind::Query,
            kind => kind,
        };
        Self {
            kind,
            place,
            ..error
        }
    }

    /// What went wrong while it ran.
    pub(crate) fn running(error: DataFusionError) -> Self {
        let kind = kind(&error);
        let message = match kind {
            ErrorKind::Exhausted => format!(
                "the query needs more memory than it may have, and cannot put it on disk: {}",
                told(&error)
            ),
            _ => told(&error),
        };
        Self {
            kind,
            place: None,
            message,
            source: (kind == ErrorKind::Store).then_some(error),
        }
    }
}

/// What the error says, without the names of DataFusion's own kinds of errors.
fn told(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Collection(errors) => {
            let all: Vec<String> = errors.iter().map(told).collect();
            all.join("; ")
        }
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => told(inner),
        DataFusionError::Shared(inner) => told(inner),
        error => error.message().trim_end().to_owned(),
    }
}

fn kind(error: &DataFusionError) -> ErrorKind {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => kind(inner),
        DataFusionError::Shared(inner) => kind(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(ErrorKind::Internal, kind),
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_) => ErrorKind::Query,
        DataFusionError::ResourcesExhausted(_) => ErrorKind::Exhausted,
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => ErrorKind::Data,
        DataFusionError::ParquetError(_)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::IoError(_)
        | DataFusionError::External(_) => ErrorKind::Store,
        _ => ErrorKind::Internal,
    }
}

fn place(error: &DataFusionError) -> Option<Place> {
    match error {
        DataFusionError::Diagnostic(diagnostic, _) => diagnostic.span.map(|span| Place {
            line: span.start.line,
            column: span.start.column,
        }),
        DataFusionError::Context(_, inner) => place(inner),
        DataFusionError::Shared(inner) => place(inner),
        DataFusionError::Collection(errors) => errors.iter().find_map(place),
        _ => None,
    }
}
