//! What the node's parts need of a clock: the real one, or a simulated one.

use std::time::{Duration, UNIX_EPOCH};

use commonware_runtime::Clock;

pub(crate) trait Time: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> u64;

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

impl<E: Clock> Time for E {
    fn now_ms(&self) -> u64 {
        let since = self.current().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        Clock::sleep(self, duration)
    }
}
