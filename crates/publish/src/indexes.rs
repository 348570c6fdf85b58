//! The indexes that endpoints need: made where they are missing, dropped where nobody needs them any more. Those that
//! somebody else made are left alone.

use crate::column::{Column, PgType};
use crate::target::Target;
use millrace_model::digest::Digest;
use millrace_postgres::sql::{identifier, qualified};
use std::collections::BTreeMap;
use tokio_postgres::{Error, Transaction};

/// What the names of Millrace's own indexes begin with.
const PREFIX: &str = "millrace_ix_";

/// Indexes by name, each with the list of its columns.
pub type Indexes = BTreeMap<String, String>;

/// The indexes that a relation of these columns is to have.
pub fn wanted(target: &Target, columns: &[Column]) -> Indexes {
    let mut wanted = Indexes::new();
    for need in &target.indexes {
        let find = |name: &str| columns.iter().find(|column| column.name == name);
        if let Some((missing, _)) = need
            .columns
            .iter()
            .find(|(name, _)| find(name).is_none_or(|column| column.kind == PgType::Json))
        {
            tracing::warn!(
                relation = target.name(),
                column = missing,
                "an endpoint asks for a column that cannot be indexed"
            );
            continue;
        }
        // The primary key serves whatever it begins with.
        let names = need.columns.iter().map(|(name, _)| name);
        let is_key = need.columns.iter().all(|(_, descending)| !descending)
            && need.columns.len() <= target.key.len()
            && names.zip(&target.key).all(|(needed, key)| needed == key);
        if is_key {
            continue;
        }
        let list: Vec<String> = need
            .columns
            .iter()
            .map(|(name, descending)| {
                format!(
                    "{}{}",
                    identifier(name),
                    if *descending { " DESC" } else { "" }
                )
            })
            .collect();
        let list = list.join(", ");
        wanted.insert(
            format!(
                "{PREFIX}{}",
                &Digest::of([&target.relation, &list]).hex()[..16]
            ),
            list,
        );
    }
    wanted
}

/// Makes them on a table that is not the relation yet, under names that are free for the moment.
pub async fn create_on_staging(
    transaction: &Transaction<'_>,
    target: &Target,
    wanted: &Indexes,
) -> Result<(), Error> {
    for (name, columns) in wanted {
        let sql = format!(
            "CREATE INDEX {} ON {} ({columns})",
            identifier(&fresh(name)),
            target.staging()
        );
        transaction.batch_execute(&sql).await?;
    }
    Ok(())
}

/// Gives them their names, once the table that had them is gone.
pub async fn rename(
    transaction: &Transaction<'_>,
    target: &Target,
    wanted: &Indexes,
) -> Result<(), Error> {
    for name in wanted.keys() {
        let from = qualified(&target.schema, &fresh(name));
        transaction
            .batch_execute(&format!(
                "ALTER INDEX {from} RENAME TO {}",
                identifier(name)
            ))
            .await?;
    }
    Ok(())
}

/// A name for the time being.
pub fn fresh(name: &str) -> String {
    format!("{name}_new")
}

/// Makes those that a relation lacks, and drops those of ours that nobody needs.
pub async fn settle(
    transaction: &Transaction<'_>,
    target: &Target,
    wanted: &Indexes,
) -> Result<(), Error> {
    let rows = transaction
        .query(
            "SELECT indexname::text FROM pg_catalog.pg_indexes
             WHERE schemaname = $1 AND tablename = $2 AND starts_with(indexname, $3)",
            &[&target.schema, &target.relation, &PREFIX],
        )
        .await?;
    let mut present = Vec::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        if !wanted.contains_key(&name) {
            transaction
                .batch_execute(&format!("DROP INDEX {}", qualified(&target.schema, &name)))
                .await?;
        }
        present.push(name);
    }
    for (name, columns) in wanted.iter().filter(|(name, _)| !present.contains(name)) {
        let sql = format!(
            "CREATE INDEX {} ON {} ({columns})",
            identifier(name),
            target.quoted()
        );
        transaction.batch_execute(&sql).await?;
    }
    Ok(())
}
