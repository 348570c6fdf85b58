//! Answers with rows: what a request says is read, and a page is fetched, or taken out of memory.

use crate::asked::{Asked, etag, has};
use crate::cache::Kept;
use crate::dataset::Dataset;
use crate::format::Format;
use crate::params::Arguments;
use crate::problem::Problem;
use crate::routes::Served;
use crate::sent;
use crate::source::Asker;
use crate::{Serve, answer, export, params};
use bytes::Bytes;
use http::{Method, Request, Response};
use millrace_store::secrets::Caller;
use serde_json::Map;
use std::sync::Arc;
use std::time::Instant;

impl Serve {
    /// Answers with rows, out of memory where they are there.
    pub(crate) async fn rows(
        &self,
        route: &Served,
        in_path: &[(String, String)],
        request: &Request<Bytes>,
        caller: Option<&Caller>,
    ) -> Result<Response<Bytes>, Problem> {
        let definition = &route.route;
        let format = Format::accepted(request.headers())?;
        let arguments = arguments(route, in_path, request, caller)?;
        let asked = Asked::new(route, &arguments, caller, format);
        // A process that lacks the route's source is not the one that the route's callers are sent to.
        let source = self.source(route);
        let source = source.ok_or_else(|| Problem::not_found(&definition.path))?;
        if definition.export && export::is_wanted(request.headers()) {
            return self.begin_export(&asked, request, caller).await;
        }
        let dataset = dataset(source, route).await;
        let steady = dataset.as_deref().filter(|_| route.steady);
        let kept_by_callers = request.method() != Method::POST;
        let tagged = steady.is_some() && kept_by_callers;
        // Only where something goes by it: to digest a request takes as long as to read it.
        let key = (tagged || definition.caching.is_some()).then(|| asked.key(steady));
        let etag = key.as_ref().filter(|_| tagged).and_then(etag);
        let about = |next| answer::Rows {
            format,
            next,
            etag: etag.as_ref(),
            dataset: dataset.as_deref(),
            cache: definition.caching.filter(|_| kept_by_callers),
        };
        if etag
            .as_ref()
            .is_some_and(|etag| has(request.headers(), etag))
        {
            return Ok(answer::not_modified(&about(None)));
        }
        if let (Some(caching), Some(key)) = (definition.caching, &key)
            && let Some(kept) = self.cache.get(key, caching.ttl)
        {
            return Ok(answer::rows(kept.body, &about(kept.next.as_deref())));
        }
        let page = source.page(&asked).await?;
        tracing::debug!(rows = page.rows, path = definition.path, "read");
        let kept = Kept {
            body: page.body.into(),
            next: page.next,
        };
        if let (Some(_), Some(key)) = (definition.caching, key) {
            self.cache.put(key, kept.clone());
        }
        Ok(answer::rows(kept.body, &about(kept.next.as_deref())))
    }
}

/// What a request says, and what is known of its caller.
pub(crate) fn arguments(
    route: &Served,
    in_path: &[(String, String)],
    request: &Request<Bytes>,
    caller: Option<&Caller>,
) -> Result<Arguments, Problem> {
    let definition = &route.route;
    let mut arguments = params::read(definition.into(), in_path, sent::of(request)?)?;
    let no_claims = Map::new();
    let claims = caller.map_or(&no_claims, |caller| &caller.claims);
    params::add_claims(&mut arguments, &definition.params, claims)?;
    Ok(arguments)
}

/// What the route's tables hold now, at most a second ago. A source that cannot say it just now does not take away what is
/// known.
async fn dataset(source: Asker<'_>, route: &Served) -> Option<Arc<Dataset>> {
    if let Some(dataset) = route.dataset.fresh() {
        return dataset;
    }
    let asked = Instant::now();
    match source.dataset(route).await {
        Ok(dataset) => {
            route.dataset.set(asked, dataset.clone());
            dataset
        }
        Err(error) => {
            tracing::warn!(
                path = route.route.path,
                error,
                "the dataset's version was not read"
            );
            route.dataset.last()
        }
    }
}
