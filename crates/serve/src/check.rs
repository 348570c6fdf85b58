//! Whether every route can be answered, and well: asked before a definition is merged.

use crate::noted::Rows;
use crate::routes::Table;
use crate::{Serve, openapi, united};
use millrace_model::Failure;
use millrace_model::definition::Endpoint;
use serde_json::Value as Json;

/// What is wrong with a route, and what would mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The endpoint's name, and its file's.
    pub endpoint: String,
    /// The route's path.
    pub path: String,
    /// What is wrong, what would mend it, and the plan where it is about one.
    pub message: String,
}

/// What the sources say about endpoints.
#[derive(Debug)]
pub struct Checked {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// The consumer's contract, with the types that the sources give the columns.
    pub contract: Json,
}

impl Serve {
    /// Asks the sources about the query of every route; those of other sources are left out.
    pub async fn check(&self, endpoints: &[&Endpoint]) -> Result<Checked, Failure> {
        let table = Table::of_endpoints(endpoints);
        let mut findings = Vec::new();
        for route in &table.routes {
            let definition = &route.route;
            // Of two that answer together, the one that knows the columns' types is the last one.
            let datasources = definition.older.into_iter().chain([definition.datasource]);
            for source in datasources.filter_map(|datasource| self.sources.get(datasource)) {
                let half = united::recent_half(route, source).await;
                let checked = source.check(half.as_ref().unwrap_or(route)).await?;
                if let Some(plan) = half.and_then(|half| half.plan(None)) {
                    route.set_plan(None, plan);
                }
                if let Err(message) = checked {
                    findings.push(Finding {
                        endpoint: route.endpoint.clone(),
                        path: definition.path.clone(),
                        message,
                    });
                }
            }
        }
        let contract = serde_json::from_slice(&openapi::document(&table.routes, &Rows::new()));
        Ok(Checked {
            findings,
            contract: contract.unwrap_or_default(),
        })
    }
}
