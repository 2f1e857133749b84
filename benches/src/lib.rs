//! What the benchmarks share: the header, the clocks, interleaved rounds with medians, and the
//! lines that machines read (README.md).

use std::fmt::Display;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

pub mod sample;

/// Why a benchmark did not run to its end.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What something cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Time that passed.
    pub wall: Duration,
    /// Processor time of all threads of this process together.
    pub cpu: Duration,
}

impl Cost {
    /// What `work` costs.
    ///
    /// # Errors
    /// Whatever `work` fails with.
    pub fn of(work: impl FnOnce() -> Result<(), Fault>) -> Result<Cost, Fault> {
        let (wall, cpu) = (Instant::now(), processor_time());
        work()?;
        Ok(Cost { wall: wall.elapsed(), cpu: processor_time().saturating_sub(cpu) })
    }

    /// Each of `times` runs of `work`, on average.
    ///
    /// # Errors
    /// Whatever `work` fails with.
    pub fn of_each(times: usize, mut work: impl FnMut() -> Result<(), Fault>) -> Result<Cost, Fault> {
        let all = Cost::of(|| (0..times).try_for_each(|_| work()))?;
        Ok(all.over(times))
    }

    /// The share of one of `parts`.
    #[must_use]
    pub fn over(self, parts: usize) -> Cost {
        let parts = u32::try_from(parts.max(1)).unwrap_or(u32::MAX);
        Cost { wall: self.wall / parts, cpu: self.cpu / parts }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), |a, b| Cost { wall: a.wall + b.wall, cpu: a.cpu + b.cpu })
    }
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// One of those that a race compares: a name, and what runs once a round and tells its cost, so
/// that preparation stays outside.
pub type Contender<'a> = (&'static str, Box<dyn FnMut() -> Result<Cost, Fault> + 'a>);

/// One run of one benchmark.
pub struct Run {
    quick: bool,
    rounds: usize,
}

impl Run {
    /// Prints the header: benchmark, machine, commit. `cargo bench` passes `--bench`; without it,
    /// or with `--test`, everything runs once at its smallest, only to see that it runs.
    pub fn begin(name: &str, rounds: usize) -> Run {
        let arguments: Vec<String> = std::env::args().collect();
        let given = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
        let quick = given("--test") || !given("--bench");
        println!("# sealgate bench '{name}'{}", if quick { ", quick: its figures mean nothing" } else { "" });
        println!("# machine: {}", machine());
        println!("# commit: {}", commit());
        let mut run = Run { quick, rounds: 1 };
        run.rounds = run.size("SEALGATE_BENCH_ROUNDS", rounds, 1);
        run
    }

    /// Whether figures are wanted, not only that everything runs.
    pub fn is_full(&self) -> bool {
        !self.quick
    }

    /// A parameter: `full`, or what the environment variable says; `quick` in a quick run. Printed.
    pub fn size(&self, variable: &str, full: usize, quick: usize) -> usize {
        let from_environment = || std::env::var(variable).ok().and_then(|text| text.parse().ok());
        let value = if self.quick { quick } else { from_environment().unwrap_or(full) };
        println!("# {variable} = {value}");
        value
    }

    /// Lets the contenders run in turn, round after round, each round beginning with another, and returns the median cost of each.
    ///
    /// # Errors
    /// What a contender fails with.
    pub fn race<const N: usize>(&self, contenders: [Contender<'_>; N]) -> Result<[Cost; N], Fault> {
        let costs = self.race_all(contenders.into())?;
        Ok(std::array::from_fn(|position| costs.get(position).copied().unwrap_or_default()))
    }

    /// [`Run::race`] of as many as there are.
    ///
    /// # Errors
    /// What a contender fails with.
    pub fn race_all(&self, mut contenders: Vec<Contender<'_>>) -> Result<Vec<Cost>, Fault> {
        let mut costs: Vec<Vec<Cost>> = contenders.iter().map(|_| Vec::new()).collect();
        let count = contenders.len();
        for round in 0..self.rounds.max(1) {
            // Another one begins each time: whoever comes behind somebody pays for what that one left.
            for (_, at) in (0..count).zip((0..count).cycle().skip(round % count.max(1))) {
                if let (Some((_, work)), Some(costs)) = (contenders.get_mut(at), costs.get_mut(at)) {
                    costs.push(work()?);
                }
            }
        }
        for ((name, _), costs) in contenders.iter().zip(&costs) {
            let (wall, cpu) = (sorted(costs, |cost| cost.wall), sorted(costs, |cost| cost.cpu));
            println!(
                "  {name}: wall {} ({} to {}), cpu {}",
                shown(middle(&wall)),
                shown(wall.first().copied().unwrap_or_default()),
                shown(wall.last().copied().unwrap_or_default()),
                shown(middle(&cpu)),
            );
        }
        let median = |costs: &Vec<Cost>| Cost {
            wall: middle(&sorted(costs, |cost| cost.wall)),
            cpu: middle(&sorted(costs, |cost| cost.cpu)),
        };
        Ok(costs.iter().map(median).collect())
    }

    /// Prints a ratio for people, with what it means, and for machines.
    pub fn ratio(&self, name: &str, value: f64, meaning: impl Display) {
        println!("  {meaning}");
        println!("ratio: {name} = {value:.4}");
    }
}

/// What this process holds in memory now, in bytes; 0 where the system does not say.
pub fn resident_bytes() -> u64 {
    resident_bytes_of(std::process::id())
}

/// The most that this process has held in memory, in bytes; 0 where the system does not say.
pub fn highest_resident_bytes() -> u64 {
    highest_resident_bytes_of(std::process::id())
}

/// What the process `id` holds in memory at its highest, in bytes; 0 where the system does not say.
pub fn highest_resident_bytes_of(id: u32) -> u64 {
    memory(id, "VmHWM:")
}

/// What the process `id` holds in memory now, in bytes; 0 where the system does not say.
pub fn resident_bytes_of(id: u32) -> u64 {
    memory(id, "VmRSS:")
}

/// Processor time of the process `id`; a hundredth of a second is the least that the system tells.
pub fn process_time(id: u32) -> Duration {
    ticks(id, 11)
}

/// Processor time of the processes that this one has started and awaited, as exactly.
pub fn children_time() -> Duration {
    ticks(std::process::id(), 13)
}

/// Two fields of /proc/PROCESS/stat, counted behind the program's name, together: utime and stime are the 11th
/// and 12th, cutime and cstime the next (proc_pid_stat(5)). The name stands in parentheses and may hold anything.
fn ticks(process: u32, behind: usize) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let fields = fields.split_whitespace().skip(behind).take(2);
    Duration::from_millis(10 * fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>())
}

fn memory(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// `a` in units of `b`.
pub fn times(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// How many a second, when each takes `each`.
pub fn a_second(each: Duration) -> f64 {
    1.0 / each.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn sorted(costs: &[Cost], part: impl Fn(&Cost) -> Duration) -> Vec<Duration> {
    let mut parts: Vec<Duration> = costs.iter().map(part).collect();
    parts.sort();
    parts
}

fn middle(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn shown(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.2} ms"),
        ms => format!("{:.2} us", ms * 1e3),
    }
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores, {}", model.unwrap_or("unknown processor"), std::env::consts::ARCH)
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let changed = git(&["status", "--porcelain"]).is_some_and(|status| !status.is_empty());
    if changed { format!("{head}, with changes on top") } else { head }
}
