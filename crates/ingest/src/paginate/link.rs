//! Pages by a URL that an answer holds.

use super::Answer;
use millrace_model::Failure;
use millrace_model::raw::Position;
use url::Url;

pub(super) fn next(link: Option<&str>, answer: Answer<'_>) -> Result<Position, Failure> {
    match link {
        Some(link) => Ok(Position::Url {
            url: follow(link, answer)?.into(),
        }),
        None => Ok(Position::End),
    }
}

/// The URL that a link in the answer to `url` means. It must stay with the same host, since the credential goes with it;
/// a link that only forgets the `s` of `https`, as sources behind a proxy write it, gets it back.
fn follow(link: &str, answer: Answer<'_>) -> Result<Url, Failure> {
    let url = answer.url;
    let refuse = |why: &str| {
        let link: String = link.chars().take(200).collect();
        answer.refuse(&format!("the link to the next page, `{link}`, {why}"))
    };
    let mut next = url
        .join(link)
        .map_err(|error| refuse(&format!("is no URL ({error})")))?;
    if url.scheme() == "https" && next.scheme() == "http" && next.host() == url.host() {
        let plain_port = next.port().is_none();
        if next.set_scheme("https").is_err() || (plain_port && next.set_port(url.port()).is_err()) {
            return Err(refuse("cannot be reached over HTTPS"));
        }
    }
    if next.origin() != url.origin() {
        return Err(refuse("leads to another host, to which no request is sent"));
    }
    next.set_fragment(None);
    Ok(next)
}
