//! What becomes of a request.

use crate::paginate::Choice;
use crate::scan::Found;
use millrace_model::definition::answer::Meaning;
use millrace_model::raw::Position;
use std::time::Duration;

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A body was taken into the segment.
    Taken(Box<Taken>),
    /// It should be tried again.
    Again {
        /// What happened.
        trouble: String,
        /// Whether the source said `later`.
        is_rate_limit: bool,
        /// After how long the source wants to be asked again.
        asked: Option<Duration>,
    },
    /// The credential is refused.
    Unauthorized {
        /// The answer's status.
        status: u16,
    },
    /// The answer is that to the request before. A source, or a cache before it, may do so once; one that goes on would
    /// never come to an end.
    Repeated(Refusal),
    /// There are no records, and no more pages.
    Empty,
    /// It will never do.
    Refused(Refusal),
}

/// A body that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    /// What was found in it.
    pub(crate) found: Found,
    /// How long it is.
    pub(crate) bytes: u64,
    /// Where it leads.
    pub(crate) next: Position,
    /// The paginator that it shows, where that was not known.
    pub(crate) choice: Option<Box<Choice>>,
}

/// A request that failed for good.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The answer's status.
    pub(crate) status: u16,
    /// What is wrong.
    pub(crate) problem: String,
    /// The beginning of the answer's body, where that is what is wrong.
    pub(crate) excerpt: String,
}

impl Refusal {
    /// Of an answer that says no more than its status.
    pub(crate) fn of_status(status: u16) -> Self {
        Self {
            status,
            problem: String::new(),
            excerpt: String::new(),
        }
    }

    /// What is wrong with the request of that name, in a sentence.
    pub(crate) fn told(&self, name: &str) -> String {
        let Self {
            status,
            problem,
            excerpt,
        } = self;
        match (problem.is_empty(), excerpt.is_empty()) {
            (true, true) => format!("{name} answered {status}"),
            (true, false) => format!("{name} answered {status}: {excerpt}"),
            (false, _) if (300..400).contains(status) => {
                format!("{name} answered {status}: it {problem}")
            }
            (false, _) => format!("{name} answered {status}, but the body {problem}"),
        }
    }
}

/// What an answer's meaning makes of it.
pub(super) fn meant(meaning: Meaning, refusal: Refusal, asked: Option<Duration>) -> Outcome {
    let again = |is_rate_limit| Outcome::Again {
        trouble: format!("answered {}: {}", refusal.status, refusal.excerpt),
        is_rate_limit,
        asked,
    };
    match meaning {
        Meaning::Again => again(false),
        Meaning::RateLimited => again(true),
        Meaning::Unauthorized => Outcome::Unauthorized { status: 401 },
        Meaning::Empty => Outcome::Empty,
        Meaning::Error => Outcome::Refused(refusal),
    }
}
