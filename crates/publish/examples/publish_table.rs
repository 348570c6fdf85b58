//! One publish in a process of its own, so that a test can kill it: `publish_table <lake> <owner.json> <input.json>`, the
//! latter a `StepInput`.

use millrace_lake::Lake;
use millrace_model::step::{Deadline, StepInput, Unobserved};
use millrace_publish::Publish;
use millrace_store::objects::Folder;
use millrace_store::secrets::LocalSecrets;
use std::error::Error;
use std::sync::Arc;

/// The secret of the role that publishes.
const OWNER: &str = "owner";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [lake, owner, input] = arguments.as_slice() else {
        return Err("publish_table <lake> <owner.json> <input.json>".into());
    };
    let owner = (
        LocalSecrets::variable(OWNER),
        std::fs::read_to_string(owner)?,
    );
    let input: StepInput = serde_json::from_str(&std::fs::read_to_string(input)?)?;
    let publish = Publish::new(
        Arc::new(Folder::new(lake)),
        Lake::at(lake)?,
        Arc::new(LocalSecrets::new(None, [owner])),
        OWNER.to_owned(),
    );
    publish
        .run(&input, Deadline::NONE, &Unobserved)
        .await
        .map_err(|failure| failure.to_string())?;
    Ok(())
}
