//! What the node's parts need of time. Only what others judge, the time of a batch, is read from
//! the wall clock; a clock that is set forward or back must not make the node wait.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) trait Time: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01 UTC, as the machine believes.
    fn clock_ms(&self) -> u64;

    /// Milliseconds that have passed since some moment; never goes back.
    fn now_ms(&self) -> u64;

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// The machine's time, in a tokio runtime.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine(Instant);

impl Machine {
    pub(crate) fn new() -> Machine {
        Machine(Instant::now())
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Time for Machine {
    fn clock_ms(&self) -> u64 {
        ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    fn now_ms(&self) -> u64 {
        ms(self.0.elapsed())
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(duration)
    }
}
