//! Whether the store can answer a route, and by an index: asked before a definition is merged.

use crate::page;
use crate::plan::Plan;
use crate::store::Lease;
use crate::value::Bind;
use millrace_model::query::{IndexNeed, Query};
use millrace_serve::source::{Served, Sort, Value, sample};
use serde_json::Value as Json;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio_postgres::types::ToSql;

/// A table of more rows than these is not to be read from one end to the other for an answer.
const SCANNED_ROWS: f64 = 10_000.0;
/// What a page may cost, in PostgreSQL's own unit: about as much as reading so many of a table's pages one after another.
const COST: f64 = 100_000.0;

/// How many rows are read for a page of the usual size: one more tells whether there is a next one.
const PAGE: f64 = 101.0;

/// What is in the way of a route's answers, and what would mend it.
pub async fn check(client: &Lease, route: &Served) -> Result<(), String> {
    let said = |error: tokio_postgres::Error| page::text(&error);
    for (schema, name) in &route.relations {
        let published = client
            .query_opt(
                "SELECT 1 FROM millrace.published WHERE schema = $1 AND relation = $2",
                &[schema, name],
            )
            .await
            .map_err(said)?;
        if published.is_none() {
            return Err(format!(
                "the query reads {schema}.{name}, which is not published: let a pipeline `publish` a table as \
                 {schema}.{name} and run it, or correct the name"
            ));
        }
    }
    for sort in route.sorts() {
        let checked = explain(client, route, sort).await;
        checked.map_err(|message| match sort {
            None => message,
            Some(sort) => format!("sorted by `{}`: {message}", sort.column),
        })?;
    }
    Ok(())
}

async fn explain(client: &Lease, route: &Served, sort: Option<&Sort>) -> Result<(), String> {
    let said = |error: tokio_postgres::Error| page::text(&error);
    let plan = Plan::make(client, route.sql(sort), &route.kinds(), route.is_half)
        .await
        .map_err(|error| format!("PostgreSQL refuses the query: {}", page::text(&error)))?;
    let definition = &route.route;
    for (field, column) in definition
        .mask
        .keys()
        .map(|column| ("mask", column))
        .chain(definition.fields.iter().map(|column| ("fields", column)))
    {
        if plan.columns.iter().all(|known| known.name != *column) {
            return Err(format!(
                "`{field}` names `{column}`, which is no column of the answer"
            ));
        }
    }
    let samples: Vec<Value> = route
        .bound
        .iter()
        .filter_map(|name| definition.params.iter().find(|param| param.name == *name))
        .map(sample)
        .collect();
    let bound: Vec<Bind<'_>> = samples.iter().map(Bind).collect();
    let bound: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|value| value as _).collect();
    let plan = Arc::new(plan);
    route.set_plan(sort, plan.clone());
    for stretch in plan.pages.stretches(None) {
        let sql = plan.pages.statement(&stretch, "", "101");
        let typed = client
            .prepare_typed(
                &format!("EXPLAIN (FORMAT JSON, VERBOSE) {sql}"),
                &plan.parameters,
            )
            .await
            .map_err(said)?;
        let row = client.query_one(&typed, &bound).await.map_err(said)?;
        let explained: Json = row.try_get(0).map_err(said)?;
        judge(client, route, sort, &explained[0]["Plan"]).await?;
    }
    Ok(())
}

/// Whether a plan is one that an answer may wait for.
async fn judge(
    client: &Lease,
    route: &Served,
    sort: Option<&Sort>,
    plan: &Json,
) -> Result<(), String> {
    let said = |error: tokio_postgres::Error| page::text(&error);
    let mut reads = Vec::new();
    find_reads(plan, &mut reads);
    for read in reads {
        let table = read.table;
        let rows = rows(client, table).await.map_err(said)?;
        let touched = rows * read.share;
        if touched <= SCANNED_ROWS {
            continue;
        }
        let needs = needs(client, route, sort, table).await.map_err(said)?;
        // Where the index is there, PostgreSQL prefers to walk along another one only if rows are found soon.
        let settled = !needs.is_empty() && needs.iter().all(|need| need.present);
        let name = format!("{}.{}", table.0, table.1);
        let how = match read.index {
            Some(_) if settled => continue,
            Some(index) => format!(
                "the query reads about {touched:.0} of the {rows:.0} rows of {name} along the index {index} before a \
                 page is full"
            ),
            None => format!("the query reads all {rows:.0} rows of {name}"),
        };
        return Err(format!("{how}; {}\n{}", cure(&needs), drawn(plan, 1)));
    }
    let cost = plan["Total Cost"].as_f64().unwrap_or_default();
    if cost > COST {
        return Err(format!(
            "a page of the answer costs {cost:.0}, and may cost {COST:.0}: narrow it by parameters that an index \
             serves\n{}",
            drawn(plan, 1)
        ));
    }
    Ok(())
}

/// A table that a plan reads row by row, whether or not the rows are wanted.
struct Read<'p> {
    /// Its schema and its name.
    table: (&'p str, &'p str),
    /// The index along which it is read; none where it is read as it lies.
    index: Option<&'p str>,
    /// Which part of its rows is read before a page is full, as far as PostgreSQL knows.
    share: f64,
}

fn find_reads<'p>(plan: &'p Json, found: &mut Vec<Read<'p>>) {
    let text = |field: &str| plan[field].as_str();
    if let (Some(kind), Some(schema), Some(name)) =
        (text("Node Type"), text("Schema"), text("Relation Name"))
    {
        let table = (schema, name);
        // An index that is not entered by a condition is read from its beginning; what is filtered out was read as well.
        let walked = matches!(kind, "Index Scan" | "Index Only Scan")
            && plan["Index Cond"].is_null()
            && !plan["Filter"].is_null();
        if kind == "Seq Scan" {
            found.push(Read {
                table,
                index: None,
                share: 1.0,
            });
        } else if walked {
            let kept = plan["Plan Rows"].as_f64().unwrap_or(1.0).max(1.0);
            found.push(Read {
                table,
                index: text("Index Name"),
                share: (PAGE / kept).min(1.0),
            });
        }
    }
    for child in plan["Plans"].as_array().into_iter().flatten() {
        find_reads(child, found);
    }
}

/// How many rows a table has, as far as PostgreSQL knows.
async fn rows(client: &Lease, (schema, name): (&str, &str)) -> Result<f64, tokio_postgres::Error> {
    let rows: Option<f32> = client
        .query_one(
            "SELECT (SELECT c.reltuples FROM pg_catalog.pg_class AS c
                     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                     WHERE (n.nspname, c.relname) = ($1, $2))",
            &[&schema, &name],
        )
        .await?
        .try_get(0)?;
    Ok(f64::from(rows.unwrap_or_default()))
}

/// An index that the route needs.
struct Need {
    /// Its columns.
    columns: String,
    /// Whether there is one that begins with the first of them.
    present: bool,
}

/// The indexes that the route needs of a table.
async fn needs(
    client: &Lease,
    route: &Served,
    sort: Option<&Sort>,
    (schema, name): (&str, &str),
) -> Result<Vec<Need>, tokio_postgres::Error> {
    let query = Query::parse(&route.route.query);
    let sorted = query.and_then(|query| match sort {
        None if route.is_half => query.of_recent(),
        None => Ok(query),
        Some(sort) => query.sorted_by(&sort.column, sort.descending),
    });
    let Ok(query) = sorted else {
        return Ok(Vec::new());
    };
    let of_table =
        |need: &&IndexNeed| (need.schema.as_str(), need.relation.as_str()) == (schema, name);
    let mut needs = Vec::new();
    for need in query.indexes().iter().filter(of_table) {
        let names: Vec<&str> = need.columns.iter().map(|(name, _)| name.as_str()).collect();
        let present = client
            .query_one(
                "SELECT EXISTS (SELECT FROM pg_catalog.pg_index AS i
                     JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
                     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                     JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
                     WHERE (n.nspname, c.relname, a.attname) = ($1, $2, $3))",
                &[&schema, &name, &names[0]],
            )
            .await?
            .try_get(0)?;
        needs.push(Need {
            columns: format!("({})", names.join(", ")),
            present,
        });
    }
    Ok(needs)
}

fn cure(needs: &[Need]) -> String {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|need| !need.present)
        .map(|need| need.columns.as_str())
        .collect();
    if !missing.is_empty() {
        return format!(
            "the next publish of the table makes the index that it needs, on {}: run the pipeline, then check again",
            missing.join(" and ")
        );
    }
    let why = if needs.is_empty() {
        "no index can serve it"
    } else {
        "the indexes that it could use do not narrow it enough"
    };
    format!(
        "{why}: compare the columns themselves with parameters (`place = :place`, not `lower(place) = :place` and not \
         `:place IS NULL OR …`), or order by a column"
    )
}

/// A plan as text, a node a line.
fn drawn(plan: &Json, depth: usize) -> String {
    let mut text = "  ".repeat(depth);
    text.push_str(plan["Node Type"].as_str().unwrap_or_default());
    for (word, field) in [("on", "Relation Name"), ("using", "Index Name")] {
        if let Some(name) = plan[field].as_str() {
            let _ = write!(text, " {word} {name}");
        }
    }
    let _ = write!(
        text,
        " (cost {}, rows {})",
        plan["Total Cost"], plan["Plan Rows"]
    );
    for field in ["Index Cond", "Filter"] {
        if let Some(condition) = plan[field].as_str() {
            let _ = write!(text, " {field}: {condition}");
        }
    }
    for child in plan["Plans"].as_array().into_iter().flatten() {
        text.push('\n');
        text.push_str(&drawn(child, depth + 1));
    }
    text
}
