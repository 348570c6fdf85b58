//! Redis as `serve` asks it.

use crate::link::{Link, Login};
use crate::page::{self, Trouble};
use crate::plan::Plan;
use async_trait::async_trait;
use jiff::Timestamp;
use millrace_model::digest::Digest;
use millrace_model::{Failure, FailureName};
use millrace_redis::{Note, RedisError, cmd, is_away, keys};
use millrace_serve::source::{
    Asked, Dataset, IndexRead, LARGEST, Page, Problem, Query, Served, Source, bad_cursor,
};
use millrace_store::secrets::Secrets;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many requests of a thread are answered at once; those behind them wait.
const REQUESTS: usize = 256;
/// How long a request waits for its turn.
const WAIT: Duration = Duration::from_secs(3);

/// A Redis that pipelines publish to.
#[derive(Debug)]
pub struct Redis {
    link: Link,
    turns: Semaphore,
}

/// Why nothing is known of a route's rows.
#[derive(Debug)]
enum Missing {
    /// Nobody published under those keys yet.
    NotPublished,
    /// The route does not fit what was published.
    Unfit(String),
    /// Redis cannot be reached, or refuses.
    Failed(Failure),
    /// Redis has another answer than is understood.
    Redis(RedisError),
}

impl From<Failure> for Missing {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotPublished => formatter.write_str("nothing is published under its keys yet"),
            Self::Unfit(message) => formatter.write_str(message),
            Self::Failed(failure) => failure.fmt(formatter),
            Self::Redis(error) => error.fmt(formatter),
        }
    }
}

impl Redis {
    /// The Redis whose reader that secret names. Nothing is read yet.
    pub fn new(secrets: Arc<dyn Secrets>, secret: String) -> Self {
        Self::over(Link::new(secrets, secret))
    }

    fn over(link: Link) -> Self {
        Self {
            link,
            turns: Semaphore::new(REQUESTS),
        }
    }

    /// What publish noted of the rows of a route. A connection may have died while the Lambda stood still: then another
    /// one is asked.
    async fn note(&self, route: &Served) -> Result<Option<Note>, Missing> {
        let again = match self.link.login().await {
            Ok(login) => match note(&login, route).await {
                Err(Missing::Redis(error)) if is_away(&error) => login,
                done => return done,
            },
            Err(failure) => return Err(failure.into()),
        };
        self.link.lost(&again).await;
        note(&*self.link.login().await?, route).await
    }

    /// Learns what is known of a route's rows.
    async fn look(&self, route: &Served) -> Result<(Note, Arc<Plan>), Missing> {
        let note = self.note(route).await?.ok_or(Missing::NotPublished)?;
        let published = note.published.clone().ok_or(Missing::NotPublished)?;
        let known = route.plan_of::<Plan>(None);
        if let Some(known) = known.filter(|known| known.published == published) {
            return Ok((note, known));
        }
        let plan = Arc::new(Plan::make(published, route).map_err(Missing::Unfit)?);
        route.set_plan(None, plan.clone());
        Ok((note, plan))
    }

    /// Gives a connection up that did not answer in time. Whether Redis is slow or gone, nobody can tell: the next request
    /// asks by another one.
    async fn give_up(&self) {
        if let Some(login) = self.link.connected().await {
            self.link.lost(&login).await;
        }
    }

    async fn try_page(&self, asked: &Asked<'_>) -> Result<Page, Problem> {
        let route = asked.route;
        let mut again = false;
        loop {
            let plan = match route.plan_of::<Plan>(None) {
                Some(plan) => plan,
                None => match self.look(route).await {
                    Ok((_, plan)) => plan,
                    Err(missing) => return Err(told_missing(&missing, route)),
                },
            };
            let login = self.link.login().await;
            let login = login.map_err(|failure| told_missing(&failure.into(), route))?;
            let trouble = match page::fetch(&login, asked, &plan).await {
                Ok(page) => return Ok(page),
                Err(trouble) => trouble,
            };
            let is_lost = matches!(&trouble, Trouble::Redis(error) if is_away(error));
            if is_lost {
                self.link.lost(&login).await;
            }
            // They may lie there in another form than was known.
            let is_stale = matches!(trouble, Trouble::Redis(_) | Trouble::Unfit(_));
            if again || !is_stale {
                return Err(told(trouble, route));
            }
            route.forget_plans();
            again = true;
        }
    }
}

async fn note(login: &Login, route: &Served) -> Result<Option<Note>, Missing> {
    let mut connection = login.connection.clone();
    let pattern = route.route.lookup.as_ref().map(|it| it.key.to_string());
    let mut whose = cmd("HGET");
    whose.arg(keys::PATTERNS).arg(pattern);
    let table: Result<Option<String>, RedisError> = connection.ask(&whose).await;
    let Some(table) = table.map_err(Missing::Redis)? else {
        return Ok(None);
    };
    let text = connection.ask(cmd("GET").arg(keys::dataset(&table))).await;
    let text: Option<String> = text.map_err(Missing::Redis)?;
    let note = text.map(|text| serde_json::from_str(&text)).transpose();
    note.map_err(|error| Missing::Unfit(format!("the note of {table} cannot be read: {error}")))
}

#[async_trait]
impl Source for Redis {
    fn share(&self, threads: usize) -> Vec<Arc<dyn Source>> {
        let share = |_| Arc::new(Self::over(self.link.another())) as Arc<dyn Source>;
        (0..threads.max(1)).map(share).collect()
    }

    async fn warm_up(&self) {
        self.link.login().await.ok();
    }

    async fn ready(&self) -> Result<(), Problem> {
        let login = self.link.login().await;
        let login = login.map_err(|_| Problem::unavailable())?;
        let mut connection = login.connection.clone();
        let count: Result<u64, RedisError> = connection.ask(cmd("HLEN").arg(keys::PATTERNS)).await;
        if let Err(error) = count {
            tracing::error!(%error, "Redis does not answer");
            self.link.lost(&login).await;
            return Err(Problem::unavailable());
        }
        Ok(())
    }

    async fn dataset(&self, route: &Served) -> Result<Option<Arc<Dataset>>, String> {
        let limit = route.route.timeout;
        let Ok(looked) = tokio::time::timeout(limit, self.look(route)).await else {
            self.give_up().await;
            return Err(format!(
                "Redis did not answer within {} ms",
                limit.as_millis()
            ));
        };
        let note = match looked {
            Ok((note, _)) => note,
            Err(Missing::NotPublished) => return Ok(None),
            Err(missing) => return Err(missing.to_string()),
        };
        Ok(identified(&note, Timestamp::now()).map(Arc::new))
    }

    async fn learn(&self, routes: &[&Served]) {
        for route in routes {
            if let Err(missing) = self.look(route).await {
                let path = &route.route.path;
                tracing::warn!(path, error = %missing, "the route's columns are not known");
            }
        }
    }

    async fn page(&self, asked: &Asked<'_>) -> Result<Page, Problem> {
        let turn = tokio::time::timeout(WAIT, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Problem::busy());
        };
        let limit = asked.route.route.timeout;
        if let Ok(page) = tokio::time::timeout(limit, self.try_page(asked)).await {
            return page;
        }
        self.give_up().await;
        Err(Problem::timeout(limit))
    }

    async fn check(&self, route: &Served) -> Result<Result<(), String>, Failure> {
        match self.look(route).await {
            Ok((_, plan)) => Ok(plan.check(route)),
            // What is not there yet says nothing about the route.
            Err(Missing::NotPublished) => Ok(Ok(())),
            Err(Missing::Unfit(message)) => Ok(Err(message)),
            Err(Missing::Failed(failure)) => Err(failure),
            Err(Missing::Redis(error)) => {
                Err(Failure::new(FailureName::Transient, error.to_string()))
            }
        }
    }

    async fn indexes(&self, _: &Query<'_>) -> Result<Vec<IndexRead>, String> {
        Err("Redis has no indexes: leave `index` out of the test".to_owned())
    }
}

/// What tells the rows of now from all others.
fn identified(note: &Note, now: Timestamp) -> Option<Dataset> {
    let published = note.published.as_ref()?;
    let mut digest = Digest::of([&published.source, &published.files]);
    digest.part(published.version.to_string());
    digest.part(published.at.to_string());
    if published.layout.ttl.is_some() {
        // A row expires without anybody writing: within a minute, that is another answer.
        digest.part((now.as_second() / 60).to_string());
    }
    if note.under_way.is_some() {
        // Some rows are newer than others, and nothing says which.
        digest.part(now.as_nanosecond().to_string());
    }
    Some(Dataset {
        identity: digest.bytes(),
        as_of: Timestamp::from_millisecond(published.at.cast_signed()).ok()?,
        snapshot: None,
        run: Some(published.run.clone()),
    })
}

fn told_missing(missing: &Missing, route: &Served) -> Problem {
    let path = &route.route.path;
    tracing::error!(path, error = %missing, "the rows cannot be looked up");
    match missing {
        Missing::NotPublished => Problem::not_published(),
        Missing::Unfit(_) => Problem::internal(),
        Missing::Redis(error) if !is_away(error) => Problem::internal(),
        Missing::Failed(failure) if failure.name == FailureName::BadDefinition => {
            Problem::internal()
        }
        Missing::Redis(_) | Missing::Failed(_) => Problem::unavailable(),
    }
}

fn told(trouble: Trouble, route: &Served) -> Problem {
    let path = &route.route.path;
    match trouble {
        Trouble::TooLarge(rows) => Problem::too_large(LARGEST, rows),
        Trouble::BadCursor => bad_cursor(),
        Trouble::Unfit(unfit) => {
            tracing::error!(path, ?unfit, "a row is not what was published");
            Problem::unavailable()
        }
        Trouble::Redis(error) => {
            tracing::error!(path, %error, "the rows were not looked up");
            Problem::unavailable()
        }
    }
}
