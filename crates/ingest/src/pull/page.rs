//! One page: asked for until it comes, or until it is given up.

use super::ahead::Begun;
use super::{Ending, Pull};
use crate::fetch::{Outcome, Refusal, Taken, Wanted};
use crate::paginate::{self, Choice};
use crate::report::Purpose;
use crate::request::Request;
use crate::retry::Retries;
use crate::scan::Found;
use crate::throttle::{Entry, Pass, Throttle};
use millrace_model::definition::pipeline::{CursorValue, Paginate};
use millrace_model::raw::Position;
use millrace_model::state;
use millrace_model::step::Place;
use millrace_model::{Failure, FailureName};
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// The status by which a source says that a link has run out.
const GONE: u16 = 410;

/// How often a page is asked for again that comes as the page before did.
const REPEATS: u32 = 2;

/// How many pages in a row may have no records. Where a source filters what it reads, some have none.
const EMPTY_PAGES: u32 = 1_000;

/// The page that is asked for.
struct Page {
    request: Request,
    name: String,
    slice: Option<u64>,
    purpose: Purpose,
    retries: Retries,
    repeats: u32,
    is_renewed: bool,
}

/// What is behind an attempt: another one, or the pages behind, or the pull's ending.
type After = ControlFlow<Option<Ending>>;

/// A request on its way.
enum Sending {
    /// It was sent already.
    Begun(Begun),
    /// It may be sent.
    Allowed(Pass),
}

impl Pull<'_> {
    /// Pulls the page at the position, or tells why not.
    pub(super) async fn page(&mut self) -> Result<Option<Ending>, Failure> {
        let mut page = self.next_page()?;
        let mut begun = self.ahead.take(page.slice, &page.request.key());
        let most = self.most_at_once();
        loop {
            let sending = match begun.take() {
                Some(begun) => {
                    self.source.credential = begun.credential.clone();
                    Sending::Begun(begun)
                }
                None => match self.admit(&mut page).await? {
                    Break(ending) => return Ok(Some(ending)),
                    Continue(pass) if most > 1 => Sending::Begun(self.begin(&page.request, pass)),
                    Continue(pass) => Sending::Allowed(pass),
                },
            };
            if most > 1 {
                self.send_ahead(most).await?;
            }
            let asked_at = Instant::now();
            let Some(outcome) = self.attempt(&page, sending).await? else {
                return Ok(Some(Ending::PageTooSlow));
            };
            if let Break(ending) = self.judge(&mut page, outcome, asked_at.elapsed()).await? {
                return Ok(ending);
            }
        }
    }

    /// What is to be asked for, unless it was asked for before.
    fn next_page(&self) -> Result<Page, Failure> {
        let request = self.request()?;
        let page = Page {
            name: request.name(),
            slice: self.slice.as_ref().map(|slice| slice.number),
            purpose: self.purpose(),
            retries: Retries::default(),
            repeats: 0,
            is_renewed: false,
            request,
        };
        if page.purpose == Purpose::Records
            && self.checkpoint.was_pulled(page.slice, &page.request.key())
        {
            let message = format!(
                "{}: the source leads back to this page, which the run has pulled already, so the pull would never \
                 end; check the definition's `paginate`",
                page.name
            );
            return Err(Failure::new(FailureName::BadAnswer, message));
        }
        Ok(page)
    }

    /// Leave to send the page's request with a credential that is good, unless that takes so long that the pull has to end.
    async fn admit(&mut self, page: &mut Page) -> Result<ControlFlow<Ending, Pass>, Failure> {
        loop {
            let wait = match self.leave_for(page).await? {
                Entry::Go(pass) => {
                    self.tally.requests += 1;
                    return Ok(Continue(pass));
                }
                Entry::Wait(wait) => wait,
                Entry::Down(wait) => {
                    let retries = &mut page.retries;
                    if retries.count() > 0 && !retries.has_time_for(wait, &self.job.limits) {
                        let trouble = "gets no sound answer";
                        return Err(given_up(&page.name, trouble, false, retries.count()));
                    }
                    wait
                }
            };
            if let Some(ending) = self.pause(wait).await {
                return Ok(Break(ending));
            }
        }
    }

    /// Leave to send the page's request with the credential whose turn it is, or with another one that has not to wait.
    async fn leave_for(&mut self, page: &Page) -> Result<Entry, Failure> {
        if page.is_renewed {
            // That is the one which has to prove good.
            return self.throttle().enter().await;
        }
        let mut soonest: Option<Entry> = None;
        for slot in self.slots() {
            let entry = self.throttles[slot].enter().await?;
            match &entry {
                Entry::Go(_) => {
                    self.source.credential = self.job.auth.credential(slot).await?;
                    return Ok(entry);
                }
                Entry::Wait(_) if self.throttles[slot].is_full() => self.ahead.give_way(),
                Entry::Wait(_) | Entry::Down(_) => {}
            }
            if soonest
                .as_ref()
                .is_none_or(|other| entry.wait() < other.wait())
            {
                soonest = Some(entry);
            }
        }
        Ok(soonest.unwrap_or(Entry::Wait(Duration::ZERO)))
    }

    /// The connection's credentials, beginning with the one whose turn it is.
    pub(super) fn slots(&self) -> impl Iterator<Item = usize> + use<> {
        let count = self.throttles.len();
        let turn = self.job.auth.turn();
        (0..count).map(move |behind| (turn + behind) % count)
    }

    /// The throttle of the credential with which the last request was sent.
    fn throttle(&self) -> &Arc<Throttle> {
        &self.throttles[self.source.credential.slot()]
    }

    /// Asks once; none where there was not the time for it.
    async fn attempt(&mut self, page: &Page, sending: Sending) -> Result<Option<Outcome>, Failure> {
        let wanted = Wanted {
            position: self.position.inner(),
            request: &page.request,
            origin: self.origin(&page.request),
        };
        let (source, segment) = (&self.source, &mut self.segment);
        let asked = async {
            let sent = match sending {
                Sending::Begun(begun) => begun.answer().await?,
                Sending::Allowed(pass) => {
                    let sender = source.sender();
                    sender.send(&page.request, &source.credential, pass).await
                }
            };
            source.outcome(&wanted, sent, segment).await
        };
        match self.job.deadline.place() {
            Place::Unbounded => asked.await.map(Some),
            Place::Lambda => {
                let left = self.job.deadline.left();
                let time = left.saturating_sub(self.job.limits.reserve / 2);
                let answered = tokio::time::timeout(time, asked).await;
                answered.ok().transpose()
            }
        }
    }

    /// Goes on by what became of the request.
    async fn judge(
        &mut self,
        page: &mut Page,
        outcome: Outcome,
        took: Duration,
    ) -> Result<After, Failure> {
        match outcome {
            Outcome::Taken(taken) => {
                self.slowest = self.slowest.max(took);
                return self.taken(page, *taken).await;
            }
            Outcome::Empty => {
                self.throttle().succeeded().await?;
                self.go_on(Position::End, &Found::default())?;
            }
            // What one slice may not be asked for says nothing about the others.
            Outcome::Unauthorized { status: 403 } if self.passes_over() => {
                let refusal = Refusal::of_status(403);
                self.refused(&page.request, &refusal).await?;
            }
            Outcome::Unauthorized { status } => {
                if status != 401 || page.is_renewed || !self.renew().await? {
                    let refused = &self.source.credential;
                    return Err(self.job.auth.refusal(refused, &page.name, status));
                }
                page.is_renewed = true;
                return Ok(Continue(()));
            }
            Outcome::Again {
                trouble,
                is_rate_limit,
                asked,
            } => return self.again(page, &trouble, is_rate_limit, asked, took).await,
            Outcome::Repeated(refusal) => {
                page.repeats += 1;
                let wait = page.retries.next(None, took, &self.job.limits);
                if let Some(wait) = wait.filter(|_| page.repeats <= REPEATS) {
                    warn!(
                        request = page.name,
                        "the page before came again; it is asked for anew"
                    );
                    self.tally.retries += 1;
                    return Ok(paused(self.pause(wait).await));
                }
                self.refused(&page.request, &refusal).await?;
            }
            Outcome::Refused(refusal) if refusal.status == GONE && self.begins_at_token() => {
                self.begin_anew().await?;
            }
            Outcome::Refused(refusal) => self.refused(&page.request, &refusal).await?,
        }
        Ok(Break(None))
    }

    /// Goes on behind a body that was taken.
    async fn taken(&mut self, page: &Page, taken: Taken) -> Result<After, Failure> {
        let Taken {
            mut found,
            bytes,
            next,
            choice,
        } = taken;
        self.throttle().succeeded().await?;
        if page.purpose == Purpose::Records {
            self.choose(choice, &found);
            self.checkpoint.note_pulled(page.slice, &page.request.key());
        }
        self.go_on(next, &found)?;
        self.advance(found.cursor.take());
        self.tally.take_page(found.records, bytes);
        debug!(name = page.name, records = found.records, bytes, "page");
        self.job.observer.progress(&self.tally.counts());
        if page.purpose != Purpose::Records {
            return self.after_aside().await.map(Break);
        }
        self.show(found.records, bytes);
        self.count_empty(page, found.records)?;
        self.leave_if_enough();
        self.pages_of_slice += 1;
        self.told = Some(found);
        Ok(Break(None))
    }

    /// Fails where page after page has no records, and yet leads to another one.
    fn count_empty(&mut self, page: &Page, records: u64) -> Result<(), Failure> {
        let leads_on = self.position != Position::End
            && self.slice.as_ref().map(|slice| slice.number) == page.slice;
        self.empty_pages = if records == 0 && leads_on {
            self.empty_pages + 1
        } else {
            0
        };
        if self.empty_pages < EMPTY_PAGES {
            return Ok(());
        }
        let message = format!(
            "{}: {EMPTY_PAGES} pages in a row have no records, and each leads to another one, so the pull would never \
             end; check the definition's `records` and `paginate`",
            page.name
        );
        Err(Failure::new(FailureName::BadAnswer, message))
    }

    /// Waits before the next attempt, as long as the source asks or as the last ones tell.
    async fn again(
        &mut self,
        page: &mut Page,
        trouble: &str,
        is_rate_limit: bool,
        asked: Option<Duration>,
        took: Duration,
    ) -> Result<After, Failure> {
        match asked {
            Some(wait) => self.throttle().pause(wait).await?,
            None if !is_rate_limit => self.throttle().failed().await?,
            None => {}
        }
        let given_up =
            |retries: &Retries| given_up(&page.name, trouble, is_rate_limit, retries.count());
        let Some(wait) = page.retries.next(asked, took, &self.job.limits) else {
            return Err(given_up(&page.retries));
        };
        warn!(
            request = page.name,
            trouble,
            wait_ms = wait.as_millis() as u64,
            "the request will be sent again"
        );
        self.tally.retries += 1;
        // The credential may run out again until then.
        page.is_renewed = false;
        let ending = self.pause(wait).await;
        // Without any progress the conductor would wait and call for ever.
        if ending.is_some() && !self.has_progressed() && asked.is_none() && !is_rate_limit {
            return Err(given_up(&page.retries));
        }
        Ok(paused(ending))
    }

    /// Notes how far the incremental field has come. Of several tokens the first one counts: what changed while the
    /// pages came is behind it.
    fn advance(&mut self, cursor: Option<CursorValue>) {
        let slice = self.slice.as_ref();
        if let (Some(name), Some(cursor)) =
            (slice.and_then(|slice| slice.partition.clone()), &cursor)
        {
            state::advance(&mut self.cursors, [(name, cursor.clone())].into());
        }
        let is_known_token = matches!(self.cursor, Some(CursorValue::Token(_)));
        if cursor > self.cursor && !is_known_token {
            self.cursor = cursor;
        }
    }

    /// Notes the paginator that the first answer shows, or that it shows none.
    fn choose(&mut self, choice: Option<Box<Choice>>, found: &Found) {
        if let Some(choice) = choice {
            let Choice { paginate, reason } = *choice;
            info!(
                resource = self.job.input.name,
                reason, "the paginator was found"
            );
            self.job.observer.note(&reason);
            self.source.page_by(paginate);
        } else if self.source.paginate == Paginate::Auto
            && let Some(doubt) = paginate::doubt(found)
        {
            warn!(resource = self.job.input.name, doubt);
            self.job.observer.note(&doubt);
        }
    }

    /// Renews the credential that was refused, and tells whether there is another one.
    async fn renew(&mut self) -> Result<bool, Failure> {
        let renewed = self.job.auth.renewed(&self.source.credential).await?;
        let is_other = renewed.is_some();
        if let Some(credential) = renewed {
            self.source.credential = credential;
        }
        Ok(is_other)
    }
}

/// What is behind a wait that was sat out, or that ends the pull.
fn paused(ending: Option<Ending>) -> After {
    match ending {
        Some(ending) => Break(Some(ending)),
        None => Continue(()),
    }
}

fn given_up(name: &str, trouble: &str, is_rate_limit: bool, times: u32) -> Failure {
    let (failure, advice) = if is_rate_limit {
        (
            FailureName::RateLimited,
            "lower the connection's rate_limit, or run later",
        )
    } else {
        (
            FailureName::Transient,
            "the source may be down, or its base_url wrong",
        )
    };
    Failure::new(
        failure,
        format!("{name} {trouble}, {times} times in a row: {advice}"),
    )
}
