//! Erasure from what runs remember and say: a resource's cursor, and the messages of the ledger.

use super::raw::before;
use super::words::without;
use super::{ForgottenKey, Search, list};
use millrace_model::ledger::Run;
use millrace_model::state::ResourceState;
use millrace_model::{Failure, keys};
use millrace_store::json;
use millrace_store::objects::Objects;

/// Moves a cursor that is the key to what comes before it.
pub(super) async fn forget_cursor(
    objects: &dyn Objects,
    pipeline: &str,
    resource: &str,
    search: &Search,
) -> Result<(), Failure> {
    let key = keys::state(pipeline, resource);
    let change = |state: Option<ResourceState>| -> Result<_, Failure> {
        Ok(state.and_then(|mut state| {
            let known = state.clone();
            for cursor in state.cursor.iter_mut().chain(state.cursors.values_mut()) {
                *cursor = before(cursor, search);
            }
            (state != known).then_some(state)
        }))
    };
    json::update(objects, &key, change).await?;
    Ok(())
}

/// Takes the key's values out of the messages of failed runs.
pub(super) async fn forget_messages(
    objects: &dyn Objects,
    pipeline: &str,
    key: &ForgottenKey,
) -> Result<(), Failure> {
    let clean = |message: &mut String| {
        let cleaned = without(message, key.values().map(String::as_str));
        *message = cleaned;
    };
    for entry in list(objects, &keys::runs(pipeline)).await? {
        let change = |run: Option<Run>| -> Result<_, Failure> {
            let Some(run) = run else { return Ok(None) };
            let mut cleaned = run.clone();
            if let Some(failure) = &mut cleaned.failure {
                clean(&mut failure.message);
            }
            for step in cleaned.steps.values_mut() {
                if let Some(failure) = &mut step.failure {
                    clean(&mut failure.message);
                }
            }
            Ok((cleaned != run).then_some(cleaned))
        };
        json::update(objects, &entry, change).await?;
    }
    Ok(())
}
