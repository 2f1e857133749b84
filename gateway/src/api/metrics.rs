//! What is counted, in the text form that Prometheus reads (docs/spec/api.md#metrics). No label holds
//! anything that a caller chooses: routes are templates, and what is none of them is `none`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use warp::http::StatusCode;

use crate::gateway::Gateway;

/// The media type of what [`Metrics::text`] gives.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Number = Gauge<i64, std::sync::atomic::AtomicI64>;

/// What is counted.
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter<u64, AtomicU64>>,
    durations: Family<Labels, Histogram, fn() -> Histogram>,
    refusals: Family<Labels, Counter<u64, AtomicU64>>,
    connections: Number,
    height: Number,
    entries: Number,
    waiting: Number,
    proofs: Counter<u64, AtomicU64>,
    declined: Counter<u64, AtomicU64>,
    store_errors: Counter<u64, AtomicU64>,
    memory: Number,
    files: Number,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sealgate");
        let new_histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.000_5, 3.0, 12));
        let metrics = Metrics {
            requests: Family::default(),
            durations: Family::new_with_constructor(new_histogram),
            refusals: Family::default(),
            connections: Gauge::default(),
            height: Gauge::default(),
            entries: Gauge::default(),
            waiting: Gauge::default(),
            proofs: Counter::default(),
            declined: Counter::default(),
            store_errors: Counter::default(),
            memory: Gauge::default(),
            files: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Answered requests by route, method and status", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register("refused", "Refused for want of room, or for a client's rate", metrics.refusals.clone());
        for (name, help, counter) in [
            ("proofs_made", "Proofs made", &metrics.proofs),
            ("budget_refusals", "Answers refused for want of budget", &metrics.declined),
            (
                "store_errors",
                "Operations that the store of sealed objects failed: no answer, refused, or full",
                &metrics.store_errors,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, gauge) in [
            ("connections", "Open connections", &metrics.connections),
            ("ledger_height", "Height of the ledger's head", &metrics.height),
            ("ledger_entries", "Entries of the ledger", &metrics.entries),
            ("questions_waiting", "Questions that are being answered or wait for a prover", &metrics.waiting),
            ("memory_resident_bytes", "Memory of this process", &metrics.memory),
            ("open_files", "Open files of this process", &metrics.files),
        ] {
            registry.register(name, help, gauge.clone());
        }
        Metrics { registry, ..metrics }
    }
}

impl Metrics {
    /// Counts an answer.
    pub(super) fn answered(&self, route: &'static str, method: &str, status: StatusCode, time: Duration) {
        let known = ["GET", "POST", "DELETE"].into_iter().find(|known| *known == method).unwrap_or("other");
        let labels =
            vec![("route", route.to_owned()), ("method", known.to_owned()), ("status", status.as_str().to_owned())];
        self.requests.get_or_create(&labels).inc();
        self.durations.get_or_create(&vec![("route", route.to_owned())]).observe(time.as_secs_f64());
    }

    /// Counts what was refused because of a limit.
    pub(super) fn refused(&self, limit: &'static str) {
        self.refusals.get_or_create(&vec![("limit", limit.to_owned())]).inc();
    }

    /// Says how many connections are open.
    pub(super) fn connections(&self, open: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// How many connections were open when it was last said.
    #[cfg(test)]
    pub(super) fn open(&self) -> i64 {
        self.connections.get()
    }

    /// Everything, as Prometheus reads it.
    ///
    /// # Errors
    /// What the library says when it cannot write.
    pub(super) fn text(&self, gateway: &Gateway) -> Result<String, std::fmt::Error> {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let head = gateway.ledger().head();
        self.height.set(number(head.height.0));
        self.entries.set(number(head.tree_size));
        let work = gateway.work();
        self.waiting.set(number(work.waiting));
        for (counter, counted) in
            [(&self.proofs, work.proofs), (&self.declined, work.declined), (&self.store_errors, work.store_errors)]
        {
            counter.inner().store(counted, Ordering::Relaxed);
        }
        self.memory.set(resident_bytes().map_or(0, number));
        self.files.set(std::fs::read_dir("/proc/self/fd").map_or(0, |files| number(files.count() as u64)));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// Shared by all that count.
pub(super) type Counting = Arc<Metrics>;

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}
