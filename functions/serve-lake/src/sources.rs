//! The lake, and beside it the store that has the recent rows of some tables.

use millrace_lake::Lake;
use millrace_model::definition::Datasource;
use millrace_runtime::{Environment, lambda};
use millrace_serve::source::Sources;
use millrace_serve_lake::{LakeSource, Room};
use millrace_serve_postgres::Postgres;
use millrace_store::objects::Objects;
use millrace_store::secrets::Secrets;
use std::sync::Arc;

/// What the environment names.
pub fn named_by(
    environment: &Environment,
    objects: Arc<dyn Objects>,
    secrets: Arc<dyn Secrets>,
) -> Result<Sources, lambda::Error> {
    let lake = Lake::at(&environment.lake()?.to_string())?;
    let room = Room::halves(environment.query_room()?.memory);
    let seal = environment.seal_secret()?.to_owned();
    let lake = LakeSource::new(lake, objects, secrets.clone(), seal, &room)?;
    let store = environment.recent_secret();
    let store = store.map(|name| Postgres::new(secrets, name.to_owned()));
    Ok(Sources::of(Datasource::Lake, lake).beside(Datasource::OperationalStore, store))
}
