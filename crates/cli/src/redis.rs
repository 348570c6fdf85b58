//! The private Redis that stands in on this machine for the one that lookups are published to.

use crate::workspace::{REDIS_OWNER, REDIS_READER};
use anyhow::Context;
use millrace_model::definition::set::DefinitionSet;
use millrace_model::definition::{Datasource, Pipeline};
use millrace_redis::private::PrivateServer;
use millrace_serve::source::Sources;
use millrace_serve_redis::Redis;
use millrace_store::secrets::Secrets;
use std::path::PathBuf;
use std::sync::Arc;

/// A server of this process alone, where a pipeline publishes to Redis; none where none does. It is empty, and gone with
/// the process: what is in it is published from the lake each time.
///
/// The program is that of `MILLRACE_REDIS_SERVER`, or the system's.
pub async fn start(set: &DefinitionSet) -> anyhow::Result<Option<PrivateServer>> {
    let mut publishes = set.pipelines.values().flat_map(Pipeline::copied);
    if !publishes.any(|publish| publish.to == Datasource::Redis) {
        return Ok(None);
    }
    let program = std::env::var_os("MILLRACE_REDIS_SERVER").map(PathBuf::from);
    let server = PrivateServer::start(program.as_deref()).await;
    Ok(Some(server.context("a pipeline publishes to Redis")?))
}

/// Those sources, and that server where there is one.
pub fn beside(
    sources: Sources,
    server: Option<&PrivateServer>,
    secrets: &Arc<dyn Secrets>,
) -> Sources {
    if server.is_none() {
        return sources;
    }
    let redis = Redis::new(secrets.clone(), REDIS_READER.to_owned());
    sources.and(Datasource::Redis, redis)
}

/// The secrets that go with it, by name.
pub fn secrets(server: Option<&PrivateServer>) -> Vec<(&'static str, String)> {
    server.map_or_else(Vec::new, |server| {
        vec![
            (REDIS_OWNER, server.owner().to_secret()),
            (REDIS_READER, server.reader().to_secret()),
        ]
    })
}
