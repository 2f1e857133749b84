//! Turns at what there is not enough of for everybody at once: reads of the ledger, and places among the
//! questions that wait. What goes beyond is refused, not queued.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealgate_ledger::ids::Address;
use tokio::sync::Semaphore;

/// Reads at the same time; more wait their turn.
const READS_AT_ONCE: usize = 16;

/// Turns at work that touches files: some at a time, some more wait.
#[derive(Debug)]
pub struct Reads {
    turns: Arc<Semaphore>,
    /// Reads under way and waiting.
    queue: Semaphore,
}

/// Why there was no turn.
#[derive(Debug, thiserror::Error)]
pub enum NoTurn {
    /// Too many wait.
    #[error("too many reads are waiting; try again in a few seconds")]
    Full,
    /// The work broke off.
    #[error("the work broke off: {0}")]
    Broken(String),
}

impl Reads {
    /// So many at most wait beside those under way.
    pub fn new(waiting_max: usize) -> Reads {
        let queue = Semaphore::new(READS_AT_ONCE.saturating_add(waiting_max).min(Semaphore::MAX_PERMITS));
        Reads { turns: Arc::new(Semaphore::new(READS_AT_ONCE)), queue }
    }

    /// Runs what touches files off the async threads when it is its turn.
    ///
    /// # Errors
    /// [`NoTurn`].
    pub async fn take<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NoTurn> {
        let _queued = self.queue.try_acquire().map_err(|_| NoTurn::Full)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|error| NoTurn::Broken(error.to_string()))?;
        let span = tracing::Span::current();
        let work = move || {
            // Until the work is done, whether or not its caller is still there.
            let _turn = turn;
            span.in_scope(work)
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| NoTurn::Broken(error.to_string()))
    }
}

/// Places of which nobody has more than a share.
#[derive(Debug)]
pub struct Places {
    most: usize,
    each: usize,
    taken: Mutex<HashMap<Holder, usize>>,
}

/// Who holds a place: an account, or all of whom it is not known who they are.
pub type Holder = Option<Address>;

/// A place, given back when dropped.
#[derive(Debug)]
pub struct Place<'a> {
    places: &'a Places,
    holder: Holder,
}

/// Why there was no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// All are taken.
    Full,
    /// Its share is.
    Share,
}

impl Places {
    /// So many in all, a quarter of them for each.
    pub fn new(most: usize) -> Places {
        Places { most, each: most.div_ceil(4), taken: Mutex::default() }
    }

    /// A place for somebody.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn take(&self, holder: Holder) -> Result<Place<'_>, NoPlace> {
        let mut taken = self.taken();
        let own = taken.get(&holder).copied().unwrap_or_default();
        if own >= self.each {
            return Err(NoPlace::Share);
        }
        if taken.values().sum::<usize>() >= self.most {
            return Err(NoPlace::Full);
        }
        taken.insert(holder, own + 1);
        Ok(Place { places: self, holder })
    }

    /// How many are taken.
    pub fn count(&self) -> usize {
        self.taken().values().sum()
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(own) = taken.get_mut(&self.holder) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_a_quarter() {
        let places = Places::new(8);
        let [a, b, c, d, e] = [1, 2, 3, 4, 5].map(|byte| Some(Address([byte; 32])));
        let held: Vec<Place<'_>> = [a, a, b, b, None, None].map(|who| places.take(who).unwrap()).into();
        for who in [a, b, None] {
            assert_eq!(places.take(who).unwrap_err(), NoPlace::Share);
        }
        let more = [c, d].map(|who| places.take(who).unwrap());
        assert_eq!(places.take(e).unwrap_err(), NoPlace::Full);
        assert_eq!(places.count(), 8);
        drop(more);
        assert!(places.take(e).is_ok() && places.take(a).is_err());
        drop(held);
        assert_eq!(places.count(), 0);
        assert!(places.taken().is_empty(), "who holds none is not remembered");
        // Where there are few, each has one at least.
        let one = Places::new(1);
        let _held = one.take(a).unwrap();
        assert_eq!(one.take(a).unwrap_err(), NoPlace::Share);
        assert_eq!(one.take(b).unwrap_err(), NoPlace::Full);
    }

    #[tokio::test]
    async fn what_waits_beyond_the_queue_is_refused() {
        let reads = Arc::new(Reads::new(1));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let read = |reads: Arc<Reads>| {
            let wait = wait.clone();
            tokio::spawn(async move {
                let work = move || {
                    let _ = wait.lock().unwrap().recv();
                };
                reads.take(work).await
            })
        };
        let under_way: Vec<_> = (0..=READS_AT_ONCE).map(|_| read(reads.clone())).collect();
        while reads.queue.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(reads.take(|| ()).await, Err(NoTurn::Full)));
        drop(go);
        for one in under_way {
            one.await.unwrap().unwrap();
        }
        assert_eq!(reads.take(|| 7).await.unwrap(), 7);
    }
}
