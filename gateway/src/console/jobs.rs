//! Long work that a page started: it goes on when the page is left, and its own page shows how far it is.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sealgate_ledger::ids::Address;
use sealgate_ods::progress::{Progress, ProgressSink};

/// Jobs that are remembered; of more, the oldest that is over is forgotten.
const JOBS_MAX: usize = 64;
/// Jobs that run at the same time.
const RUNNING_MAX: usize = 8;

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// At work.
    Running {
        /// On what.
        what: &'static str,
        /// How much of it is done.
        done: u64,
        /// Of how much, if that is known.
        total: Option<u64>,
    },
    /// Over; the page with its result.
    Done(String),
    /// It failed, and why.
    Failed(String),
}

/// One piece of long work.
pub struct Job {
    /// Its number in addresses.
    pub id: u64,
    /// Who started it; nobody else sees it.
    pub owner: Address,
    /// What it does, in the language in which it was started.
    pub title: String,
    /// Where to go from a failure.
    pub back: String,
    state: Mutex<State>,
    result: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Job {
    /// How far it is.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Notes how far it has come.
    pub fn count(&self, what: &'static str, done: u64, total: Option<u64>) {
        *self.lock() = State::Running { what, done, total };
    }

    /// Keeps what the page with its result shows, as long as the job is remembered. The first is kept.
    pub fn keep<T: Any + Send + Sync>(&self, result: T) {
        let _ = self.result.set(Box::new(result));
    }

    /// What was kept, if it is of this kind.
    pub fn kept<T: Any>(&self) -> Option<&T> {
        self.result.get()?.downcast_ref()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProgressSink for Job {
    fn report(&self, progress: Progress) {
        let what = progress.phase.words();
        match (progress.bytes_total, progress.rows_total) {
            (Some(total), _) => self.count(what, progress.bytes_done, Some(total)),
            (None, total) => self.count(what, progress.rows_done, total),
        }
    }
}

/// All jobs of a console.
#[derive(Default)]
pub struct Jobs {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    jobs: VecDeque<Arc<Job>>,
}

impl Jobs {
    /// Starts a job for `owner`: `work` gets the job to report to, and ends with the address of the
    /// page that shows its result, or with what went wrong. `{job}` in `back` stands for the job's number.
    /// `None` when too many run already.
    pub fn start<W>(
        &self,
        owner: Address,
        title: String,
        back: &str,
        work: impl FnOnce(Arc<Job>) -> W,
    ) -> Option<Arc<Job>>
    where
        W: Future<Output = Result<String, String>> + Send + 'static,
    {
        let job = {
            let mut inner = self.inner();
            let is_running = |job: &Arc<Job>| matches!(job.state(), State::Running { .. });
            if inner.jobs.iter().filter(|job| is_running(job)).count() >= RUNNING_MAX {
                return None;
            }
            if inner.jobs.len() >= JOBS_MAX
                && let Some(oldest) = inner.jobs.iter().position(|job| !is_running(job))
            {
                inner.jobs.remove(oldest);
            }
            inner.last += 1;
            let state = Mutex::new(State::Running { what: "starting", done: 0, total: None });
            let back = back.replace("{job}", &inner.last.to_string());
            let job = Arc::new(Job { id: inner.last, owner, title, back, state, result: OnceLock::new() });
            inner.jobs.push_back(job.clone());
            job
        };
        let (work, kept) = (tokio::spawn(work(job.clone())), job.clone());
        tokio::spawn(async move {
            let end = match work.await {
                Ok(Ok(page)) => State::Done(page),
                Ok(Err(why)) => State::Failed(why),
                Err(error) => {
                    tracing::error!(%error, "a job of the console broke off");
                    State::Failed("the work broke off; the log says why".into())
                }
            };
            *kept.lock() = end;
        });
        Some(job)
    }

    /// The job with this number, if it is `owner`'s.
    pub fn of(&self, owner: &Address, id: u64) -> Option<Arc<Job>> {
        self.inner().jobs.iter().find(|job| job.id == id && job.owner == *owner).cloned()
    }

    /// The jobs of `owner`, the newest first.
    pub fn all_of(&self, owner: &Address) -> Vec<Arc<Job>> {
        self.inner().jobs.iter().rev().filter(|job| job.owner == *owner).cloned().collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_is_its_owners_and_says_how_it_ended() {
        let jobs = Jobs::default();
        let (me, other) = (Address([1; 32]), Address([2; 32]));
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let job = jobs
            .start(me, "publish".into(), "/back/{job}", |job| async move {
                job.count("sealing", 3, Some(4));
                let _ = wait.await;
                Ok("/there".into())
            })
            .unwrap();
        while job.state() != (State::Running { what: "sealing", done: 3, total: Some(4) }) {
            tokio::task::yield_now().await;
        }
        assert_eq!(job.back, format!("/back/{}", job.id));
        assert!(jobs.of(&other, job.id).is_none() && jobs.of(&me, job.id).is_some());
        job.keep(7_u32);
        job.keep(8_u32);
        assert_eq!((job.kept::<u32>(), job.kept::<u64>()), (Some(&7), None));
        go.send(()).unwrap();
        while job.state() != State::Done("/there".into()) {
            tokio::task::yield_now().await;
        }
        let failing = jobs.start(me, "x".into(), "/", |_| async { Err("no".into()) }).unwrap();
        let breaking = jobs.start(me, "x".into(), "/", |_| async { panic!("broken") }).unwrap();
        while !matches!((failing.state(), breaking.state()), (State::Failed(_), State::Failed(_))) {
            tokio::task::yield_now().await;
        }
        assert_eq!((jobs.all_of(&me).len(), jobs.all_of(&other).len()), (3, 0));
        for _ in 0..RUNNING_MAX {
            assert!(jobs.start(me, "x".into(), "/", |_| std::future::pending()).is_some());
        }
        assert!(jobs.start(me, "x".into(), "/", |_| std::future::pending()).is_none());
    }
}
