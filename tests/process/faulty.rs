//! A source that does everything wrong now and then, and counts what is asked of it.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How many records a page has.
pub const PAGE: u32 = 100;

/// How long a stall lasts: longer than the test's patience for a first byte.
const STALL: Duration = Duration::from_secs(3);

/// How long it takes to answer.
const LATENCY: Duration = Duration::from_millis(20);

/// A token is good for at least so many requests: three seconds of what the limit allows, so that a renewed one is not
/// refused at once, though a worker may have to wait for its turn.
const LEAST_USES: u32 = 120;

/// The source. It ends when this is dropped.
pub struct Faulty {
    pub url: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct State {
    pages: u32,
    /// Of how many requests one goes wrong; 0 for none.
    one_in: u32,
    dice: StdRng,
    arrivals: Vec<Instant>,
    under_way: u32,
    most_under_way: u32,
    injected: u64,
    token: u32,
    uses: u32,
}

/// What happens to a request.
enum Fate {
    Answer {
        status: u16,
        headers: String,
        body: String,
    },
    Cut(String),
    Stall,
    Reset,
}

impl Faulty {
    /// A source of resources with so many pages each.
    pub async fn start(pages: u32, one_in: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State {
            pages,
            one_in,
            dice: StdRng::seed_from_u64(20_261_121),
            arrivals: Vec::new(),
            under_way: 0,
            most_under_way: 0,
            injected: 0,
            token: 1,
            uses: 0,
        }));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { url, state, task }
    }

    /// How many requests came, those for tokens not counted.
    pub fn requests(&self) -> u64 {
        self.state.lock().expect("the state").arrivals.len() as u64
    }

    /// How many of them it answered wrongly on purpose.
    pub fn injected(&self) -> u64 {
        self.state.lock().expect("the state").injected
    }

    /// The most requests that were under way at once.
    pub fn most_under_way(&self) -> u32 {
        self.state.lock().expect("the state").most_under_way
    }

    /// The most requests that came within any span of so long.
    pub fn most_within(&self, span: Duration) -> usize {
        let state = self.state.lock().expect("the state");
        let (mut first, mut most) = (0, 0);
        for (last, at) in state.arrivals.iter().enumerate() {
            while at.duration_since(state.arrivals[first]) >= span {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }
}

/// The SHA-256 of each page of a resource, in order: what a clean run stores.
pub fn hashes(resource: &str, pages: u32) -> Vec<String> {
    (0..pages)
        .map(|page| hex::encode(Sha256::digest(body(resource, page, pages))))
        .collect()
}

fn body(resource: &str, page: u32, pages: u32) -> String {
    let records: Vec<String> = (page * PAGE..(page + 1) * PAGE)
        .map(|id| {
            format!("{{\"id\":\"{resource}-{id}\",\"text\":\"the {id}th record of its kind\"}}")
        })
        .collect();
    let after = if page + 1 < pages {
        format!("\"{}\"", page + 1)
    } else {
        "null".to_owned()
    };
    format!(
        "{{\"items\":[{}],\"after\":{after},\"pages\":{pages}}}",
        records.join(",")
    )
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut read = Vec::new();
    while let Some(head) = head(&mut stream, &mut read).await {
        let fate = state.lock().expect("the state").begin(&head);
        // An answer takes some time.
        tokio::time::sleep(LATENCY).await;
        state.lock().expect("the state").under_way -= 1;
        match fate {
            Fate::Answer {
                status,
                headers,
                body,
            } => {
                let date = httpdate::fmt_http_date(SystemTime::now());
                let answer = format!(
                    "HTTP/1.1 {status} Said\r\ndate: {date}\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
                    body.len()
                );
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Fate::Cut(body) => {
                let answer = format!(
                    "HTTP/1.1 200 Said\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let half = &body.as_bytes()[..body.len() / 2];
                // Whether it arrives does not matter.
                let _ = stream.write_all(&[answer.as_bytes(), half].concat()).await;
                return;
            }
            Fate::Stall => {
                tokio::time::sleep(STALL).await;
                return;
            }
            Fate::Reset => {
                // With unread bytes or none: the peer gets a reset in the place of an answer.
                let _ = stream.set_zero_linger();
                return;
            }
        }
    }
}

/// The next request's head; its body is read past.
async fn head(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = header(&head, "content-length").and_then(|text| text.parse().ok());
            let whole = end + 4 + length.unwrap_or(0);
            if read.len() >= whole {
                read.drain(..whole);
                return Some(head);
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&piece[..count]),
        }
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.trim())
}

fn said(status: u16, headers: &str) -> Fate {
    Fate::Answer {
        status,
        headers: headers.to_owned(),
        body: "{}".to_owned(),
    }
}

impl State {
    fn begin(&mut self, head: &str) -> Fate {
        self.under_way += 1;
        self.most_under_way = self.most_under_way.max(self.under_way);
        self.fate(head)
    }

    fn fate(&mut self, head: &str) -> Fate {
        let target = head.split(' ').nth(1).unwrap_or_default();
        if target == "/token" {
            let body = format!(
                "{{\"access_token\":\"t{}\",\"token_type\":\"Bearer\",\"expires_in\":3600}}",
                self.token
            );
            return Fate::Answer {
                status: 200,
                headers: String::new(),
                body,
            };
        }
        self.arrivals.push(Instant::now());
        if header(head, "authorization") != Some(&format!("bearer t{}", self.token)) {
            self.injected += 1;
            return said(401, "");
        }
        self.uses += 1;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let resource = path.trim_start_matches('/');
        // The page behind a token, or of a number that begins with 1.
        let page: u32 = query
            .split('&')
            .find_map(|pair| match pair.split_once('=')? {
                ("after", page) => page.parse().ok(),
                ("page", number) => number.parse::<u32>().ok()?.checked_sub(1),
                _ => None,
            })
            .unwrap_or(0);
        let good = body(resource, page, self.pages);
        if self.one_in == 0 || !self.dice.random_ratio(1, self.one_in) {
            return Fate::Answer {
                status: 200,
                headers: String::new(),
                body: good,
            };
        }
        self.injected += 1;
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(1));
        match self.dice.random_range(0..9) {
            0 => said(429, "retry-after: 1\r\n"),
            1 => said(429, &format!("retry-after: {soon}\r\n")),
            2 => said(500, ""),
            3 => said(503, &format!("retry-after: {soon}\r\n")),
            4 => Fate::Cut(good),
            5 => Fate::Stall,
            6 => Fate::Reset,
            7 if page > 0 => Fate::Answer {
                status: 200,
                headers: String::new(),
                body: body(resource, page - 1, self.pages),
            },
            8 if self.uses > LEAST_USES => {
                self.token += 1;
                self.uses = 0;
                said(401, "")
            }
            _ => said(502, ""),
        }
    }
}
