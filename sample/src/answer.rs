//! What each route answers, before any misbehaviour.

use crate::catalogue::Catalogue;
use crate::query::{Query, Refusal, SERVICE_LIMIT};
use serde_json::json;

/// The version that the service says it has: that of the real one when this was written.
pub(crate) const VERSION: &str = "1.14.1";

/// Where the event service lies.
pub(crate) const EVENT: &str = "/fdsnws/event/1";

/// How many records a page of the plain lists has where the request does not say, and at most.
const PAGE: (u64, u64) = (100, 10_000);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) records: u64,
}

/// A request, as far as an answer depends on it.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// `http://host:port`, as the client knows it.
    pub(crate) origin: &'a str,
    /// The path and the query as they were sent.
    pub(crate) uri: &'a str,
    pub(crate) path: &'a str,
    pub(crate) parameters: &'a [(String, String)],
    /// Whether a query that matches nothing gets an empty list.
    pub(crate) empty_list: bool,
}

impl Answer {
    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain",
            body: text.into().into_bytes(),
            records: 0,
        }
    }

    fn json(body: Vec<u8>, records: u64) -> Self {
        Self {
            status: 200,
            content_type: "application/json",
            body,
            records,
        }
    }
}

/// The answer to a request.
pub(crate) fn answer(catalogue: &Catalogue, asked: &Asked<'_>) -> Answer {
    let answer = match asked.path.strip_prefix(EVENT) {
        Some("/query") => query(catalogue, asked),
        Some("/count") => count(catalogue, asked),
        Some("/version") => Ok(Answer::text(200, VERSION)),
        _ => plain(catalogue, asked),
    };
    answer.unwrap_or_else(|refusal| refuse(asked, &refusal))
}

/// A refusal in the words of the real service.
fn refuse(asked: &Asked<'_>, refusal: &Refusal) -> Answer {
    let Refusal { status, message } = refusal;
    let phrase = match status {
        404 => "Not Found",
        501 => "Not Implemented",
        _ => "Bad Request",
    };
    let (origin, uri) = (asked.origin, asked.uri);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S+00:00");
    Answer::text(
        *status,
        format!(
            "Error {status}: {phrase}\n\n{message}\n\nUsage details are available from {origin}{EVENT}\n\n\
             Request:\n{uri}\n\nRequest Submitted:\n{now}\n\nService version:\n{VERSION}"
        ),
    )
}

/// The numbers of the reports on the page that is asked for.
fn page(list: &[u32], query: &Query) -> std::ops::Range<usize> {
    let start = (query.offset - 1).min(list.len() as u64) as usize;
    let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
    // Without a limit the real service pays no attention to the offset.
    if query.limit.is_none() {
        0..list.len()
    } else {
        start..start.saturating_add(limit).min(list.len())
    }
}

fn query(catalogue: &Catalogue, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    let query = Query::parse(asked.parameters)?;
    if query.format != "geojson" {
        let message = format!("format {} is not supported, only geojson is", query.format);
        return Err(Refusal {
            status: 501,
            message,
        });
    }
    let list = catalogue.matching(&query.filter, query.order);
    let numbers = &list[page(&list, &query)];
    let count = numbers.len() as u64;
    if count > SERVICE_LIMIT {
        let message = format!(
            "{count} matching events exceeds search limit of {SERVICE_LIMIT}. Modify the search to match fewer events."
        );
        return Err(Refusal {
            status: 400,
            message,
        });
    }
    if count == 0 && !asked.empty_list {
        if query.no_data == 404 {
            return Err(Refusal {
                status: 404,
                message: "Not Found".to_owned(),
            });
        }
        return Ok(Answer {
            status: 204,
            content_type: "application/json",
            body: Vec::new(),
            records: 0,
        });
    }
    let paging = query
        .limit
        .map(|limit| format!("\"limit\":{limit},\"offset\":{},", query.offset));
    let mut body = format!(
        "{{\"type\":\"FeatureCollection\",\"metadata\":{{\"generated\":{},\"url\":{},\"title\":\"USGS Earthquakes\",\
         \"status\":200,\"api\":\"{VERSION}\",{}\"count\":{count}}},\"features\":[",
        catalogue.generated(),
        json!(format!("{}{}", asked.origin, asked.uri)),
        paging.unwrap_or_default(),
    )
    .into_bytes();
    let bounds = catalogue.render(numbers, &mut body);
    body.push(b']');
    if let Some(bbox) = bounds.bbox() {
        body.extend_from_slice(b",\"bbox\":");
        body.extend_from_slice(bbox.as_bytes());
    }
    body.push(b'}');
    Ok(Answer::json(body, count))
}

fn count(catalogue: &Catalogue, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    let query = Query::parse(asked.parameters)?;
    let list = catalogue.matching(&query.filter, query.order);
    let count = page(&list, &query).len() as u64;
    let error = (count > SERVICE_LIMIT).then(|| {
        format!(
            "{count} matching events exceeds search limit of {SERVICE_LIMIT}. A query using these search parameters \
             would fail. Modify the search to match fewer events."
        )
    });
    Ok(match query.format.as_str() {
        "geojson" => {
            let mut document = json!({"count": count, "maxAllowed": SERVICE_LIMIT});
            if let Some(error) = error {
                document["error"] = error.into();
            }
            Answer::json(document.to_string().into_bytes(), 0)
        }
        _ => Answer::text(200, count.to_string()),
    })
}

/// The plain lists: the same reports, oldest first, behind other ways to ask for the next page. All take `size` and the
/// event service's filters.
fn plain(catalogue: &Catalogue, asked: &Asked<'_>) -> Result<Answer, Refusal> {
    let paging = ["size", "page", "after", "at", "api_key"];
    let filters: Vec<(String, String)> = asked
        .parameters
        .iter()
        .filter(|(name, _)| !paging.contains(&name.as_str()))
        .cloned()
        .collect();
    let list = catalogue.matching(
        &Query::parse(&filters)?.filter,
        crate::query::Order::TimeAsc,
    );
    let size = number(asked, "size")?.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let slice = |start: u64| {
        let start = start.min(list.len() as u64);
        &list[start as usize..(start + size).min(list.len() as u64) as usize]
    };
    let more = |start: u64| start.saturating_add(size) < list.len() as u64;
    let mut body = Vec::new();
    let numbers = match asked.path {
        "/list" => {
            let numbers = slice(0);
            body.push(b'[');
            catalogue.render(numbers, &mut body);
            body.push(b']');
            numbers
        }
        "/pages" | "/keyed" => {
            let page = number(asked, "page")?.unwrap_or(1).max(1);
            let numbers = slice((page - 1).saturating_mul(size));
            let head = format!(
                "{{\"page\":{page},\"size\":{size},\"total\":{},\"items\":[",
                list.len()
            );
            body.extend_from_slice(head.as_bytes());
            catalogue.render(numbers, &mut body);
            body.extend_from_slice(b"]}");
            numbers
        }
        "/cursor" => {
            let start = match parameter(asked, "after") {
                None => 0,
                Some(token) => token_offset(token)?,
            };
            let numbers = slice(start);
            body.extend_from_slice(b"{\"items\":[");
            catalogue.render(numbers, &mut body);
            let token = more(start).then(|| token(start + size));
            body.extend_from_slice(format!("],\"paging\":{}}}", json!({"next": token})).as_bytes());
            numbers
        }
        "/links" => {
            let start = number(asked, "at")?.unwrap_or(0);
            let numbers = slice(start);
            body.extend_from_slice(b"{\"items\":[");
            catalogue.render(numbers, &mut body);
            // Every other link is relative.
            let origin = if start / size % 2 == 0 {
                asked.origin
            } else {
                ""
            };
            let next = more(start).then(|| link(origin, asked, start + size));
            body.extend_from_slice(format!("],\"links\":{}}}", json!({"next": next})).as_bytes());
            numbers
        }
        path => {
            return Err(Refusal {
                status: 404,
                message: format!("there is no {path} here"),
            });
        }
    };
    Ok(Answer::json(body, numbers.len() as u64))
}

/// The URL of the page from `start`, with all other parameters as they were sent.
fn link(origin: &str, asked: &Asked<'_>, start: u64) -> String {
    let query = asked.uri.split_once('?').map_or("", |(_, query)| query);
    let kept = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("at="));
    let pairs: Vec<String> = kept
        .map(str::to_owned)
        .chain([format!("at={start}")])
        .collect();
    format!("{origin}{}?{}", asked.path, pairs.join("&"))
}

/// A token that tells nothing to those who did not make it, with characters that must be escaped in a URL.
fn token(start: u64) -> String {
    format!("{:x}+/=&", start.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn token_offset(token: &str) -> Result<u64, Refusal> {
    token
        .strip_suffix("+/=&")
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        // The inverse of the multiplier, modulo 2⁶⁴.
        .map(|scrambled| scrambled.wrapping_mul(0xF1DE_83E1_9937_733D))
        .ok_or_else(|| Refusal {
            status: 400,
            message: format!("Bad after value \"{token}\"."),
        })
}

fn parameter<'a>(asked: &Asked<'a>, name: &str) -> Option<&'a str> {
    asked
        .parameters
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

fn number(asked: &Asked<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    let parse = |value: &str| {
        let message = format!("Bad {name} value \"{value}\". Valid values are integers");
        value.parse().map_err(|_| Refusal {
            status: 400,
            message,
        })
    };
    parameter(asked, name).map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_offsets() {
        for start in [0, 1, 100, 200_000, u64::from(u32::MAX)] {
            assert_eq!(token_offset(&token(start)), Ok(start));
        }
        assert!(token_offset("12").is_err());
    }
}
