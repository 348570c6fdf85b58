//! Text with places for values: `Token {{ secret.token }}`.

use serde::{Deserialize, Serialize};

/// Text with places for values: `Token {{ secret.token }}`. It knows no expressions and no filters: what is filled in are
/// secrets, and what is sent of them should be seen at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template(String);

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that stands as it is.
    Text(&'a str),
    /// The name of a value.
    Name(&'a str),
}

impl Template {
    /// The template of that text, or what is wrong with it. `is_known` says whether there is a value of that name.
    pub fn parse(text: &str, is_known: impl Fn(&str) -> bool) -> Result<Self, String> {
        for piece in pieces(text) {
            match piece? {
                Piece::Name(name) if !is_known(name) => {
                    return Err(format!("there is no value `{name}` here"));
                }
                Piece::Name(_) | Piece::Text(_) => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Its text, with the names in it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Its parts in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        // What is malformed was refused by `parse`.
        pieces(&self.0).filter_map(Result::ok)
    }

    /// The text with the values in their places.
    pub fn fill<E>(&self, value: impl Fn(&str) -> Result<String, E>) -> Result<String, E> {
        let mut filled = String::new();
        for piece in self.pieces() {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Name(name) => filled.push_str(&value(name)?),
            }
        }
        Ok(filled)
    }
}

fn pieces(mut rest: &str) -> impl Iterator<Item = Result<Piece<'_>, String>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(inner) = rest.strip_prefix("{{") else {
            let (text, behind) = rest.split_at(rest.find("{{").unwrap_or(rest.len()));
            rest = behind;
            return Some(Ok(Piece::Text(text)));
        };
        let Some((name, behind)) = inner.split_once("}}") else {
            rest = "";
            return Some(Err("a `{{` has no `}}` behind it".to_owned()));
        };
        rest = behind;
        let name = name.trim();
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        Some(if is_name {
            Ok(Piece::Name(name))
        } else {
            Err(
                "between `{{` and `}}` stands the name of a value: letters, digits and `_.-`"
                    .to_owned(),
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_their_places() {
        let template = Template::parse("a {{x}}{{ secret.y }} }} z", |_| true).unwrap();
        let filled = template.fill(|name| Ok::<_, ()>(format!("<{name}>")));
        assert_eq!(filled, Ok("a <x><secret.y> }} z".to_owned()));
        assert_eq!(template.text(), "a {{x}}{{ secret.y }} }} z");
    }

    #[test]
    fn what_is_no_template_is_told() {
        for (text, problem) in [
            ("{{ x", "has no `}}`"),
            ("{{ x | upper }}", "the name of a value"),
            ("{{}}", "the name of a value"),
            ("{{ y }}", "there is no value `y`"),
        ] {
            let error = Template::parse(text, |name| name == "x").unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
