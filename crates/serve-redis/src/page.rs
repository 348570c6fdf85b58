//! One page of a route's answer: looked up, and written while it comes.

use crate::keys;
use crate::link::Login;
use crate::plan::Plan;
use crate::row::{Row, Unfit};
use millrace_model::definition::pipeline::DocumentForm;
use millrace_redis::{RedisError, cmd, pipe};
use millrace_serve::source::{self, Asked, Cursor, Page, Seal, Writer};
use std::collections::HashMap;

/// How many keys are looked up at once: with what lies under them, they are in memory together.
const TOGETHER: usize = 64;

/// Why there is no page.
#[derive(Debug)]
pub enum Trouble {
    /// Redis has none.
    Redis(RedisError),
    /// A row is not what was noted of its table.
    Unfit(Unfit),
    /// The answer became too large, at that row.
    TooLarge(usize),
    /// The cursor is none.
    BadCursor,
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl From<Unfit> for Trouble {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

/// Looks up a page.
pub async fn fetch(login: &Login, asked: &Asked<'_>, plan: &Plan) -> Result<Page, Trouble> {
    let keys = keys::of(asked, plan);
    let seal = || Seal {
        key: login.seal.clone(),
        scope: asked.scope(std::iter::once("keys")),
    };
    let first = match &asked.arguments.cursor {
        None => 0,
        Some(text) => match Cursor::decode(text, &seal(), 0) {
            Some(Cursor::Rows(first)) => usize::try_from(first).map_err(|_| Trouble::BadCursor)?,
            _ => return Err(Trouble::BadCursor),
        },
    };
    let mut writer = Writer::new(asked, source::Plan::columns(plan));
    // A cursor says how many keys lie behind: which of them have rows may change between two pages.
    let mut at = first.min(keys.len());
    while at < keys.len() && writer.room() > 0 {
        let together = &keys[at..keys.len().min(at + TOGETHER.min(writer.room()))];
        for row in rows(login, together, plan).await? {
            let Some(row) = row else { continue };
            writer.push(&row)?;
            if writer.is_too_large() {
                return Err(Trouble::TooLarge(writer.rows()));
            }
        }
        at += together.len();
    }
    let next = (at < keys.len()).then(|| Cursor::Rows(at as u64).encode(&seal()));
    writer.finish(next).map_err(|message| Unfit(message).into())
}

/// What lies under these keys.
async fn rows<'p>(
    login: &Login,
    keys: &[String],
    plan: &'p Plan,
) -> Result<Vec<Option<Row<'p>>>, Trouble> {
    let mut connection = login.connection.clone();
    match plan.published.layout.form {
        DocumentForm::Document => {
            let documents: Vec<Option<Vec<u8>>> = match keys {
                [key] => vec![connection.ask(cmd("GET").arg(key)).await?],
                keys => connection.ask(cmd("MGET").arg(keys)).await?,
            };
            let row = |document: Option<Vec<u8>>| {
                let row = document.map(|document| Row::of_document(&document, plan));
                Ok(row.transpose()?)
            };
            documents.into_iter().map(row).collect()
        }
        DocumentForm::Hash => {
            let mut all = pipe();
            for key in keys {
                all.cmd("HGETALL").arg(key);
            }
            let hashes: Vec<HashMap<String, String>> = connection.ask_all(&all).await?;
            let row = |fields: HashMap<String, String>| {
                // A hash without a field is none.
                let row = (!fields.is_empty()).then(|| Row::of_fields(&fields, plan));
                Ok(row.transpose()?)
            };
            hashes.into_iter().map(row).collect()
        }
    }
}
