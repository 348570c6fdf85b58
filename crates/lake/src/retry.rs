use millrace_model::{Failure, FailureName};

/// How often it is looked anew after somebody else's commit.
const ATTEMPTS: usize = 5;

/// Does what ends with a commit, and does it anew where somebody else committed meanwhile, as often as makes sense within
/// one step; after that the step fails with `Conflict`, for the conductor to try again later. `table` is for the log.
pub async fn until_committed<T, F>(
    table: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    for number in 1..ATTEMPTS {
        match attempt().await {
            Err(failure) if failure.name == FailureName::Conflict => {
                tracing::info!(
                    table,
                    attempt = number,
                    "somebody else committed; looking anew"
                );
            }
            outcome => return outcome,
        }
    }
    attempt().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// How often it was tried, and with which outcome, where those many attempts meet somebody else's commit.
    async fn tried(
        conflicts: usize,
        last: Result<(), FailureName>,
    ) -> (usize, Result<(), FailureName>) {
        let attempts = Cell::new(0);
        let attempt = async || {
            attempts.set(attempts.get() + 1);
            let outcome = if attempts.get() <= conflicts {
                Err(FailureName::Conflict)
            } else {
                last
            };
            outcome.map_err(|name| Failure::new(name, "told"))
        };
        let outcome = until_committed("orders", attempt).await;
        (attempts.get(), outcome.map_err(|failure| failure.name))
    }

    #[tokio::test]
    async fn a_conflict_is_tried_anew_and_nothing_else() {
        assert_eq!(tried(0, Ok(())).await, (1, Ok(())));
        assert_eq!(tried(4, Ok(())).await, (5, Ok(())));
        assert_eq!(tried(9, Ok(())).await, (5, Err(FailureName::Conflict)));
        let bad = Err(FailureName::BadData);
        assert_eq!(tried(1, bad).await, (2, bad));
    }
}
