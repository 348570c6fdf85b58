//! The definitions as they lie in `definitions/endpoints/`, read again while requests come. One that is broken is refused:
//! what it was before stays, and the log says so until it is mended.

use crate::routes::{Served, Table};
use bytes::Bytes;
use millrace_model::definition::parse;
use millrace_store::definitions;
use millrace_store::objects::{Error, Objects, Version};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// How old the last look at the definitions may be.
pub const FRESH: Duration = Duration::from_secs(10);
/// How long a request waits for a look that is not the first.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a broken definition is told of: the alarm sums over five minutes.
const REMINDER: Duration = Duration::from_mins(1);
/// How many versions are looked through for one that is not broken.
const EARLIER: usize = 10;
/// The alarm that hears of broken definitions, by its name in `infra/catalog/alarms.tf`.
const ALARM: &str = "definition-broken";

/// The definitions, read again when the last look at them is too old. A request looks by itself: between two requests a
/// Lambda stands still.
#[derive(Debug)]
pub struct Definitions {
    objects: Arc<dyn Objects>,
    current: RwLock<Option<Current>>,
    files: Mutex<Files>,
}

/// The files as they were read last, by their keys.
type Files = BTreeMap<String, File>;

/// A definition as it was read last.
#[derive(Debug)]
struct File {
    version: Version,
    /// What is served: of a broken one, what it was before.
    routes: Vec<Arc<Served>>,
    broken: Option<Broken>,
}

/// Why a definition is refused.
#[derive(Debug)]
struct Broken {
    problems: String,
    told: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Current {
    table: Arc<Table>,
    looked: Instant,
}

impl Definitions {
    /// The definitions that lie in these objects. Nothing is read yet.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self {
            objects,
            current: RwLock::default(),
            files: Mutex::default(),
        }
    }

    /// Their routes; at most ten seconds old, unless the definitions cannot be read: then those that were read last. An
    /// error where they never could.
    pub async fn table(&self) -> Result<Arc<Table>, Error> {
        let known = self.current();
        match known {
            Some(known) if known.looked.elapsed() < FRESH => Ok(known.table),
            Some(known) => {
                // One looks; the others answer from what is known.
                let Ok(files) = self.files.try_lock() else {
                    return Ok(known.table);
                };
                match tokio::time::timeout(PATIENCE, self.look(files)).await {
                    Ok(Ok(table)) => return Ok(table),
                    Ok(Err(error)) => {
                        tracing::error!(%error, "the endpoints' definitions were not read again");
                    }
                    Err(_) => tracing::error!(
                        "the endpoints' definitions were not read again: it took too long"
                    ),
                }
                self.set(known.table.clone());
                Ok(known.table)
            }
            None => {
                let files = self.files.lock().await;
                match self.current() {
                    Some(known) => Ok(known.table),
                    None => self.look(files).await,
                }
            }
        }
    }

    /// Their routes as they are now.
    pub async fn newest(&self) -> Result<Arc<Table>, Error> {
        self.look(self.files.lock().await).await
    }

    fn current(&self) -> Option<Current> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, table: Arc<Table>) {
        let current = Some(Current {
            table,
            looked: Instant::now(),
        });
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    async fn look(&self, mut files: MutexGuard<'_, Files>) -> Result<Arc<Table>, Error> {
        let found = definitions::versions(&*self.objects, "endpoint").await?;
        let mut changed = files.len() != found.len();
        files.retain(|key, _| found.contains_key(key));
        for (key, version) in found {
            if files.get(&key).is_some_and(|file| file.version == version) {
                continue;
            }
            changed = true;
            // Between the list and the look it may have gone.
            let Some(object) = self.objects.get(&key).await? else {
                continue;
            };
            // The look may end here, for lack of time: what is known stays until there is something else.
            let known = files.get(&key).map(|file| file.routes.clone());
            let file = self
                .file(&key, object.version, &object.bytes, known)
                .await?;
            files.insert(key, file);
        }
        remind(&mut files);
        let known = self.current().filter(|_| !changed);
        let table = known.map_or_else(|| Arc::new(table(&files)), |known| known.table);
        self.set(table.clone());
        Ok(table)
    }

    /// A file that is new or was changed; where it is broken, with the routes that were `known` before.
    async fn file(
        &self,
        key: &str,
        version: Version,
        bytes: &[u8],
        known: Option<Vec<Arc<Served>>>,
    ) -> Result<File, Error> {
        let (routes, broken) = match compile(key, bytes) {
            Ok(routes) => (routes, None),
            Err(problems) => {
                let told = None;
                let broken = Broken { problems, told };
                (self.before(key, known).await?, Some(broken))
            }
        };
        Ok(File {
            version,
            routes,
            broken,
        })
    }

    /// The routes of the youngest version that was not broken: not every process saw each version, and all answer alike.
    /// Where there is none, or it cannot be read, those that were known.
    async fn before(
        &self,
        key: &str,
        known: Option<Vec<Arc<Served>>>,
    ) -> Result<Vec<Arc<Served>>, Error> {
        let versions = match (self.objects.earlier(key, EARLIER).await, &known) {
            (Ok(versions), _) => versions,
            // That there is no such route is not known.
            (Err(error), None) => return Err(error),
            (Err(error), Some(_)) => {
                tracing::error!(%error, "the broken definition's earlier versions cannot be read");
                Vec::new()
            }
        };
        let compiled = |bytes: &Bytes| compile(key, bytes).ok();
        let youngest = versions.iter().find_map(compiled);
        Ok(youngest.or(known).unwrap_or_default())
    }
}

/// Tells of every broken definition, again and again until it is mended.
fn remind(files: &mut Files) {
    for (key, file) in files {
        let Some(broken) = &mut file.broken else {
            continue;
        };
        if broken.told.is_some_and(|told| told.elapsed() < REMINDER) {
            continue;
        }
        broken.told = Some(Instant::now());
        tracing::error!(
            alarm = ALARM,
            definition = key,
            problems = broken.problems,
            routes = file.routes.len(),
            "the definition is broken; what it was before stays"
        );
    }
}

fn table(files: &Files) -> Table {
    Table::of(files.values().flat_map(|file| file.routes.iter().cloned()))
}

fn compile(key: &str, bytes: &[u8]) -> Result<Vec<Arc<Served>>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{key} is not UTF-8"))?;
    let mut endpoint = parse::endpoint(key, text).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    })?;
    let routes = std::mem::take(&mut endpoint.routes);
    routes
        .into_iter()
        .map(|route| Served::new(&endpoint, route).map(Arc::new))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use millrace_store::objects::{Entry, Object};
    use std::ops::Range;

    /// One definition, and what it was before.
    #[derive(Debug)]
    struct Kept {
        versions: std::sync::Mutex<Vec<String>>,
        keeps: bool,
    }

    fn endpoint(path: &str) -> String {
        format!(
            "metadata: {{ name: e, description: d }}\nroutes:\n  {path}:\n    datasource: operational_store\n    \
             query: SELECT id FROM s.t\n"
        )
    }

    impl Kept {
        fn of(versions: &[&str], keeps: bool) -> Arc<Self> {
            let versions = versions.iter().map(|text| (*text).to_owned()).collect();
            Arc::new(Self {
                versions: std::sync::Mutex::new(versions),
                keeps,
            })
        }

        fn latest(&self) -> (Version, Bytes) {
            let versions = self.versions.lock().unwrap();
            let text = versions.last().unwrap().clone();
            (Version(versions.len().to_string()), text.into())
        }
    }

    #[async_trait]
    impl Objects for Kept {
        async fn get(&self, _: &str) -> Result<Option<Object>, Error> {
            let (version, bytes) = self.latest();
            Ok(Some(Object { bytes, version }))
        }

        async fn list(&self, prefix: &str, _: Option<&str>, _: usize) -> Result<Vec<Entry>, Error> {
            Ok(vec![Entry {
                key: format!("{prefix}e.yaml"),
                size: 1,
                version: self.latest().0,
            }])
        }

        async fn earlier(&self, _: &str, limit: usize) -> Result<Vec<Bytes>, Error> {
            let versions = self.versions.lock().unwrap();
            let earlier = versions.iter().rev().skip(1).take(limit);
            let earlier = earlier.filter(|_| self.keeps);
            Ok(earlier.map(|text| text.clone().into()).collect())
        }

        async fn get_range(&self, _: &str, _: Range<u64>) -> Result<Bytes, Error> {
            unreachable!()
        }

        async fn put(&self, _: &str, _: Bytes) -> Result<Version, Error> {
            unreachable!()
        }

        async fn create(&self, _: &str, _: Bytes) -> Result<Version, Error> {
            unreachable!()
        }

        async fn replace(&self, _: &str, _: Bytes, _: &Version) -> Result<Version, Error> {
            unreachable!()
        }

        async fn delete(&self, _: &str) -> Result<(), Error> {
            unreachable!()
        }
    }

    fn paths(table: &Table) -> Vec<&str> {
        let paths = table.routes.iter().map(|route| route.route.path.as_str());
        paths.collect()
    }

    #[tokio::test]
    async fn a_process_that_never_saw_the_good_one_finds_it_among_the_earlier_versions() {
        let (first, second) = (endpoint("/first"), endpoint("/second"));
        let versions = [first.as_str(), &second, "metadata: [", "routes: 7"];
        let definitions = Definitions::new(Kept::of(&versions, true));
        assert_eq!(paths(&definitions.table().await.unwrap()), ["/second"]);
        let definitions = Definitions::new(Kept::of(&versions, false));
        assert!(paths(&definitions.table().await.unwrap()).is_empty());
    }

    #[tokio::test]
    async fn a_broken_definition_is_told_of_until_it_is_mended() {
        let kept = Kept::of(&[&endpoint("/first"), "metadata: ["], true);
        let definitions = Definitions::new(kept.clone());
        definitions.table().await.unwrap();
        let told = |files: &Files| files.values().next().unwrap().broken.as_ref()?.told;
        let mut files = definitions.files.lock().await;
        let first = told(&files).unwrap();
        remind(&mut files);
        assert_eq!(told(&files), Some(first), "not with every look");
        for file in files.values_mut() {
            let past = first.checked_sub(REMINDER).unwrap();
            file.broken.as_mut().unwrap().told = Some(past);
        }
        remind(&mut files);
        assert!(told(&files) >= Some(first));
        kept.versions.lock().unwrap().push(endpoint("/third"));
        assert_eq!(paths(&definitions.look(files).await.unwrap()), ["/third"]);
        assert_eq!(told(&*definitions.files.lock().await), None);
    }
}
