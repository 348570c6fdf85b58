//! What is wrong with a definition, and where.

use super::yaml::Node;
use std::fmt;

/// One thing that is wrong with a definition. Its message never repeats a value that might be a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1; none where the file as a whole is meant.
    pub line: Option<u32>,
    /// The field: `resources[0].paginate.offset`; empty where the file as a whole is meant.
    pub field: String,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        if !self.field.is_empty() {
            write!(formatter, ": {}", self.field)?;
        }
        write!(formatter, ": {}", self.message)
    }
}

impl std::error::Error for Problem {}

/// A place in a definition, outermost step first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) Vec<Step>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a mapping.
    Field(String),
    /// Into a list.
    Index(usize),
}

impl Path {
    /// The field of that name within this place.
    pub(crate) fn field(&self, name: &str) -> Self {
        self.with(Step::Field(name.to_owned()))
    }

    /// The element of that number within this place.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(formatter, "[{index}]")?,
                // A name with a dot or a slash in it would read as several steps.
                Step::Field(name)
                    if !name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') =>
                {
                    write!(formatter, "[{}]", name.escape_debug())?;
                }
                Step::Field(name) if position == 0 => formatter.write_str(name)?,
                Step::Field(name) => write!(formatter, ".{name}")?,
            }
        }
        Ok(())
    }
}

/// The problems of one file, collected while it is read; it knows the line of each place.
pub(crate) struct Report<'a> {
    file: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    /// An empty report on that file.
    pub(crate) fn new(file: &'a str) -> Self {
        Self {
            file,
            problems: Vec::new(),
        }
    }

    /// Notes a problem at a line.
    pub(crate) fn at(&mut self, line: Option<u32>, path: &Path, message: impl Into<String>) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line,
            field: path.to_string(),
            message: message.into(),
        });
    }

    /// How many problems there are.
    pub(crate) fn len(&self) -> usize {
        self.problems.len()
    }

    /// The problems, in the order of the file's lines.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.line);
        self.problems.dedup();
        self.problems
    }
}

/// A report together with the file's tree, from which it takes the lines.
pub(crate) struct Review<'r, 'a> {
    report: &'r mut Report<'a>,
    root: &'r Node,
}

impl<'r, 'a> Review<'r, 'a> {
    /// A review of that tree.
    pub(crate) fn new(report: &'r mut Report<'a>, root: &'r Node) -> Self {
        Self { report, root }
    }

    /// Notes a problem at a place.
    pub(crate) fn problem(&mut self, path: &Path, message: impl Into<String>) {
        self.report.at(Some(self.root.line_of(path)), path, message);
    }

    /// The value, or a problem at that place.
    pub(crate) fn accept<T>(&mut self, path: &Path, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.problem(path, message)).ok()
    }

    /// Notes the message where the condition does not hold.
    pub(crate) fn require(
        &mut self,
        condition: bool,
        path: &Path,
        message: impl FnOnce() -> String,
    ) {
        if !condition {
            self.problem(path, message());
        }
    }
}

/// The known name that is nearest to what was written, where one is near enough to be meant.
pub(crate) fn nearest<'k>(
    written: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    let written = written.to_lowercase();
    let letters = written.chars().count();
    // A third of the letters may differ: `ofset` and `pagnate` are typos, `page` is no typo of `path`.
    let allowed = if letters < 2 { 0 } else { (letters / 3).max(1) };
    known
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&written, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The known field that is nearest; where none is, the one whose first word is: `ofset` means `offset_param` where there
/// is no `offset`.
pub(crate) fn nearest_field(written: &str, known: &[&'static str]) -> Option<&'static str> {
    let first_word = |name: &&'static str| name.split('_').next().unwrap_or(name);
    nearest(written, known.iter().copied()).or_else(|| {
        let word = nearest(written, known.iter().map(first_word))?;
        known.iter().find(|name| first_word(name) == word).copied()
    })
}

/// `a`, `b` or `c`, each in backticks.
pub(crate) fn one_of<'k>(known: impl IntoIterator<Item = &'k str>) -> String {
    let quoted: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}
