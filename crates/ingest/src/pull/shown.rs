//! A pull that is looked at, and that may be left after some pages.

use super::Pull;
use crate::wire::Taken;
use millrace_model::raw::Position;

impl Pull<'_> {
    /// Shows a page to who looks on, with the request that it leads to.
    pub(super) fn show(&self, records: u64, bytes: u64) {
        let Some(watch) = self.job.wire.watch() else {
            return;
        };
        let next = match &self.position {
            Position::End => None,
            // Only what comes before it tells what the next slice is asked with.
            Position::Slice { slice, .. }
                if self.slice.as_ref().is_none_or(|open| open.number != *slice) =>
            {
                Some("the next slice, if there is one".to_owned())
            }
            // A request that cannot be made fails when it is made.
            _ => self.request().ok().map(|request| request.name()),
        };
        watch.taken(&Taken {
            records,
            bytes,
            next,
        });
    }

    /// Leaves the pull, as if this had been all, where the limit of pages is reached.
    pub(super) fn leave_if_enough(&mut self) {
        self.pages_of_records += 1;
        let most = self.job.limits.pages;
        if most.is_some_and(|most| self.pages_of_records >= most) {
            self.position = Position::End;
        }
    }
}
