//! Wire answers → what they mean.

use crate::definition::answer::{AnswerRule, Meaning};
use crate::definition::problem::{Path, Review};
use crate::definition::request::Body;
use crate::definition::wire::answer::AnswerForm;
use crate::template::Templates;

/// The rules of a resource. One that speaks GraphQL has some of its own: its errors come with status 200.
pub(super) fn rules(
    forms: Vec<AnswerForm>,
    body: Option<&Body>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Vec<AnswerRule> {
    if forms.is_empty() && matches!(body, Some(Body::Graphql { .. })) {
        return graphql();
    }
    let mut rules = Vec::with_capacity(forms.len());
    for (index, form) in forms.into_iter().enumerate() {
        let at = at.index(index).field("when");
        let names = names(&form.when, &["answer", "status"]);
        if review.accept(&at, names).is_some() {
            rules.push(AnswerRule {
                when: form.when,
                means: form.means,
            });
        }
    }
    rules
}

/// The condition of the records that count.
pub(super) fn filter(
    text: Option<String>,
    at: &Path,
    review: &mut Review<'_, '_>,
) -> Option<String> {
    let text = text?;
    review.accept(at, names(&text, &["record"])).map(|()| text)
}

/// Checks an expression, which may use those names.
fn names(expression: &str, known: &[&str]) -> Result<(), String> {
    let used = Templates::default().names_of_expression(expression);
    for name in used.map_err(|error| error.to_string())? {
        let root = name.split('.').next().unwrap_or_default();
        if !known.contains(&root) {
            let known = known.join("` and `");
            return Err(format!("there is no `{root}` here; there is `{known}`"));
        }
    }
    Ok(())
}

fn graphql() -> Vec<AnswerRule> {
    let rule = |when: &str, means| AnswerRule {
        when: when.to_owned(),
        means,
    };
    vec![
        rule(
            "answer.errors[0].extensions.code == 'THROTTLED'",
            Meaning::RateLimited,
        ),
        rule("answer.errors", Meaning::Error),
    ]
}
