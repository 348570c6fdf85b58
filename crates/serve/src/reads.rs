//! By which indexes a request is answered: what the tests of an endpoint ask.

pub use crate::source::IndexRead;

use crate::routes::{Served, Table};
use crate::source::Query;
use crate::{Serve, params, problem::Problem, sent, united};
use bytes::Bytes;
use http::Request;
use millrace_store::secrets::Caller;
use params::Arguments;
use std::sync::Arc;

impl Serve {
    /// The indexes by which the query of a request is read. Reading a table from one end to the other is left out of
    /// account: of a table of a few rows, nobody would do anything else. An error says what is in the way.
    pub async fn indexes(
        &self,
        request: &Request<Bytes>,
        caller: &Caller,
    ) -> Result<Vec<IndexRead>, String> {
        let table = self.definitions.table().await;
        let table = table.map_err(|error| error.to_string())?;
        let asked = asked(&table, request, caller);
        let (route, arguments) = asked.map_err(|problem| problem.detail)?;
        // Of two, the one that has indexes.
        let source = self.sources.get(route.route.datasource);
        let source = source.ok_or_else(|| "its store is not there".to_owned())?;
        let half = united::recent_half(&route, source).await;
        let query = Query {
            route: half.as_ref().unwrap_or(&route),
            sort: arguments.sort.as_ref(),
            values: arguments.bound(&route.bound),
            limit: arguments.limit,
        };
        source.indexes(&query).await
    }
}

/// The route of a request, and what is asked of it.
fn asked(
    table: &Table,
    request: &Request<Bytes>,
    caller: &Caller,
) -> Result<(Arc<Served>, Arguments), Problem> {
    let path = request.uri().path();
    let (route, in_path) = table.find(path).ok_or_else(|| Problem::not_found(path))?;
    let definition = &route.route;
    let mut arguments = params::read(definition.into(), &in_path, sent::of(request)?)?;
    params::add_claims(&mut arguments, &definition.params, &caller.claims)?;
    Ok((route, arguments))
}
