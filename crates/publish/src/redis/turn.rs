//! Whose turn it is to publish a table.

use crate::Stop;
use millrace_model::{Failure, FailureName};
use millrace_redis::{Connection, FromRedisValue, Pipeline, cmd, keys, pipe};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a turn lasts behind its last sign of life: so long is a publish waited for that was killed.
const LASTS: Duration = Duration::from_secs(10);
/// How long another publish of the same table is waited for.
const WAIT: Duration = Duration::from_mins(1);
/// How often it is looked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The turn to publish a table. Its connection is nobody else's: what it watches, it watches for itself.
pub struct Turn {
    /// The connection.
    pub connection: Connection,
    table: String,
    key: String,
    token: String,
}

impl Turn {
    /// Waits for the turn.
    pub async fn take(connection: &Connection, table: &str) -> Result<Self, Stop> {
        let mut turn = Self {
            connection: connection.clone(),
            table: table.to_owned(),
            key: keys::turn(table),
            token: Uuid::new_v4().to_string(),
        };
        let started = Instant::now();
        let mut take = cmd("SET");
        take.arg(&turn.key).arg(&turn.token);
        take.arg("NX").arg("PX").arg(LASTS.as_millis() as u64);
        loop {
            let taken: Option<String> = turn.connection.ask(&take).await?;
            if taken.is_some() {
                return Ok(turn);
            }
            if started.elapsed() > WAIT {
                let text = format!(
                    "another publish of {table} to Redis is under way, for more than {} s",
                    WAIT.as_secs()
                );
                return Err(Failure::new(FailureName::Transient, text).into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Commands to be written; the turn lasts on when they are.
    pub fn commands(&self) -> Pipeline {
        let mut commands = pipe();
        let lasts = LASTS.as_millis() as u64;
        commands.atomic();
        commands.cmd("PEXPIRE").arg(&self.key).arg(lasts).ignore();
        commands
    }

    /// Does all of these commands or none, if it is still this turn. It may not be where a process stood still for longer
    /// than a turn lasts: somebody else goes on then.
    pub async fn write<T: FromRedisValue>(&mut self, commands: &Pipeline) -> Result<T, Stop> {
        let done: Option<T> = if self.is_held().await? {
            self.connection.ask_all(commands).await?
        } else {
            None
        };
        done.ok_or_else(|| {
            let text = format!(
                "this publish of {} to Redis stood still for more than {} s, and has lost its turn",
                self.table,
                LASTS.as_secs()
            );
            Failure::new(FailureName::Transient, text).into()
        })
    }

    /// Whether it is still this turn; what is written next fails where it is not then.
    async fn is_held(&mut self) -> Result<bool, Stop> {
        let mut look = pipe();
        look.cmd("WATCH").arg(&self.key).ignore();
        look.cmd("GET").arg(&self.key);
        let (holder,): (Option<String>,) = self.connection.ask_all(&look).await?;
        Ok(holder.as_deref() == Some(&self.token))
    }

    /// Lets the next one have its turn. Where that fails, the turn is over by itself soon.
    pub async fn end(mut self) {
        let mut end = pipe();
        end.atomic().cmd("DEL").arg(&self.key).ignore();
        let ended: Result<(), Stop> = self.write(&end).await;
        if let Err(stop) = ended {
            tracing::debug!(?stop, table = self.table, "the turn was not given back");
        }
    }
}
