//! Making an export's files: page after page as a caller would ask, and all of them of one version of the tables.

use super::file::File;
use super::job::{Job, Part, State};
use crate::Serve;
use crate::asked::Asked;
use crate::dataset::Dataset;
use crate::params::MAX_LIMIT;
use crate::problem::Problem;
use crate::routes::{InPath, Served};
use crate::rows;
use crate::writer::Page;
use http::StatusCode;
use millrace_model::{Failure, keys};
use millrace_store::json;
use millrace_store::objects::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How large a file becomes before the next one is begun.
const FILE_BYTES: usize = 32 * 1024 * 1024;
/// How long making the files may take: a Lambda ends behind 15 minutes.
const LONGEST: Duration = Duration::from_mins(14);
/// How often whoever makes the files says that it does.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// How often it is begun anew because the tables were published meanwhile.
const BEGINNINGS: u32 = 3;
/// How often a page is asked for while the store is busy.
const TRIES: u32 = 5;

/// Why there are no files.
enum Trouble {
    /// The caller is to be told.
    Told(String),
    /// Another one makes them by now.
    Overtaken,
    /// It may go better another time.
    Failed(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Serve {
    /// Makes the files of an export, unless somebody else does, or they are there. A failure is worth another try.
    pub(super) async fn make_export(&self, id: Uuid) -> Result<(), Failure> {
        let Some(job) = json::get::<Job>(&*self.objects, &keys::export_job(id)).await? else {
            return Ok(());
        };
        let maker = Uuid::new_v4();
        let state = self.change(id, |state| state.taken(maker)).await?;
        if !state.is_some_and(|state| state.is_made_by(maker)) {
            return Ok(());
        }
        let made = tokio::time::timeout(LONGEST, self.make(id, &job, maker)).await;
        let end: Box<dyn Fn(State) -> State + Send + Sync> = match made {
            Ok(Ok((files, dataset))) => Box::new(move |state| {
                let as_of = dataset.as_ref().map(|dataset| dataset.as_of);
                state.done(files.clone(), as_of)
            }),
            Ok(Err(Trouble::Overtaken)) => return Ok(()),
            Ok(Err(Trouble::Failed(error))) => return Err(error.into()),
            Ok(Err(Trouble::Told(text))) => Box::new(move |state| state.failed(text.clone())),
            Err(_) => Box::new(|state| {
                let minutes = LONGEST.as_secs() / 60;
                state.failed(format!(
                    "the files took longer than {minutes} minutes; ask for less"
                ))
            }),
        };
        self.change(id, |state| state.is_made_by(maker).then(|| end(state)))
            .await?;
        Ok(())
    }

    async fn change(
        &self,
        id: Uuid,
        change: impl Fn(State) -> Option<State>,
    ) -> Result<Option<State>, Error> {
        json::update(&*self.objects, &keys::export_state(id), |state| {
            Ok::<_, Error>(change(state.unwrap_or_default()))
        })
        .await
    }

    async fn make(
        &self,
        id: Uuid,
        job: &Job,
        maker: Uuid,
    ) -> Result<(Vec<Part>, Option<Arc<Dataset>>), Trouble> {
        let told = |problem: Problem| Trouble::Told(problem.detail);
        let table = self.table().await.map_err(told)?;
        let gone = || Trouble::Told("the route is gone".to_owned());
        let (route, in_path) = table.find(job.path()).ok_or_else(gone)?;
        let source = self.source(&route).ok_or_else(gone)?;
        for _ in 0..BEGINNINGS {
            // What is known of it may be a second old; what is asked for now is not.
            let before = source.dataset(&route).await.map_err(Trouble::Told)?;
            let files = self.files(id, job, (&route, &in_path), maker).await?;
            let behind = source.dataset(&route).await.map_err(Trouble::Told)?;
            let identity = |dataset: &Option<Arc<Dataset>>| dataset.as_ref().map(|it| it.identity);
            if identity(&before) == identity(&behind) {
                return Ok((files, before));
            }
        }
        let text = "the tables were published anew each time the files were made; ask again later";
        Err(Trouble::Told(text.to_owned()))
    }

    /// Writes all rows into files, and says what is in them.
    async fn files(
        &self,
        id: Uuid,
        job: &Job,
        (route, in_path): (&Served, &InPath),
        maker: Uuid,
    ) -> Result<Vec<Part>, Trouble> {
        let told = |problem: Problem| Trouble::Told(problem.detail);
        let request = job
            .request()
            .map_err(|failure| Trouble::Told(failure.message))?;
        let caller = job.caller();
        let mut arguments =
            rows::arguments(route, in_path, &request, caller.as_ref()).map_err(told)?;
        (arguments.limit, arguments.cursor) = (MAX_LIMIT, None);
        let (mut files, mut file) = (Vec::new(), File::new(job.format));
        let mut sign = Instant::now();
        loop {
            let asked = Asked::new(route, &arguments, caller.as_ref(), job.format).as_part();
            let page = self.patient_page(&asked).await.map_err(told)?;
            file.push(&page).map_err(Trouble::Told)?;
            arguments.cursor = page.next;
            let last = arguments.cursor.is_none();
            if last || file.bytes() >= FILE_BYTES {
                let rows = file.rows();
                let bytes = std::mem::replace(&mut file, File::new(job.format)).finish();
                let bytes = bytes.map_err(Trouble::Told)?;
                let key = keys::export_file(id, files.len() as u32, job.format.extension());
                files.push(Part {
                    rows,
                    bytes: bytes.len() as u64,
                });
                self.objects.put(&key, bytes).await?;
            }
            if last {
                return Ok(files);
            }
            if sign.elapsed() > SIGN_OF_LIFE {
                let state = self
                    .change(id, |state| state.going_on(maker, &files))
                    .await?;
                if !state.is_some_and(|state| state.is_made_by(maker)) {
                    return Err(Trouble::Overtaken);
                }
                sign = Instant::now();
            }
        }
    }

    /// A page, waited for while the store is busy with those who ask.
    async fn patient_page(&self, asked: &Asked<'_>) -> Result<Page, Problem> {
        let mut tries = 1;
        loop {
            let gone = || Problem::not_found(&asked.route.route.path);
            let source = self.source(asked.route).ok_or_else(gone)?;
            match source.page(asked).await {
                Err(problem)
                    if problem.status == StatusCode::SERVICE_UNAVAILABLE && tries < TRIES =>
                {
                    tokio::time::sleep(Duration::from_secs(1 << tries)).await;
                    tries += 1;
                }
                page => return page,
            }
        }
    }
}
