//! Requests that are sent before it is their turn, where the connection allows more than one at once: for the pages behind
//! the present one as far as a total tells that there are some, and for the slices behind the present one. Answers are
//! taken in the order of the pull all the same, and one that turns out not to be wanted is dropped, so that what is stored
//! is what one request after the other would have brought.
//!
//! Of an answer no more is read before its turn than the network's buffers hold, so that memory does not grow with the
//! bodies.

use super::Pull;
use crate::auth::Credential;
use crate::paginate;
use crate::report::Purpose;
use crate::request::Request;
use crate::sender::{Sender, Sent};
use crate::slices::{At, Slice};
use crate::throttle::Pass;
use millrace_model::definition::pipeline::Paginate;
use millrace_model::raw::Position;
use millrace_model::{Failure, FailureName};
use std::collections::VecDeque;
use tokio::task::JoinHandle;

/// How many requests are under way at most, whatever a definition allows.
const MOST: usize = 16;

/// The requests that are ahead, in the order of their turn.
#[derive(Default)]
pub(super) struct Ahead {
    sent: VecDeque<Begun>,
    /// The slices that were looked at ahead, by the number that they were looked for.
    slices: VecDeque<(u64, Slice)>,
    /// Whether there are no more slices behind those.
    is_last: bool,
    /// Whether pages were foreseen that were none, as where the source gives less than a page than it is asked for.
    is_misled: bool,
}

/// A request that is under way. Where it is dropped, its answer is waited for all the same: the source works on it, and
/// nobody else may have its place meanwhile.
pub(super) struct Begun {
    slice: Option<u64>,
    key: String,
    pub(super) credential: Credential,
    sending: JoinHandle<Sent>,
}

impl Begun {
    fn new(
        sender: &Sender,
        slice: Option<u64>,
        request: Request,
        credential: Credential,
        pass: Pass,
    ) -> Self {
        let key = request.key();
        let (sender, shown) = (sender.clone(), credential.clone());
        let sending = async move { sender.send(&request, &shown, pass).await };
        Self {
            slice,
            key,
            credential,
            sending: tokio::spawn(sending),
        }
    }

    fn is(&self, slice: Option<u64>, key: &str) -> bool {
        self.slice == slice && self.key == key
    }

    /// What came of it.
    pub(super) async fn answer(self) -> Result<Sent, Failure> {
        self.sending.await.map_err(|error| {
            let message = format!("a request that was sent ahead broke off: {error}");
            Failure::new(FailureName::Internal, message)
        })
    }
}

impl Ahead {
    /// The request of that key, if it was sent. What was sent in vain is dropped.
    pub(super) fn take(&mut self, slice: Option<u64>, key: &str) -> Option<Begun> {
        let at = self.sent.iter().position(|begun| begun.is(slice, key));
        let found = at.and_then(|at| self.sent.remove(at));
        let is_right = found.is_some();
        let is_misled = !is_right && self.sent.iter().any(|begun| begun.slice == slice);
        self.is_misled |= is_misled;
        self.sent
            .retain(|begun| begun.slice > slice || (is_right && begun.slice == slice));
        found
    }

    /// What there is at the number of a slice, if it was looked at.
    pub(super) fn slice(&mut self, number: u64) -> Option<Slice> {
        self.slices.retain(|(asked, _)| *asked >= number);
        let is_first = self
            .slices
            .front()
            .is_some_and(|(asked, _)| *asked == number);
        let (_, slice) = self.slices.pop_front().filter(|_| is_first)?;
        Some(slice)
    }

    /// Gives up the request whose turn comes last.
    pub(super) fn give_way(&mut self) {
        self.sent.pop_back();
    }

    /// Gives up all that is ahead.
    pub(super) fn give_up(&mut self) {
        *self = Self {
            is_misled: self.is_misled,
            ..Self::default()
        };
    }
}

impl Pull<'_> {
    /// How many requests may be under way at once.
    pub(super) fn most_at_once(&self) -> usize {
        // Who looks on or keeps what is answered wants one after the other.
        let is_plain = self.job.wire.is_plain() && self.job.limits.pages.is_none();
        let is_simple = self.job.resource.report.is_none() && self.purpose() == Purpose::Records;
        let allowed = self.job.connection.politeness.concurrency.unwrap_or(1) as usize;
        if is_plain && is_simple {
            allowed.min(MOST)
        } else {
            1
        }
    }

    /// Sends the request of the present position, so that others can be sent behind it.
    pub(super) fn begin(&mut self, request: &Request, pass: Pass) -> Begun {
        let slice = self.slice.as_ref().map(|slice| slice.number);
        let credential = self.source.credential.clone();
        Begun::new(
            self.source.sender(),
            slice,
            request.clone(),
            credential,
            pass,
        )
    }

    /// Sends what will be asked for behind the present position, as far as that is known and the limits permit.
    pub(super) async fn send_ahead(&mut self, most: usize) -> Result<(), Failure> {
        let most = most - 1;
        if self.ahead.sent.len() >= most {
            return Ok(());
        }
        for (slice, request) in self.coming(most).await? {
            if self.ahead.sent.len() >= most {
                break;
            }
            let key = request.key();
            if self.ahead.sent.iter().any(|begun| begun.is(slice, &key)) {
                continue;
            }
            let Some((slot, pass)) = self.spare() else {
                break;
            };
            let credential = self.job.auth.credential(slot).await?;
            self.tally.requests += 1;
            let begun = Begun::new(self.source.sender(), slice, request, credential, pass);
            self.ahead.sent.push_back(begun);
        }
        Ok(())
    }

    /// Leave to send a request before it is its turn, and the credential for which it holds.
    fn spare(&self) -> Option<(usize, Pass)> {
        self.slots()
            .find_map(|slot| Some((slot, self.throttles[slot].spare()?)))
    }

    /// The requests behind the present one, as many as are known but no more than `most`.
    async fn coming(&mut self, most: usize) -> Result<Vec<(Option<u64>, Request)>, Failure> {
        let (positions, is_whole) = self.pages_ahead(most);
        let slice = self.slice.as_ref().map(|slice| slice.number);
        let scope = self.scope();
        let mut coming = Vec::with_capacity(most);
        for position in positions {
            let requests = &self.source.requests;
            let request = requests.page(&scope, &self.source.paginate, &position)?;
            coming.push((slice, request));
        }
        // A slice whose pages are many would let those behind it wait for long.
        if is_whole || (self.slices_are_short && self.pages_of_slice == 0) {
            self.look_ahead(most.saturating_sub(coming.len())).await?;
            for (_, slice) in &self.ahead.slices {
                let requests = &self.source.requests;
                let request = requests.page(&slice.scope, &self.source.paginate, &slice.begin)?;
                coming.push((Some(slice.number), request));
            }
        }
        Ok(coming)
    }

    /// The positions behind the present one in its slice, as far as the last page has told how many there are; and whether
    /// these are all.
    fn pages_ahead(&self, most: usize) -> (Vec<Position>, bool) {
        let mut positions = Vec::new();
        let Some(told) = self.told.as_ref().filter(|_| !self.ahead.is_misled) else {
            return (positions, false);
        };
        let mut position = self.position.inner().clone();
        while positions.len() < most {
            match paginate::foreseen(&self.source.paginate, &position, told) {
                None => return (positions, false),
                Some(Position::End) => return (positions, true),
                Some(next) => position = next,
            }
            positions.push(position.clone());
        }
        (positions, false)
    }

    /// Looks at so many slices behind the present one.
    async fn look_ahead(&mut self, most: usize) -> Result<(), Failure> {
        let Some(present) = self.slice.as_ref().map(|slice| slice.number) else {
            return Ok(());
        };
        if self.source.paginate == Paginate::Auto {
            return Ok(());
        }
        while self.ahead.slices.len() < most && !self.ahead.is_last {
            let last = self
                .ahead
                .slices
                .back()
                .map_or(present, |(_, slice)| slice.number);
            match self.slices.at(last + 1, &self.source.requests).await? {
                At::Slice(slice) => self.ahead.slices.push_back((last + 1, *slice)),
                At::NotYet | At::End => self.ahead.is_last = true,
            }
        }
        Ok(())
    }
}
