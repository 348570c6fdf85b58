//! What a request asks for, and what its answer depends on.

use crate::cache::Key;
use crate::dataset::Dataset;
use crate::format::Format;
use crate::params::Arguments;
use crate::routes::Served;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{HeaderMap, HeaderValue, IF_NONE_MATCH};
use millrace_model::digest::Digest;
use millrace_store::secrets::Caller;

/// A request that was understood, of a caller who may ask it.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The route.
    pub route: &'a Served,
    /// The parameters, claims among them.
    pub arguments: &'a Arguments,
    /// The caller's name; empty where anybody may ask.
    pub caller: &'a str,
    /// The columns that the caller does not see.
    pub masked: Vec<&'a str>,
    /// In which form the answer is to be.
    pub format: Format,
    /// Whether a page is a part of a file: of a form that is columns it is had as a batch then.
    pub is_part: bool,
}

impl<'a> Asked<'a> {
    /// What a caller asks of a route with these arguments.
    pub fn new(
        route: &'a Served,
        arguments: &'a Arguments,
        caller: Option<&'a Caller>,
        format: Format,
    ) -> Self {
        Self {
            route,
            arguments,
            caller: caller.map_or("", |caller| caller.name.as_str()),
            masked: masked(route, caller),
            format,
            is_part: false,
        }
    }

    /// The same of a route that is a half of that one.
    pub(crate) fn of(&self, route: &'a Served) -> Self {
        Self {
            route,
            masked: self.masked.clone(),
            ..*self
        }
    }

    /// The same, as a part of a file.
    #[must_use]
    pub fn as_part(mut self) -> Self {
        self.is_part = true;
        self
    }

    /// Everything that the answer depends on. The caller is a part of it: the next page's cursor is for nobody else.
    pub fn key(&self, dataset: Option<&Dataset>) -> Key {
        let mut digest = self.digest();
        if let Some(dataset) = dataset {
            digest.fixed(dataset.identity);
        }
        digest.fixed([self.format as u8]);
        digest.fixed(self.arguments.limit.to_be_bytes());
        digest.part(format!("{:?}", self.arguments.fields));
        digest.part(self.arguments.cursor.as_deref().unwrap_or_default());
        digest.bytes()
    }

    /// What a cursor belongs to: another query, other parameters, other columns or another caller than those it was made
    /// for cannot go on from it, nor another `plan`: the types of what rows are ordered by, and these themselves.
    pub fn scope<'t>(&self, plan: impl Iterator<Item = &'t str>) -> [u8; 32] {
        let mut digest = self.digest();
        plan.for_each(|text| digest.part(text));
        digest.bytes()
    }

    fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        digest.fixed(self.route.digest);
        digest.part(self.caller);
        for column in &self.masked {
            digest.part(column);
        }
        digest.part(format!("{:?}", self.arguments.sort));
        for (name, value) in &self.arguments.values {
            digest.part(name);
            digest.part(format!("{value:?}"));
        }
        digest
    }
}

/// The columns that a caller does not see.
fn masked<'a>(route: &'a Served, caller: Option<&Caller>) -> Vec<&'a str> {
    let lacks = |scope: &String| caller.is_none_or(|caller| !caller.scopes.contains(scope));
    let mask = route.route.mask.iter();
    mask.filter(|(_, scope)| lacks(scope))
        .map(|(column, _)| column.as_str())
        .collect()
}

/// The answer's entity tag. A weak one: the rows are the same, whatever their bytes are compressed to.
pub fn etag(key: &Key) -> Option<HeaderValue> {
    let text = format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&key[..16]));
    HeaderValue::try_from(text).ok()
}

/// Whether a caller has the answer of that tag already.
pub fn has(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(own) = etag.to_str().map(opaque) else {
        return false;
    };
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let own = etag(&[7; 32]).unwrap();
        let bare = own.to_str().unwrap().trim_start_matches("W/").to_owned();
        let sent = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, text.parse().unwrap());
            has(&headers, &own)
        };
        assert!(sent(&bare) && sent(&format!("W/{bare}")) && sent("*"));
        assert!(sent(&format!("\"x\", W/{bare}")));
        assert!(!sent("\"x\"") && !has(&HeaderMap::new(), &own));
    }
}
