//! What a pull looks for in a body, and how far a value lies along the way to it.

use crate::cursor::Reader;
use millrace_model::definition::FieldPath;
use millrace_records::json::EACH;

/// Where in a body that lies which is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    /// None where a body has none and need not have any.
    records: Option<Vec<String>>,
    field: Option<(Vec<String>, Reader)>,
    next: Option<Vec<String>>,
    last: Option<Vec<String>>,
    meta: Meta,
    /// Under these paths all plain values outside of the records are kept, those in lists included, as far as there is
    /// room.
    below: Vec<String>,
}

/// Which plain values outside of the records are kept.
#[derive(Clone, Debug)]
enum Meta {
    /// Those at these paths.
    At(Vec<String>),
    /// All of them, as far as there is room.
    All,
}

/// How deep values outside of the records are looked for, where all are.
const META_DEPTH: usize = 6;

/// Of how many elements of a list outside of the records values are kept.
const ELEMENTS: usize = 8;

/// How many of a path's segments lead to a value; `OFF` where they lead elsewhere.
type Progress = u8;
const OFF: Progress = Progress::MAX;

/// How far along each of the paths a value lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trail {
    records: Progress,
    field: Progress,
    next: Progress,
    last: Progress,
    /// Whether it, or something in it, is one of the values outside of the records.
    meta: bool,
}

impl Trail {
    /// Off all of them.
    pub(crate) const NOWHERE: Self = Self {
        records: OFF,
        field: OFF,
        next: OFF,
        last: OFF,
        meta: false,
    };

    /// Whether anything that is looked for may lie there or below.
    pub(crate) fn leads_on(self) -> bool {
        self.records != OFF
            || self.field != OFF
            || self.next != OFF
            || self.last != OFF
            || self.meta
    }

    /// Whether it, or something in it, is one of the values outside of the records.
    pub(crate) fn is_meta(self) -> bool {
        self.meta
    }
}

impl Targets {
    pub(crate) fn new(
        records: &FieldPath,
        field: Option<(&FieldPath, Reader)>,
        next: Option<&FieldPath>,
    ) -> Self {
        let segments =
            |path: &FieldPath| path.segments().map(ToOwned::to_owned).collect::<Vec<_>>();
        Self {
            records: Some(segments(records)),
            field: field.map(|(path, kind)| (segments(path), kind)),
            next: next.map(segments),
            last: None,
            meta: Meta::At(Vec::new()),
            below: Vec::new(),
        }
    }

    /// Of an answer that is not asked for records: its plain values.
    pub(crate) fn aside() -> Self {
        Self {
            records: None,
            field: None,
            next: None,
            last: None,
            meta: Meta::All,
            below: vec![String::new()],
        }
    }

    /// Whether there must be records.
    pub(crate) fn has_records(&self) -> bool {
        self.records.is_some()
    }

    /// With the last record's value of that field.
    pub(crate) fn and_last(mut self, field: Option<&FieldPath>) -> Self {
        self.last = field.map(|path| path.segments().map(ToOwned::to_owned).collect());
        self
    }

    /// With the plain values at those paths of the body.
    pub(crate) fn and_meta(mut self, paths: Vec<String>) -> Self {
        self.meta = Meta::At(paths);
        self
    }

    /// With all plain values outside of the records, as far as there is room.
    pub(crate) fn and_all_meta(mut self) -> Self {
        self.meta = Meta::All;
        self
    }

    /// With all plain values under those paths.
    pub(crate) fn and_below(mut self, paths: Vec<String>) -> Self {
        self.below = paths;
        self
    }

    /// The trail of the body itself.
    pub(crate) fn body(&self) -> Trail {
        Trail {
            records: if self.records.is_some() { 0 } else { OFF },
            field: OFF,
            next: if self.next.is_some() { 0 } else { OFF },
            last: OFF,
            meta: !self.below.is_empty()
                || !matches!(&self.meta, Meta::At(paths) if paths.is_empty()),
        }
    }

    /// The trail of a record that lies on `trail`.
    pub(crate) fn record(&self, trail: Trail) -> Trail {
        Trail {
            field: if self.field.is_some() { 0 } else { OFF },
            last: if self.last.is_some() { 0 } else { OFF },
            ..trail
        }
    }

    /// The trail of the value behind that key of an object; `path` is the value's, for values outside of the records.
    pub(crate) fn value(&self, object: Trail, key: &str, path: &str) -> Trail {
        let field = self.field.as_ref();
        let next = self.next.as_ref();
        let last = self.last.as_ref();
        Trail {
            records: self
                .records
                .as_ref()
                .map_or(OFF, |path| follow(path, object.records, key)),
            field: field.map_or(OFF, |(path, _)| follow(path, object.field, key)),
            next: next.map_or(OFF, |path| follow_dotted(path, object.next, key)),
            last: last.map_or(OFF, |path| follow(path, object.last, key)),
            meta: object.meta && self.leads_to_meta(path),
        }
    }

    /// The trail of an element of a list that lies on `trail`; `path` is that of element `number`, for values outside of
    /// the records.
    pub(crate) fn element(&self, trail: Trail, number: usize, path: &str) -> Trail {
        let records = if self.leads_to_each(trail) {
            trail.records + 1
        } else {
            OFF
        };
        Trail {
            records,
            meta: trail.meta && number < ELEMENTS && self.lies_below(path),
            ..Trail::NOWHERE
        }
    }

    /// Whether records lie in every member or element of the value there.
    pub(crate) fn leads_to_each(&self, trail: Trail) -> bool {
        let records = self.records.as_ref();
        let step = records.and_then(|path| path.get(usize::from(trail.records)));
        step.is_some_and(|step| step == EACH)
    }

    /// Whether a value that is no record may lie where records do.
    pub(crate) fn may_miss(&self) -> bool {
        let mut steps = self.records.iter().flatten();
        steps.any(|step| step == EACH)
    }

    fn leads_to_meta(&self, path: &str) -> bool {
        let is_wanted = match &self.meta {
            Meta::All => path.split('.').count() <= META_DEPTH,
            Meta::At(wanted) => wanted.iter().any(|wanted| begins_with(wanted, path)),
        };
        is_wanted || self.lies_below(path)
    }

    /// Whether a path lies under, or on the way to, one of those under which all values are kept.
    fn lies_below(&self, path: &str) -> bool {
        path.split('.').count() <= META_DEPTH
            && self
                .below
                .iter()
                .any(|below| begins_with(below, path) || begins_with(path, below))
    }

    /// Whether the value at that path outside of the records is needed, and not only welcome.
    pub(crate) fn needs_meta(&self, trail: Trail, path: &str) -> bool {
        trail.meta && matches!(&self.meta, Meta::At(wanted) if wanted.iter().any(|one| one == path))
    }

    /// Whether the last record's value that leads on lies there.
    pub(crate) fn is_last(&self, trail: Trail) -> bool {
        self.last
            .as_ref()
            .is_some_and(|path| arrived(path, trail.last))
    }

    /// Whether the records lie there.
    pub(crate) fn is_records(&self, trail: Trail) -> bool {
        self.records
            .as_ref()
            .is_some_and(|path| arrived(path, trail.records))
    }

    /// What the incremental field holds, if it lies there.
    pub(crate) fn field(&self, trail: Trail) -> Option<&Reader> {
        let (path, kind) = self.field.as_ref()?;
        arrived(path, trail.field).then_some(kind)
    }

    /// Whether the token or the URL of the next page lies there.
    pub(crate) fn is_next(&self, trail: Trail) -> bool {
        self.next
            .as_ref()
            .is_some_and(|path| arrived(path, trail.next))
    }

    /// The path to the records, as the definition has it.
    pub(crate) fn records_path(&self) -> String {
        self.records
            .as_ref()
            .map(|path| path.join("."))
            .unwrap_or_default()
    }

    /// The path to the incremental field.
    pub(crate) fn field_path(&self) -> String {
        self.field
            .as_ref()
            .map(|(path, _)| path.join("."))
            .unwrap_or_default()
    }

    /// The path to the next page's token or URL.
    pub(crate) fn next_path(&self) -> String {
        self.next
            .as_ref()
            .map(|path| path.join("."))
            .unwrap_or_default()
    }
}

/// Whether a path begins with the steps of another one.
fn begins_with(path: &str, start: &str) -> bool {
    start.is_empty()
        || path
            .strip_prefix(start)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn arrived(path: &[String], progress: Progress) -> bool {
    progress != OFF && usize::from(progress) == path.len()
}

/// How far a path is followed by that key from that progress.
fn follow(path: &[String], progress: Progress, key: &str) -> Progress {
    let is_next = progress != OFF
        && path
            .get(usize::from(progress))
            .is_some_and(|segment| segment == key || segment == EACH);
    if is_next { progress + 1 } else { OFF }
}

/// The same, where a key with dots in it, such as `@odata.nextLink`, follows as many segments as it has.
fn follow_dotted(path: &[String], progress: Progress, key: &str) -> Progress {
    if progress == OFF {
        return OFF;
    }
    let parts = key.split('.').count();
    let from = usize::from(progress);
    let is_next = path
        .get(from..from + parts)
        .is_some_and(|segments| segments.iter().eq(key.split('.')));
    if is_next {
        progress + parts as Progress
    } else {
        OFF
    }
}
