//! The recent half of an answer that is united with an older one: its rows, and in the same transaction the note that says
//! of what they are.

use crate::dataset;
use crate::page::{self, Argument, Trouble, Values};
use crate::plan::Plan;
use crate::value::Bind;
use deadpool_postgres::Object;
use futures::{TryStreamExt, pin_mut};
use millrace_serve::source::{Half, Joint, Pushed, Snapshot};
use tokio_postgres::Statement;
use tokio_postgres::types::{ToSql, Type};

/// Appends rows to a page, and says what was there while they were read.
pub async fn append(
    client: &Object,
    half: &Half<'_>,
    plan: &Plan,
    joint: &mut Joint<'_>,
) -> Result<Snapshot, Trouble> {
    let told = |error| page::trouble(error, half.behind().is_some());
    let asked = &half.asked;
    let stretch = half.stretch(&plan.pages);
    let stretch = stretch.ok_or_else(|| Trouble::Other("the half has no order".to_owned()))?;
    let values = asked.arguments.bound(&asked.route.bound).into_iter();
    let behind = half.behind().unwrap_or_default();
    let cursor = stretch.bound.iter().filter_map(|at| behind.get(*at));
    let mut arguments: Vec<Argument<'_>> = values
        .chain(cursor)
        .map(|value| Argument::Value(Bind(value)))
        .collect();
    let mut types = plan.parameters.clone();
    types.extend(stretch.bound.iter().map(|_| Type::UNKNOWN));
    let limit = page::number(joint.wanted() as i64, &mut arguments, &mut types);
    let sql = plan.pages.statement(&stretch, "", &limit);
    let statement = page::prepared(client, &sql, &types).await.map_err(told)?;
    if !plan.fits(&statement) {
        return Err(Trouble::changed());
    }
    let note = dataset::prepare_snapshot(client).await.map_err(told)?;
    let [(schema, name)] = asked.route.relations.as_slice() else {
        return Err(Trouble::Other("the half reads several tables".to_owned()));
    };
    let relation: [&(dyn ToSql + Sync); 2] = [schema, name];
    let timeout = asked.route.route.timeout.as_millis().max(1);
    let begin =
        format!("BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL statement_timeout = {timeout}");
    // All are sent at once; what a failing query leaves, COMMIT rolls back.
    let (opened, noted, read, ended) = tokio::join!(
        client.batch_execute(&begin),
        client.query_opt(&note, &relation),
        stream(client, &statement, &arguments, plan, joint),
        client.batch_execute("COMMIT")
    );
    read.map_err(|trouble| match trouble {
        Trouble::Postgres(error) => told(error),
        other => other,
    })?;
    opened.and(ended).map_err(told)?;
    let snapshot = noted.and_then(|row| row.as_ref().map(dataset::snapshot).transpose());
    let snapshot = snapshot.map_err(told)?.flatten();
    // It was there a moment ago.
    snapshot.ok_or_else(Trouble::changed)
}

async fn stream(
    client: &Object,
    statement: &Statement,
    arguments: &[Argument<'_>],
    plan: &Plan,
    joint: &mut Joint<'_>,
) -> Result<(), Trouble> {
    let rows = client.query_raw(statement, arguments).await;
    let rows = rows.map_err(Trouble::Postgres)?;
    pin_mut!(rows);
    while let Some(row) = rows.try_next().await.map_err(Trouble::Postgres)? {
        let encoders = &plan.encoders;
        match joint.push(&Values {
            row: &row,
            encoders,
        })? {
            Pushed::There | Pushed::Full => {}
            Pushed::TooLarge => return Err(Trouble::TooLarge(joint.rows())),
            Pushed::Last => {
                let keys = plan.pages.keys.iter().flatten();
                let values: Result<Vec<_>, Trouble> = keys
                    .map(|key| page::key_cell(&row, key.place, &plan.values[key.place]))
                    .collect();
                let held = joint.remember(values?.into_iter());
                held.ok_or_else(|| Trouble::Other("a row's key cannot be held".to_owned()))?;
            }
        }
    }
    Ok(())
}
