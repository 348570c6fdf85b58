//! From page to page: what is asked at a position, and where an answer leads.

mod cursor;
mod detect;
mod end;
mod headers;
mod keyset;
mod link;
mod number;
mod odata;
mod offset;

pub(crate) use detect::{Choice, detect, doubt};
pub(crate) use headers::Hints;

use crate::scan::Found;
use millrace_model::definition::FieldPath;
use millrace_model::definition::pipeline::{Paginate, Token};
use millrace_model::raw::Position;
use millrace_model::{Failure, FailureName};
use serde_json::{Value, json};
use url::Url;

/// An answer, as far as it says where it leads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    /// What was asked for.
    pub(crate) url: &'a Url,
    /// What its headers say.
    pub(crate) hints: &'a Hints,
    /// What its body says.
    pub(crate) found: &'a Found,
}

impl Answer<'_> {
    /// A failure that names the request.
    fn refuse(&self, why: &str) -> Failure {
        let message = format!(
            "GET {}{}: {why}; check the definition's `paginate`",
            self.url.origin().ascii_serialization(),
            self.url.path()
        );
        Failure::new(FailureName::BadAnswer, message)
    }
}

/// A parameter that asks for a page.
pub(crate) type Parameter = (String, Value);

/// The parameters that ask for the page at a position.
pub(crate) fn parameters(paginate: &Paginate, position: &Position) -> Vec<Parameter> {
    match paginate {
        Paginate::Offset {
            offset_param,
            limit_param,
            limit,
            first,
            ..
        } => vec![
            (limit_param.clone(), (*limit).into()),
            (offset_param.clone(), offset::at(position, *first).into()),
        ],
        Paginate::Page {
            page_param,
            size_param,
            size,
            first,
            ..
        } => {
            let page = number::at(position, *first).into();
            sized(size_param.as_ref(), *size)
                .chain([(page_param.clone(), page)])
                .collect()
        }
        Paginate::Cursor { param, .. } => behind(param, position).collect(),
        Paginate::Keyset {
            param,
            limit_param,
            limit,
            ..
        } => sized(limit_param.as_ref(), *limit)
            .chain(behind(param, position))
            .collect(),
        Paginate::Auto
        | Paginate::None
        | Paginate::NextLink { .. }
        | Paginate::LinkHeader
        | Paginate::Odata
        | Paginate::OdataDelta => Vec::new(),
    }
}

/// What templates see of a position as `page`.
pub(crate) fn variables(paginate: &Paginate, position: &Position) -> Value {
    match (paginate, position) {
        (Paginate::Offset { limit, first, .. }, _) => {
            json!({ "offset": offset::at(position, *first), "limit": limit })
        }
        (Paginate::Page { size, first, .. }, _) => {
            json!({ "number": number::at(position, *first), "size": size })
        }
        (_, Position::Cursor { cursor }) => json!({ "cursor": cursor }),
        _ => json!({ "cursor": null }),
    }
}

fn sized(param: Option<&String>, size: Option<u64>) -> impl Iterator<Item = Parameter> {
    param.cloned().zip(size.map(Value::from)).into_iter()
}

fn behind(param: &str, position: &Position) -> impl Iterator<Item = Parameter> {
    let cursor = match position {
        Position::Cursor { cursor } => Some((param.to_owned(), cursor.clone().into())),
        _ => None,
    };
    cursor.into_iter()
}

/// Where the answer to the request of `position` leads.
pub(crate) fn next(
    paginate: &Paginate,
    position: &Position,
    answer: Answer<'_>,
) -> Result<Position, Failure> {
    let found = answer.found;
    match paginate {
        Paginate::Auto | Paginate::None => Ok(Position::End),
        Paginate::Offset {
            limit, first, end, ..
        } => Ok(offset::next(position, *limit, *first, end, found)),
        Paginate::Page {
            size, first, end, ..
        } => Ok(number::next(position, *size, *first, end, found)),
        Paginate::Cursor { token, end, .. } => {
            let token = match token {
                Token::Body(_) => found.next.as_ref(),
                Token::Header(_) => answer.hints.token.as_ref(),
            };
            Ok(cursor::next(token, end, found))
        }
        Paginate::Keyset {
            field, limit, end, ..
        } => keyset::next(position, field, *limit, end, answer),
        Paginate::NextLink { .. } => link::next(found.next.as_deref(), answer),
        Paginate::LinkHeader => link::next(answer.hints.next_link.as_deref(), answer),
        Paginate::Odata | Paginate::OdataDelta => link::next(odata::next_link(found), answer),
    }
}

/// Where the page at `position` will lead if it is full, as far as `told`, what was found in a page before it, tells; none
/// where it tells nothing.
pub(crate) fn foreseen(paginate: &Paginate, position: &Position, told: &Found) -> Option<Position> {
    match paginate {
        Paginate::Offset {
            limit, first, end, ..
        } => offset::foreseen(position, *limit, *first, end, told),
        Paginate::Page {
            size, first, end, ..
        } => number::foreseen(position, *size, *first, end, told),
        _ => None,
    }
}

/// Where the source says that the next run begins: a URL of the same host.
pub(crate) fn next_run(paginate: &Paginate, answer: Answer<'_>) -> Result<Position, Failure> {
    match paginate {
        Paginate::OdataDelta => link::next(odata::delta_link(answer.found), answer),
        _ => Ok(Position::End),
    }
}

/// Where in a body the token or the URL of the next page is.
pub(crate) fn next_path(paginate: &Paginate) -> Option<&FieldPath> {
    match paginate {
        Paginate::Cursor {
            token: Token::Body(path),
            ..
        }
        | Paginate::NextLink { path } => Some(path),
        _ => None,
    }
}

/// What else of a body it has to know.
pub(crate) fn watched(paginate: &Paginate) -> Vec<String> {
    match paginate {
        Paginate::Odata => odata::LINKS.map(str::to_owned).to_vec(),
        Paginate::OdataDelta => {
            let links = odata::LINKS.into_iter().chain(odata::DELTA_LINKS);
            links.map(str::to_owned).collect()
        }
        _ => paginate
            .end()
            .into_iter()
            .flat_map(|end| end.paths().map(|path| path.0.clone()))
            .collect(),
    }
}

/// The field of the last record that it has to know.
pub(crate) fn last_field(paginate: &Paginate) -> Option<&FieldPath> {
    match paginate {
        Paginate::Keyset { field, .. } => Some(field),
        _ => None,
    }
}

#[cfg(test)]
#[path = "paginate/tests.rs"]
mod tests;
