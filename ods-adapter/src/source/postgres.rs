//! PostgreSQL: a table or query, read in one snapshot, some rows at a time, by a thread of its own.
//!
//! The server writes every cell as text, with settings under which that text says all; so its
//! types meet the manifest's in the same place as those of files.

use std::borrow::Cow;
use std::pin::pin;
use std::thread;
use std::time::Duration;

use futures::executor::block_on;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_postgres::Row;

use super::batch::BatchSize;
use super::{Place, SourceError, Table, find};
use crate::manifest::{PostgresSpec, Relation};

mod connect;

/// Rows that the server is asked for at once, at most.
const ROWS_AT_ONCE: usize = 256;
/// How often, and how long after one another, a server is asked to end a query of which nobody wants the rows: it
/// may not have begun yet.
const CANCELS_MAX: usize = 10;
const CANCEL_AGAIN: Duration = Duration::from_millis(500);
/// Batches that may wait while rows are sealed.
const BATCHES_WAITING: usize = 2;
/// Settings under which a text says all of a value, and nothing ends a snapshot that waits for
/// what is done with its rows. Rows of a large table come from its beginning. Where a policy of the
/// database would hide rows from its reader, the server refuses instead: a table that lacks rows looks whole.
const SETTINGS: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601'; \
    SET bytea_output = 'hex'; SET extra_float_digits = 1; SET synchronize_seqscans = off; SET row_security = off; \
    SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";

/// The rows of one table or query.
pub(super) struct PostgresTable {
    name: String,
    columns: Vec<String>,
    /// Takes the columns to read, once.
    choice: Option<oneshot::Sender<Vec<String>>>,
    batches: mpsc::Receiver<Result<Vec<Row>, String>>,
    batch: Vec<Row>,
    /// The current row in the batch, from 1.
    at: usize,
    rows_read: u64,
    ended: bool,
}

impl PostgresTable {
    /// Connects and begins a snapshot. Rows come in the order of the columns `key`, so that a
    /// changed row stays where it was.
    pub(super) fn open(spec: &PostgresSpec, key: &[String]) -> Result<Self, SourceError> {
        let name = name_of(spec);
        let (found, columns) = oneshot::channel();
        let (choice, chosen) = oneshot::channel();
        let (sender, batches) = mpsc::channel(BATCHES_WAITING);
        let reading = Reading { spec: spec.clone(), key: key.to_vec(), chosen, sender };
        let failed = |what: &str| SourceError::database(&name, what);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(&error.to_string()))?;
        let thread = thread::Builder::new().name("postgres-source".into());
        let run = move || runtime.block_on(reading.run(found));
        thread.spawn(run).map_err(|error| failed(&error.to_string()))?;
        let columns = block_on(columns).unwrap_or_else(|_| Err("the connection ended".into()));
        let columns = columns.map_err(|what| failed(&what))?;
        Ok(Self { name, columns, choice: Some(choice), batches, batch: Vec::new(), at: 0, rows_read: 0, ended: false })
    }
}

impl Table for PostgresTable {
    fn columns(&mut self) -> Result<Vec<String>, SourceError> {
        Ok(self.columns.clone())
    }

    fn choose(&mut self, names: &[String]) -> Result<(), SourceError> {
        find(&self.name, &self.columns, names)?;
        if let Some(choice) = self.choice.take() {
            // Whether it was taken, the first batch tells.
            let _ = choice.send(names.to_vec());
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Place>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        if self.at == self.batch.len() {
            let batch = match block_on(self.batches.recv()) {
                Some(Ok(batch)) if batch.is_empty() => {
                    self.ended = true;
                    return Ok(None);
                }
                Some(Ok(batch)) => batch,
                Some(Err(what)) => return Err(self.failed(&what)),
                None => return Err(self.failed("the connection ended")),
            };
            self.batch = batch;
            self.at = 0;
        }
        self.at += 1;
        self.rows_read += 1;
        Ok(Some(Place { line: None, fault: None }))
    }

    fn cell(&self, chosen: usize) -> Result<Option<Cow<'_, str>>, String> {
        let row = self.batch.get(self.at.wrapping_sub(1)).ok_or("not there")?;
        // A database without an encoding gives bytes as they were put in.
        let cell: Option<&str> = row.try_get(chosen).map_err(|_| "not UTF-8; the database must know its encoding")?;
        Ok(cell.map(Cow::Borrowed))
    }

    fn size_hint(&self) -> Option<(u64, u64)> {
        None
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl PostgresTable {
    fn failed(&self, what: &str) -> SourceError {
        SourceError::rows(&self.name, self.rows_read, what)
    }
}

/// What messages call a source: everything but who reads it and how.
fn name_of(spec: &PostgresSpec) -> String {
    let relation = match &spec.relation {
        Relation::Table(parts) => format!("table {}", parts.join(".")),
        Relation::Query(_) => "its query".into(),
    };
    format!("database {} on {}:{}, {relation}", spec.database, spec.host, spec.port)
}

/// The thread's side.
struct Reading {
    spec: PostgresSpec,
    key: Vec<String>,
    chosen: oneshot::Receiver<Vec<String>>,
    sender: mpsc::Sender<Result<Vec<Row>, String>>,
}

impl Reading {
    async fn run(self, found: oneshot::Sender<Result<Vec<String>, String>>) {
        let (mut client, cancel) = match connect::connect(&self.spec).await {
            Ok(connected) => connected,
            Err(what) => {
                let _ = found.send(Err(what));
                return;
            }
        };
        let Self { spec, key, chosen, sender } = self;
        let ended = sender.clone();
        let mut rows = pin!(read(&mut client, &spec, &key, chosen, found, &sender));
        let outcome = tokio::select! {
            outcome = &mut rows => outcome,
            // Whoever reads stopped, perhaps in the middle of a long query, with which the server would go on.
            () = ended.closed() => {
                for _ in 0..CANCELS_MAX {
                    cancel.ask().await;
                    if timeout(CANCEL_AGAIN, &mut rows).await.is_ok() {
                        break;
                    }
                }
                return;
            }
        };
        if let Err(what) = outcome {
            let _ = sender.send(Err(what)).await;
        }
    }
}

async fn read(
    client: &mut tokio_postgres::Client,
    spec: &PostgresSpec,
    key: &[String],
    chosen: oneshot::Receiver<Vec<String>>,
    found: oneshot::Sender<Result<Vec<String>, String>>,
    sender: &mpsc::Sender<Result<Vec<Row>, String>>,
) -> Result<(), String> {
    let begun = begin(client, spec).await;
    let (transaction, columns) = match begun {
        Ok(begun) => begun,
        Err(what) => {
            let _ = found.send(Err(what));
            return Ok(());
        }
    };
    // Nobody there, or nothing chosen: then there is nothing to read.
    if found.send(Ok(columns)).is_err() {
        return Ok(());
    }
    let Ok(names) = chosen.await else { return Ok(()) };
    let cells: Vec<String> = names.iter().map(|name| format!("q.{}::text", quoted(name))).collect();
    let order: Vec<String> = key.iter().map(|name| format!("q.{}", quoted(name))).collect();
    let mut select = format!("SELECT {} FROM {} AS q", cells.join(", "), relation(spec));
    if !order.is_empty() {
        select.push_str(&format!(" ORDER BY {}", order.join(", ")));
    }
    let statement = transaction.prepare(&select).await.map_err(|error| connect::said(&error))?;
    let portal = transaction.bind(&statement, &[]).await.map_err(|error| connect::said(&error))?;
    let mut size = BatchSize::up_to(ROWS_AT_ONCE);
    loop {
        let wanted = i32::try_from(size.rows()).unwrap_or(1);
        let rows = transaction.query_portal(&portal, wanted).await.map_err(|error| connect::said(&error))?;
        size.had(rows.len(), rows.iter().map(Row::raw_size_bytes).sum());
        let last = rows.is_empty();
        if sender.send(Ok(rows)).await.is_err() || last {
            return Ok(());
        }
    }
}

/// Begins a snapshot that changes nothing; the columns of what is read.
async fn begin<'a>(
    client: &'a mut tokio_postgres::Client,
    spec: &PostgresSpec,
) -> Result<(tokio_postgres::Transaction<'a>, Vec<String>), String> {
    client.batch_execute(SETTINGS).await.map_err(|error| connect::said(&error))?;
    let snapshot = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
    let transaction = snapshot.read_only(true).start().await.map_err(|error| connect::said(&error))?;
    let all = format!("SELECT * FROM {} AS q", relation(spec));
    let statement = transaction.prepare(&all).await.map_err(|error| connect::said(&error))?;
    if !statement.params().is_empty() {
        return Err("the query has parameters, and there is nobody to give them values".into());
    }
    let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
    Ok((transaction, columns))
}

fn relation(spec: &PostgresSpec) -> String {
    match &spec.relation {
        Relation::Table(parts) => parts.iter().map(|part| quoted(part)).collect::<Vec<_>>().join("."),
        // The line end is for a comment that ends the query.
        Relation::Query(query) => format!("({query}\n)"),
    }
}

/// A name as SQL takes it literally.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
