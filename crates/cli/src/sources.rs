//! What the endpoints read on this machine: the private PostgreSQL, and the lake's folder.

use crate::workspace::{SEAL, STORE_READER, Workspace};
use millrace_lake::Lake;
use millrace_model::definition::Datasource;
use millrace_serve::source::Sources;
use millrace_serve_lake::{LakeSource, Room};
use millrace_serve_postgres::Postgres;
use millrace_store::objects::Objects;
use millrace_store::secrets::Secrets;
use std::path::Path;
use std::sync::Arc;

/// What queries over the lake may take of this machine.
const ROOM: Room = Room {
    queries: 512 * 1024 * 1024,
    rows: 512 * 1024 * 1024,
};

/// The store whose reader the secrets name, and the lake of the workspace.
pub fn of_workspace(workspace: &Workspace, secrets: &Arc<dyn Secrets>) -> anyhow::Result<Sources> {
    all(&workspace.lake()?, workspace.objects()?, secrets)
}

/// The store whose reader the secrets name, and the tables in that folder that the definitions in `objects` publish.
pub fn all(
    lake: &Path,
    objects: Arc<dyn Objects>,
    secrets: &Arc<dyn Secrets>,
) -> anyhow::Result<Sources> {
    let store = Postgres::new(secrets.clone(), STORE_READER.to_owned());
    let lake = self::lake(lake, objects, secrets)?;
    Ok(Sources::of(Datasource::OperationalStore, store).and(Datasource::Lake, lake))
}

/// The tables in that folder that the definitions in `objects` publish to the lake.
pub fn lake(
    lake: &Path,
    objects: Arc<dyn Objects>,
    secrets: &Arc<dyn Secrets>,
) -> anyhow::Result<LakeSource> {
    let lake = Lake::at(&lake.display().to_string())?;
    let seal = SEAL.to_owned();
    Ok(LakeSource::new(
        lake,
        objects,
        secrets.clone(),
        seal,
        &ROOM,
    )?)
}
