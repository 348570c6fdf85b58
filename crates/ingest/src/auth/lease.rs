//! A lease in the lake: of several processes that would renew the same token one does, and the others wait for it.

use millrace_model::Failure;
use millrace_store::objects::{Error, ErrorKind, Objects, Version};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tracing::warn;

/// A lease as one process sees it.
pub(super) struct Lease<'a> {
    objects: &'a dyn Objects,
    key: String,
    /// After how long a holder that says nothing is taken for dead.
    length: Duration,
    holder: String,
    /// What was there when it was last looked at, and since when it has been there. Clocks of several machines need not
    /// agree: each waits the whole length by its own.
    watched: Option<(Version, Instant)>,
}

/// A lease that is held.
pub(super) struct Held {
    version: Version,
    /// What the holder before it left.
    pub(super) spent: Option<String>,
}

/// What lies in the lake.
#[derive(Serialize, Deserialize)]
struct Document {
    /// Who renews; nobody where there is none.
    holder: Option<String>,
    /// A digest of the token that was used up last. A store of secrets may answer with an older version for a while: a
    /// token of this digest must not be used again.
    spent: Option<String>,
    written_at: String,
}

impl<'a> Lease<'a> {
    pub(super) fn new(objects: &'a dyn Objects, key: String, length: Duration) -> Self {
        Self {
            objects,
            key,
            length,
            holder: format!("{:016x}", rand::random::<u64>()),
            watched: None,
        }
    }

    /// Takes the lease; none where somebody else has it.
    pub(super) async fn take(&mut self) -> Result<Option<Held>, Failure> {
        let Some(object) = self.objects.get(&self.key).await? else {
            let bytes = self.document(Some(self.holder.clone()), None)?;
            return Self::held(self.objects.create(&self.key, bytes).await, None);
        };
        let there: Document = serde_json::from_slice(&object.bytes)
            .map_err(|cause| Error::because(ErrorKind::Malformed, &self.key, cause))?;
        let is_free = there
            .holder
            .as_ref()
            .is_none_or(|holder| *holder == self.holder);
        if !is_free && !self.is_outlived(&object.version) {
            return Ok(None);
        }
        let bytes = self.document(Some(self.holder.clone()), there.spent.clone())?;
        let put = self
            .objects
            .replace(&self.key, bytes, &object.version)
            .await;
        Self::held(put, there.spent)
    }

    /// Gives the lease back, with the digest of the token that was used up.
    pub(super) async fn give_back(&self, held: Held, spent: Option<String>) {
        let put = match self.document(None, spent.or(held.spent)) {
            Ok(bytes) => self.objects.replace(&self.key, bytes, &held.version).await,
            Err(error) => Err(error),
        };
        if let Err(error) = put {
            // Whoever waits for it does so a while longer.
            warn!(%error, "the lease could not be given back");
        }
    }

    fn held(put: Result<Version, Error>, spent: Option<String>) -> Result<Option<Held>, Failure> {
        match put {
            Ok(version) => Ok(Some(Held { version, spent })),
            Err(error) if matches!(error.kind, ErrorKind::Exists | ErrorKind::Changed) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the same holder has been there for the whole length.
    fn is_outlived(&mut self, version: &Version) -> bool {
        match &self.watched {
            Some((watched, since)) if watched == version => since.elapsed() >= self.length,
            _ => {
                self.watched = Some((version.clone(), Instant::now()));
                false
            }
        }
    }

    fn document(
        &self,
        holder: Option<String>,
        spent: Option<String>,
    ) -> Result<bytes::Bytes, Error> {
        let document = Document {
            holder,
            spent,
            written_at: jiff::Timestamp::now().to_string(),
        };
        let bytes = serde_json::to_vec(&document);
        let bytes =
            bytes.map_err(|cause| Error::because(ErrorKind::Malformed, &self.key, cause))?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_store::objects::Folder;

    #[tokio::test]
    async fn one_holds_it_until_it_is_given_back_or_its_time_is_over() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path());
        let length = Duration::from_millis(150);
        let lease = || Lease::new(&folder, "leases/crm.json".into(), length);
        let (mut first, mut second) = (lease(), lease());
        let held = first.take().await.unwrap().unwrap();
        assert!(second.take().await.unwrap().is_none());
        first.give_back(held, Some("abc".into())).await;
        let held = second.take().await.unwrap().unwrap();
        assert_eq!(held.spent.as_deref(), Some("abc"));

        // The second dies; the first has to see it silent for the whole length.
        assert!(first.take().await.unwrap().is_none());
        tokio::time::sleep(length).await;
        let taken_over = first.take().await.unwrap().unwrap();
        second.give_back(held, Some("late".into())).await;
        first.give_back(taken_over, None).await;
        let held = lease().take().await.unwrap().unwrap();
        assert_eq!(
            held.spent.as_deref(),
            Some("abc"),
            "who was overtaken writes nothing"
        );
    }
}
