//! A cassette: what a source was asked and what it answered, in a file that goes with the definitions into version control.
//! JSON Lines: a heading, then a line for each exchange.

use crate::retry::{Class, classify};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use millrace_model::{Failure, FailureName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// The longest body that is recorded: a cassette is a sample.
const LONGEST: usize = 16 * 1024 * 1024;

/// How many requests a message names.
const NAMED: usize = 3;

/// Headers that say how bytes went over the network, which they do not do from a cassette.
const OF_THE_WAY: [&str; 5] = [
    "connection",
    "content-encoding",
    "content-length",
    "keep-alive",
    "transfer-encoding",
];

/// A cassette's first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// The pipeline.
    pub cassette: String,
    /// When it was recorded, RFC 3339: what templates call `now` is this moment again.
    pub recorded_at: String,
    /// After how many pages each resource was left; none where all were pulled.
    pub pages: Option<u64>,
}

/// A request on a cassette.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body_sha256: Option<String>,
}

/// An answer on a cassette.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) status: u16,
    #[serde(default)]
    pub(super) headers: Vec<(String, String)>,
    /// The body, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The body in Base64, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    request: Asked,
    response: Answered,
}

/// Writes a cassette.
pub struct Recorder {
    out: Mutex<Box<dyn Write + Send>>,
}

/// Plays a cassette: each answer once, to the request that it was recorded for.
pub struct Player {
    heading: Heading,
    left: Mutex<BTreeMap<String, VecDeque<Answered>>>,
}

impl Recorder {
    /// Begins a cassette.
    pub fn new(mut out: Box<dyn Write + Send>, heading: &Heading) -> Result<Self, Failure> {
        write(&mut *out, heading)?;
        let out = Mutex::new(out);
        Ok(Self { out })
    }

    /// Whether a body of so many bytes can be kept.
    pub(super) fn check_length(length: usize) -> Result<(), Failure> {
        if length <= LONGEST {
            return Ok(());
        }
        let message = format!(
            "an answer is longer than {} MiB, which is too long for a cassette: ask for smaller pages",
            LONGEST >> 20
        );
        Err(Failure::new(FailureName::BadAnswer, message))
    }

    /// Keeps an exchange, if it is one that counts: what was only tried again, or waited out, is not played back.
    pub(super) fn keep(&self, request: Asked, response: Answered) -> Result<(), Failure> {
        if !matches!(
            classify(response.status, false),
            Class::Good | Class::Refused
        ) {
            return Ok(());
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        write(&mut **out, &Line { request, response })
    }
}

fn write(out: &mut dyn Write, line: &impl Serialize) -> Result<(), Failure> {
    let written = serde_json::to_vec(line)
        .map_err(std::io::Error::from)
        .and_then(|mut line| {
            line.push(b'\n');
            out.write_all(&line)?;
            out.flush()
        });
    written.map_err(|error| {
        let message = format!("the cassette cannot be written: {error}");
        Failure::new(FailureName::Internal, message)
    })
}

impl Player {
    /// A cassette of that text.
    pub fn new(text: &str) -> Result<Self, Failure> {
        let bad = |line: usize, error: serde_json::Error| {
            let message = format!("line {line} of the cassette cannot be read: {error}");
            Failure::new(FailureName::BadDefinition, message)
        };
        let mut lines = text.lines().enumerate();
        let (_, first) = lines.next().unwrap_or_default();
        let heading = serde_json::from_str(first).map_err(|error| bad(1, error))?;
        let mut left: BTreeMap<String, VecDeque<Answered>> = BTreeMap::new();
        for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let line: Line = serde_json::from_str(line).map_err(|error| bad(number + 1, error))?;
            left.entry(line.request.key())
                .or_default()
                .push_back(line.response);
        }
        let left = Mutex::new(left);
        Ok(Self { heading, left })
    }

    /// The cassette's heading.
    pub fn heading(&self) -> &Heading {
        &self.heading
    }

    /// The requests that were recorded and have not been made.
    pub fn unplayed(&self) -> Vec<String> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let times = left.iter().filter(|(_, answers)| !answers.is_empty());
        times.map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn answer(&self, asked: &Asked) -> Result<Answered, Failure> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let key = asked.key();
        let why = match left.get_mut(&key) {
            Some(answers) => match answers.pop_front() {
                Some(answer) => return Ok(answer),
                None => "was recorded fewer times than it is made",
            },
            None => "was not recorded",
        };
        let others: Vec<&str> = left
            .iter()
            .filter(|(_, answers)| !answers.is_empty())
            .map(|(key, _)| key.as_str())
            .take(NAMED)
            .collect();
        let others = if others.is_empty() {
            String::new()
        } else {
            format!("; recorded and not made yet: {}", others.join(", "))
        };
        let message = format!(
            "{key} {why}: the definition has changed since the cassette was recorded on {}; record it anew with \
             `millrace record {}`{others}",
            self.heading.recorded_at, self.heading.cassette
        );
        Err(Failure::new(FailureName::BadAnswer, message))
    }
}

impl Asked {
    /// What tells it from others, and how messages call it.
    fn key(&self) -> String {
        let (method, url) = (&self.method, &self.url);
        match &self.body_sha256 {
            None => format!("{method} {url}"),
            Some(digest) => format!("{method} {url} (body {})", &digest[..digest.len().min(12)]),
        }
    }
}

impl Answered {
    pub(super) fn new(status: u16, headers: Vec<(String, String)>, body: &Bytes) -> Self {
        let mut headers = headers;
        headers.retain(|(name, _)| !OF_THE_WAY.contains(&name.as_str()));
        let text = std::str::from_utf8(body).ok().map(ToOwned::to_owned);
        Self {
            base64: text.is_none().then(|| STANDARD.encode(body)),
            status,
            headers,
            text,
        }
    }

    pub(super) fn body(&self) -> Result<Bytes, base64::DecodeError> {
        match (&self.text, &self.base64) {
            (Some(text), _) => Ok(text.clone().into()),
            (None, Some(text)) => Ok(STANDARD.decode(text)?.into()),
            (None, None) => Ok(Bytes::new()),
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Recorder")
    }
}

impl fmt::Debug for Player {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Player")
            .field("heading", &self.heading)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn asked(url: &str) -> Asked {
        Asked {
            method: "GET".into(),
            url: url.into(),
            body: None,
            body_sha256: None,
        }
    }

    fn answered(status: u16, body: &[u8]) -> Answered {
        let headers = vec![
            ("content-length".to_owned(), "1".to_owned()),
            ("link".to_owned(), "<b>".to_owned()),
        ];
        Answered::new(status, headers, &Bytes::copy_from_slice(body))
    }

    /// A file in memory.
    #[derive(Clone, Default)]
    struct Shelf(Arc<Mutex<Vec<u8>>>);

    impl Write for Shelf {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_answer_is_played_once_in_order_to_its_own_request() {
        let shelf = Shelf::default();
        let heading = Heading {
            cassette: "orders".into(),
            recorded_at: "2026-11-21T08:00:00Z".into(),
            pages: Some(3),
        };
        let recorder = Recorder::new(Box::new(shelf.clone()), &heading).unwrap();
        for (url, status, body) in [
            ("https://a/1", 200, &b"{}"[..]),
            ("https://a/2", 503, b"later"),
            ("https://a/2", 429, b"later"),
            ("https://a/2", 401, b"who?"),
            ("https://a/2", 200, b"\xff\x00"),
            ("https://a/1", 404, b"gone"),
        ] {
            recorder.keep(asked(url), answered(status, body)).unwrap();
        }
        let text = String::from_utf8(shelf.0.lock().unwrap().clone()).unwrap();
        let player = Player::new(&text).unwrap();
        assert_eq!(*player.heading(), heading);
        assert_eq!(player.unplayed(), ["GET https://a/1", "GET https://a/2"]);
        let first = player.answer(&asked("https://a/1")).unwrap();
        assert_eq!(
            (first.status, first.body().unwrap()),
            (200, Bytes::from("{}"))
        );
        assert_eq!(first.headers, [("link".to_owned(), "<b>".to_owned())]);
        assert_eq!(player.answer(&asked("https://a/1")).unwrap().status, 404);
        let binary = player.answer(&asked("https://a/2")).unwrap();
        assert_eq!(binary.body().unwrap(), Bytes::from_static(b"\xff\x00"));
        assert!(player.unplayed().is_empty());
        for (url, why) in [
            ("https://a/1", "fewer times"),
            ("https://a/3", "was not recorded"),
        ] {
            let failure = player.answer(&asked(url)).unwrap_err();
            assert!(
                failure.message.contains(why) && failure.message.contains("record orders"),
                "{failure}"
            );
        }
    }

    #[test]
    fn what_is_no_cassette_is_told_with_its_line() {
        for (text, line) in [
            ("", "line 1 "),
            ("{}", "line 1 "),
            (
                "{\"cassette\":\"a\",\"recorded_at\":\"b\",\"pages\":null}\n\n{}",
                "line 3 ",
            ),
        ] {
            let failure = Player::new(text).unwrap_err();
            assert!(failure.message.contains(line), "{failure}");
        }
    }
}
