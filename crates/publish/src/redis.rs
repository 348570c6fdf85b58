//! Delta → Redis. Each row lies under its key, and changes as a whole: whoever looks it up sees the old one or the new one.
//! When all rows are there, the table's note says which version they are. A publish that is killed leaves some rows older
//! than others and the note as it was, but for the word that something was under way; one that is repeated writes the rest.
//!
//! Beside the rows lies a sorted set of their keys, each with the time of the publish that wrote it. Where the lake can
//! tell what was written since the version that is published, only that is written. Elsewhere all of it is, and what the
//! set then holds of earlier times is no longer in the table, and removed.
//!
//! One publish of a table goes on at a time: each batch is written in a transaction that fails where the turn is
//! somebody else's by then.

mod document;
mod load;
mod target;
mod turn;

use crate::target::fingerprint;
use crate::{MARGIN, Progress, Stop};
use load::Load;
use millrace_lake::{DataFile, Table};
use millrace_model::definition::KeyPattern;
use millrace_model::definition::pipeline::WriteMode;
use millrace_model::ledger::RunId;
use millrace_model::step::Place;
use millrace_model::{Failure, FailureName};
use millrace_redis::{Connection, Layout, Note, Published, RedisError, UnderWay, cmd, keys};
use std::collections::HashMap;
use std::time::Duration;
use turn::Turn;

pub use target::Target;

/// How long an answer of the server is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Makes Redis hold what the table holds.
pub async fn publish(
    connection: &Connection,
    target: &Target,
    table: &Table,
    run: &RunId,
    progress: &mut Progress<'_>,
) -> Result<(), Stop> {
    let limit = match progress.deadline.place() {
        Place::Lambda => progress.deadline.left().saturating_sub(MARGIN),
        Place::Unbounded => Duration::MAX,
    };
    let layout = target.layout(&table.schema())?;
    let started = std::time::Instant::now();
    let taken = tokio::time::timeout(limit, Turn::take(connection, &target.name)).await;
    let mut turn = taken.unwrap_or(Err(Stop::TooSlow))?;
    let work = Work {
        target,
        table,
        layout,
        files: fingerprint(table),
        turn: &mut turn,
    };
    let limit = limit.saturating_sub(started.elapsed());
    let done = tokio::time::timeout(limit, work.run(run, progress)).await;
    // Whoever comes next need not wait until the turn is over by itself.
    turn.end().await;
    done.unwrap_or(Err(Stop::TooSlow))
}

/// What is missing in Redis.
enum Difference {
    /// Nothing.
    None,
    /// What is in these files.
    Files(Vec<DataFile>),
    /// More than can be told.
    Everything,
}

struct Work<'a> {
    target: &'a Target,
    table: &'a Table,
    layout: Layout,
    files: String,
    turn: &'a mut Turn,
}

impl Work<'_> {
    async fn run(mut self, run: &RunId, progress: &mut Progress<'_>) -> Result<(), Stop> {
        let mut note = self.note().await?;
        let (scan, under_way) = match self.compare(&note).await? {
            Difference::None => {
                progress.set("version", self.table.version());
                return Ok(());
            }
            Difference::Files(files) => {
                progress.expect(files.iter().map(|file| file.rows).sum());
                (self.table.scan().files(files), UnderWay::Changes)
            }
            Difference::Everything => {
                progress.expect(self.table.rows());
                (self.table.scan(), UnderWay::Everything)
            }
        };
        let before = note.published.as_ref().map(|it| it.layout.key.clone());
        let now = self.now().await?;
        note.clock = now.max(note.clock + 1);
        note.under_way = Some(under_way);
        self.begin(&note).await?;

        let mut load = Load::new(self.target, &self.layout, note.clock, self.turn)?;
        load.write(scan, progress).await?;
        match (under_way, self.layout.ttl) {
            (UnderWay::Everything, _) => load.remove_before(note.clock, progress).await?,
            // What has expired needs no key in the set any more. Of long publishes the last rows were written later than
            // the set says; these are left in it.
            (UnderWay::Changes, Some(ttl)) => {
                let expired = note.clock.saturating_sub(ttl.saturating_mul(2_000));
                load.remove_before(expired, progress).await?;
            }
            (UnderWay::Changes, None) => {}
        }

        note.published = Some(Published {
            source: self.target.source.clone(),
            version: self.table.version(),
            files: self.files.clone(),
            run: run.to_string(),
            at: self.now().await?,
            layout: self.layout.clone(),
        });
        note.under_way = None;
        self.end(&note, before).await?;
        progress.set("version", self.table.version());
        Ok(())
    }

    async fn note(&mut self) -> Result<Note, Stop> {
        let key = keys::dataset(&self.target.name);
        let text: Option<String> = self.turn.connection.ask(cmd("GET").arg(&key)).await?;
        let Some(text) = text else {
            return Ok(Note::default());
        };
        serde_json::from_str(&text).map_err(|_| {
            let text = format!(
                "`{key}` in Redis is no note of Millrace's: remove it, or use another Redis"
            );
            Failure::new(FailureName::BadDefinition, text).into()
        })
    }

    async fn compare(&self, note: &Note) -> Result<Difference, Stop> {
        let Some(published) = &note.published else {
            return Ok(Difference::Everything);
        };
        let (version, is_same) = (published.version, published.files == self.files);
        if published.source != self.target.source
            || published.layout != self.layout
            || note.under_way == Some(UnderWay::Everything)
        {
            return Ok(Difference::Everything);
        }
        if version == self.table.version() && is_same && note.under_way.is_none() {
            return Ok(Difference::None);
        }
        // A table that was made anew has begun its versions anew.
        if version >= self.table.version() || self.target.write == WriteMode::Replace {
            return Ok(Difference::Everything);
        }
        let changes = self.table.changes_since(version).await;
        let changes = changes.map_err(Failure::from)?;
        Ok(changes.map_or(Difference::Everything, Difference::Files))
    }

    /// The server's time, in milliseconds since 1970.
    async fn now(&mut self) -> Result<u64, RedisError> {
        let (seconds, micros): (u64, u64) = self.turn.connection.ask(&cmd("TIME")).await?;
        Ok(seconds * 1000 + micros / 1000)
    }

    /// Says that rows are being written, and that their keys are this table's.
    async fn begin(&mut self, note: &Note) -> Result<(), Stop> {
        let connection = &mut self.turn.connection;
        // Nobody else says so of the same keys meanwhile: then the transaction fails.
        connection
            .ask::<()>(cmd("WATCH").arg(keys::PATTERNS))
            .await?;
        let patterns: HashMap<String, String> =
            connection.ask(cmd("HGETALL").arg(keys::PATTERNS)).await?;
        let clash = patterns.iter().find(|(pattern, owner)| {
            let other = KeyPattern::parse(pattern);
            **owner != self.target.name && other.is_ok_and(|other| other.overlaps(&self.layout.key))
        });
        if let Some((pattern, owner)) = clash {
            let text = format!(
                "{}: keys of `{}` are those of {owner} in Redis, under `{pattern}`: publish {owner} under its new key \
                 first, or take out what it left (docs/operations.md)",
                self.target.name, self.layout.key
            );
            return Err(Failure::new(FailureName::BadDefinition, text).into());
        }
        let mut commands = self.turn.commands();
        self.put(note, &mut commands)?;
        self.turn.write::<()>(&commands).await
    }

    /// Says that all rows are there.
    async fn end(&mut self, note: &Note, before: Option<KeyPattern>) -> Result<(), Stop> {
        let mut commands = self.turn.commands();
        self.put(note, &mut commands)?;
        if let Some(before) = before.filter(|before| *before != self.layout.key) {
            let drop = commands.cmd("HDEL").arg(keys::PATTERNS);
            drop.arg(before.to_string()).ignore();
        }
        self.turn.write::<()>(&commands).await
    }

    fn put(&self, note: &Note, commands: &mut millrace_redis::Pipeline) -> Result<(), Stop> {
        let text = serde_json::to_string(note)
            .map_err(|error| Failure::new(FailureName::Internal, error.to_string()))?;
        let put = commands.cmd("SET").arg(keys::dataset(&self.target.name));
        put.arg(text).ignore();
        let name = commands.cmd("HSET").arg(keys::PATTERNS);
        name.arg(self.layout.key.to_string())
            .arg(&self.target.name)
            .ignore();
        Ok(())
    }
}
