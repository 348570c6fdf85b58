//! Where in a body the treated fields are.

use millrace_model::definition::FieldPath;
use millrace_model::definition::personal_data::Treatment;

/// The paths of all treated fields, from the body's root.
#[derive(Debug)]
pub(super) struct Patterns {
    patterns: Vec<(Vec<String>, Treatment)>,
    longest: usize,
}

/// How far each path has been followed: its number, and how many of its steps.
pub(super) type States = Vec<(usize, usize)>;

impl Patterns {
    pub(super) fn new(records: &FieldPath, fields: &[(FieldPath, Treatment)]) -> Self {
        let pattern = |(field, treatment): &(FieldPath, Treatment)| {
            let steps = records.segments().chain(field.segments());
            (steps.map(ToOwned::to_owned).collect(), *treatment)
        };
        let patterns: Vec<(Vec<String>, Treatment)> = fields.iter().map(pattern).collect();
        let steps = patterns.iter().flat_map(|(steps, _)| steps);
        Self {
            longest: steps.map(String::len).max().unwrap_or_default(),
            patterns,
        }
    }

    /// How long the longest step is.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// At the body's root.
    pub(super) fn start(&self) -> States {
        (0..self.patterns.len()).map(|number| (number, 0)).collect()
    }

    /// Into the member of that name; with what becomes of it, where a path ends there. Of several treatments the one
    /// that leaves the least counts.
    pub(super) fn at_member(
        &self,
        states: &States,
        name: Option<&[u8]>,
    ) -> (Option<Treatment>, States) {
        self.step(states, false, |step| {
            step == "*" || name == Some(step.as_bytes())
        })
    }

    /// Into an element of a list: paths step through lists by themselves, and `*` may name the step.
    pub(super) fn at_element(&self, states: &States) -> (Option<Treatment>, States) {
        self.step(states, true, |step| step == "*")
    }

    fn step(
        &self,
        states: &States,
        stays: bool,
        is_taken: impl Fn(&str) -> bool,
    ) -> (Option<Treatment>, States) {
        let mut next = if stays { states.clone() } else { States::new() };
        let mut treatment = None;
        for &(number, steps) in states {
            let (pattern, of_pattern) = &self.patterns[number];
            if !pattern.get(steps).is_some_and(|step| is_taken(step)) {
                continue;
            }
            if steps + 1 == pattern.len() {
                treatment = Some(strictest(treatment, *of_pattern));
            } else if !next.contains(&(number, steps + 1)) {
                next.push((number, steps + 1));
            }
        }
        (treatment, next)
    }
}

/// Of two treatments the one that leaves less.
fn strictest(one: Option<Treatment>, other: Treatment) -> Treatment {
    let rank = |treatment| match treatment {
        Treatment::Generalise(_) => 0,
        Treatment::Hash => 1,
        Treatment::Mask => 2,
        Treatment::Drop => 3,
    };
    one.filter(|one| rank(*one) > rank(other)).unwrap_or(other)
}
