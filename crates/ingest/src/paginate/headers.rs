//! What an answer's headers say about the next page.

use http::{HeaderMap, header};
use millrace_model::definition::pipeline::{Paginate, Token};

/// What an answer's headers say about the next page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// The target of the `Link` header's `rel="next"`.
    pub(crate) next_link: Option<String>,
    /// The token of the next page.
    pub(crate) token: Option<String>,
}

impl Hints {
    pub(crate) fn of(headers: &HeaderMap, paginate: &Paginate) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let token = match paginate {
            Paginate::Cursor {
                token: Token::Header(name),
                ..
            } => text(name).map(str::trim).filter(|token| !token.is_empty()),
            _ => None,
        };
        let next_link = match paginate {
            Paginate::Auto | Paginate::LinkHeader => headers
                .get_all(header::LINK)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .find_map(next_link),
            _ => None,
        };
        Self {
            next_link: next_link.map(str::to_owned),
            token: token.map(str::to_owned),
        }
    }
}

/// The target of the link with `rel="next"` in the value of a `Link` header (RFC 8288, section 3).
fn next_link(value: &str) -> Option<&str> {
    let mut rest = value;
    loop {
        let (_, behind) = rest.split_once('<')?;
        let (target, behind) = behind.split_once('>')?;
        let (is_next, behind) = parameters(behind);
        if is_next {
            return Some(target.trim());
        }
        rest = behind;
    }
}

/// Whether the parameters of a link have `rel` with `next` among its values, and what stands behind them.
fn parameters(text: &str) -> (bool, &str) {
    let mut is_next = false;
    let mut has_rel = false;
    let mut rest = text.trim_start();
    while let Some(behind) = rest.strip_prefix(';') {
        let end = behind.find([';', ',', '=']).unwrap_or(behind.len());
        let name = behind[..end].trim();
        rest = &behind[end..];
        let mut value = "";
        if let Some(behind) = rest.strip_prefix('=') {
            (value, rest) = parameter_value(behind.trim_start());
        }
        // Of several `rel` the first one counts.
        if name.eq_ignore_ascii_case("rel") && !has_rel {
            has_rel = true;
            is_next = value
                .split_ascii_whitespace()
                .any(|relation| relation.eq_ignore_ascii_case("next"));
        }
        rest = rest.trim_start();
    }
    (is_next, rest)
}

/// The value of a parameter, quoted or not, and what stands behind it.
fn parameter_value(text: &str) -> (&str, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut is_escaped = false;
        let end = quoted.find(|letter| {
            let ends = letter == '"' && !is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
            ends
        });
        return match end {
            Some(end) => (&quoted[..end], &quoted[end + 1..]),
            None => (quoted, ""),
        };
    }
    let end = text.find([';', ',']).unwrap_or(text.len());
    (text[..end].trim(), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_next_link_is_found_among_others() {
        for (value, expected) in [
            (
                r#"<https://x/?page=2>; rel="next", <https://x/?page=9>; rel="last""#,
                Some("https://x/?page=2"),
            ),
            (
                r#"<https://x/?a=1,2;3>; rel="last"; title="a, \"b\"; rel=next", </p?2>; title=x; REL=Next"#,
                Some("/p?2"),
            ),
            ("<?page=2>;rel=\"prev next\"", Some("?page=2")),
            (r#"<a>; rel="prev"; rel="next""#, None),
            (r#"<a>; rel="nexte""#, None),
            ("<a", None),
            ("", None),
        ] {
            assert_eq!(next_link(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(value in "[<>;,=\"\\\\ a-zé]{0,60}") {
            let _ = next_link(&value);
        }

        #[test]
        fn a_link_is_found_whatever_stands_before_it(
            target in "[a-z?=&,;]{1,20}",
            title in "[a-z,;=<> ]{0,10}",
        ) {
            let value = format!("<other>; title=\"{title}\"; rel=prev, <{target}>; title=\"{title}\"; rel=\"next\"");
            prop_assert_eq!(next_link(&value), Some(target.as_str()));
        }
    }
}
