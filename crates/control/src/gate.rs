//! The gate of a pipeline: which of its runs are under way, and which wait. A document in the lake, changed by
//! compare-and-swap, so that of two starts at once one goes first.

use crate::Control;
use crate::event::readable;
use millrace_model::definition::pipeline::Concurrency;
use millrace_model::ledger::{RecordedFailure, Run, RunId, RunStatus};
use millrace_model::{Failure, keys};
use millrace_store::conductor::ExecutionStatus;
use millrace_store::json;
use serde::{Deserialize, Serialize};

/// How many runs may wait. More are refused: a pipeline that is that far behind has another problem.
const MOST_WAITING: usize = 100;

/// How long a run may be under way without an execution to be seen: Step Functions shows one a moment after its start.
const UNSEEN_SECONDS: i64 = 600;

/// Which runs of a pipeline are under way, and which wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gate {
    /// Those that were let in and have not ended.
    pub active: Vec<RunId>,
    /// Those that wait, the first one first.
    pub waiting: Vec<RunId>,
}

/// What the gate says to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may start.
    Enter,
    /// It waits.
    Wait,
    /// It is refused because of these.
    Refuse(Vec<RunId>),
}

impl Gate {
    /// Lets a run in, or has it wait, or refuses it. A run that was let in, or waits, is told the same again.
    fn enter(&mut self, run: &RunId, concurrency: Concurrency) -> Verdict {
        if !self.active.contains(run) && !self.waiting.contains(run) {
            match concurrency {
                Concurrency::Allow => self.active.push(run.clone()),
                Concurrency::Queue if self.waiting.len() < MOST_WAITING => {
                    self.waiting.push(run.clone());
                }
                Concurrency::Forbid if self.active.is_empty() && self.waiting.is_empty() => {
                    self.active.push(run.clone());
                }
                Concurrency::Queue | Concurrency::Forbid => {
                    return Verdict::Refuse(self.active.clone());
                }
            }
            self.promote();
        }
        if self.active.contains(run) {
            Verdict::Enter
        } else {
            Verdict::Wait
        }
    }

    /// Forgets a run, and lets the first one in that waits, if nobody is under way.
    fn leave(&mut self, run: &RunId) {
        self.active.retain(|active| active != run);
        self.waiting.retain(|waiting| waiting != run);
        self.promote();
    }

    fn promote(&mut self) {
        if self.active.is_empty() && !self.waiting.is_empty() {
            self.active.push(self.waiting.remove(0));
        }
    }
}

impl Control {
    /// Asks the gate of a run's pipeline whether it may start. Where it may not, whoever stands in the way without being
    /// under way any more is cleared first.
    pub(crate) async fn ask_gate(
        &self,
        run: &RunId,
        concurrency: Concurrency,
    ) -> Result<Verdict, Failure> {
        let verdict = self.enter_gate(run, concurrency).await?;
        if verdict == Verdict::Enter || !self.clear_gate(run.pipeline()).await? {
            return Ok(verdict);
        }
        self.enter_gate(run, concurrency).await
    }

    async fn enter_gate(&self, run: &RunId, concurrency: Concurrency) -> Result<Verdict, Failure> {
        let mut verdict = Verdict::Wait;
        json::update::<Gate, Failure>(
            self.objects.as_ref(),
            &keys::gate(run.pipeline()),
            |there| {
                let before = there.unwrap_or_default();
                let mut gate = before.clone();
                verdict = gate.enter(run, concurrency);
                Ok((gate != before).then_some(gate))
            },
        )
        .await?;
        Ok(verdict)
    }

    /// Takes a run that has ended out of the gate, and starts whoever may start now. Tried again after a crash, it starts
    /// whoever was let in and not started.
    pub(crate) async fn release(&self, run: &RunId) -> Result<(), Failure> {
        let mut ended = vec![run.clone()];
        while let Some(run) = ended.pop() {
            for next in self.leave_gate(&run).await?.active {
                let is_over = match self.ledger.get(&next).await? {
                    Some(entry) if entry.status == RunStatus::Running => false,
                    Some(entry) => self.launch(entry).await?.status.is_final(),
                    None => true,
                };
                if is_over {
                    ended.push(next);
                }
            }
        }
        Ok(())
    }

    async fn leave_gate(&self, run: &RunId) -> Result<Gate, Failure> {
        let gate = json::update::<Gate, Failure>(
            self.objects.as_ref(),
            &keys::gate(run.pipeline()),
            |there| {
                let before = there.unwrap_or_default();
                let mut gate = before.clone();
                gate.leave(run);
                Ok((gate != before).then_some(gate))
            },
        )
        .await?;
        Ok(gate.unwrap_or_default())
    }

    /// Clears the gate of runs that are not under way any more, and starts what was let in and never started. Says whether
    /// it let anybody out.
    async fn clear_gate(&self, pipeline: &str) -> Result<bool, Failure> {
        let gate: Option<Gate> = json::get(self.objects.as_ref(), &keys::gate(pipeline)).await?;
        let mut cleared = false;
        for run in gate.unwrap_or_default().active {
            if self.is_over(&run).await? {
                tracing::warn!(%run, "the gate held a run that had ended");
                self.release(&run).await?;
                cleared = true;
            }
        }
        Ok(cleared)
    }

    /// Whether a run that was let in has ended, whatever the ledger knew of it.
    async fn is_over(&self, run: &RunId) -> Result<bool, Failure> {
        let Some(entry) = self.ledger.get(run).await? else {
            return Ok(true);
        };
        match entry.status {
            // Who cancelled it may have come no further than the ledger.
            RunStatus::Cancelled => self
                .conductor
                .stop(run, "the run was cancelled")
                .await
                .map(|()| true),
            RunStatus::Queued => Ok(self.launch(entry).await?.status.is_final()),
            RunStatus::Running => {
                let status = match self.conductor.status(run).await? {
                    ExecutionStatus::Absent if is_recent(&entry) => ExecutionStatus::Running,
                    status => status,
                };
                self.note_end(run, status).await
            }
            _ => Ok(true),
        }
    }

    /// Notes in the ledger how a run's execution ended, unless that is known. Says whether it has ended.
    pub(crate) async fn note_end(
        &self,
        run: &RunId,
        status: ExecutionStatus,
    ) -> Result<bool, Failure> {
        let because = |name: &str, message: &str| {
            Some(RecordedFailure {
                name: name.to_owned(),
                message: message.to_owned(),
            })
        };
        let (status, failure) = match status {
            ExecutionStatus::Running => return Ok(false),
            ExecutionStatus::Succeeded => (RunStatus::Succeeded, None),
            ExecutionStatus::Failed(failure) => (RunStatus::Failed, Some(readable(failure))),
            ExecutionStatus::Stopped => (
                RunStatus::Cancelled,
                because("Cancelled", "its execution was stopped"),
            ),
            ExecutionStatus::Absent => (
                RunStatus::Failed,
                because(
                    "Internal",
                    "its execution is not to be found; start another run",
                ),
            ),
        };
        self.ledger.finish(run, status, failure).await?;
        Ok(true)
    }
}

/// Whether a run started so lately that its execution need not be seen yet.
fn is_recent(run: &Run) -> bool {
    let started = run
        .started_at
        .as_ref()
        .and_then(|at| at.parse::<jiff::Timestamp>().ok());
    started.is_some_and(|at| jiff::Timestamp::now().as_second() - at.as_second() < UNSEEN_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u32) -> RunId {
        RunId::new("a", 0, number)
    }

    #[test]
    fn forbid_lets_one_in() {
        let mut gate = Gate::default();
        assert_eq!(gate.enter(&run(1), Concurrency::Forbid), Verdict::Enter);
        assert_eq!(gate.enter(&run(1), Concurrency::Forbid), Verdict::Enter);
        assert_eq!(
            gate.enter(&run(2), Concurrency::Forbid),
            Verdict::Refuse(vec![run(1)])
        );
        gate.leave(&run(2));
        assert_eq!(gate.active, [run(1)]);
        gate.leave(&run(1));
        assert_eq!(gate.enter(&run(2), Concurrency::Forbid), Verdict::Enter);
    }

    #[test]
    fn queue_lets_one_in_after_the_other() {
        let mut gate = Gate::default();
        assert_eq!(gate.enter(&run(1), Concurrency::Queue), Verdict::Enter);
        for number in [2, 3, 4, 2] {
            assert_eq!(gate.enter(&run(number), Concurrency::Queue), Verdict::Wait);
        }
        gate.leave(&run(3));
        gate.leave(&run(1));
        assert_eq!(
            (&gate.active[..], &gate.waiting[..]),
            (&[run(2)][..], &[run(4)][..])
        );
        assert_eq!(
            gate.enter(&run(5), Concurrency::Forbid),
            Verdict::Refuse(vec![run(2)])
        );
        for number in 100..100 + MOST_WAITING as u32 {
            gate.enter(&run(number), Concurrency::Queue);
        }
        assert_eq!(gate.waiting.len(), MOST_WAITING);
        assert_eq!(
            gate.enter(&run(6), Concurrency::Queue),
            Verdict::Refuse(vec![run(2)])
        );
    }

    #[test]
    fn allow_lets_all_in() {
        let mut gate = Gate::default();
        for number in 1..4 {
            assert_eq!(gate.enter(&run(number), Concurrency::Allow), Verdict::Enter);
        }
        assert_eq!(gate.active.len(), 3);
    }
}
