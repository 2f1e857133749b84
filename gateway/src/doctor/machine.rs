//! The machine: room on the disk, whether and how fast it keeps what is written, and its clock.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Report, bytes, span};

/// Free space below which publishing may stop at any time, and below which somebody should look.
const FREE_FAILURE: u64 = 64_000_000;
const FREE_WARNING: u64 = 2_000_000_000;
/// Files that may still be made, below which somebody should look.
const INODES_WARNING: u64 = 10_000;
/// Written at once to see how fast the disk is, and in small parts to see how long each waits.
const BULK_BYTES: usize = 8 << 20;
const PARTS: usize = 9;
const PART_BYTES: usize = 4096;
/// Every block waits for the disk once: a disk slower than this makes questions wait.
const SYNC_WARNING: Duration = Duration::from_millis(50);

/// Room, and whether what is written is kept.
pub(super) fn disk(folder: &Path, report: &mut Report) {
    let shown = folder.display();
    match rustix::fs::statvfs(folder) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let told = format!("{} free in {shown}", bytes(free));
            if free < FREE_FAILURE {
                report.fail("disk", told, "make room: nothing can be published or recorded without");
            } else if free < FREE_WARNING {
                report.warn("disk", told, "make room soon, or move the folder to a larger disk");
            } else {
                report.ok("disk", told);
            }
            // File systems without a fixed number of files say 0 of 0.
            if found.f_files > 0 && found.f_favail < INODES_WARNING {
                let told = format!("only {} more files can be made in {shown}", found.f_favail);
                report.warn("disk", told, "make room for files (inodes): objects are files");
            }
        }
        Err(error) => report.warn("disk", format!("{shown}: {error}"), "look at the disk yourself with 'df'"),
    }
    match write_speed(folder) {
        Ok((rate, sync)) => {
            let told = format!("{}/s are written, and a block waits {} for the disk", bytes(rate), span(sync));
            match sync > SYNC_WARNING {
                true => report.warn("disk", told, "use a faster disk, or one that others do not write to"),
                false => report.ok("disk", told),
            }
        }
        Err(error) => {
            let todo = "make the folder writable and make room; 'mount' shows whether the disk is read-only";
            report.fail("disk", format!("{shown} cannot be written: {error}"), todo);
        }
    }
}

/// Bytes a second, and the median of what small durable writes take.
fn write_speed(folder: &Path) -> std::io::Result<(u64, Duration)> {
    let mut file = tempfile::Builder::new().prefix(".doctor.").tempfile_in(folder)?;
    let begun = Instant::now();
    file.write_all(&vec![0x5a; BULK_BYTES])?;
    file.as_file().sync_all()?;
    let rate = BULK_BYTES as f64 / begun.elapsed().as_secs_f64().max(1e-9);
    let mut times = Vec::with_capacity(PARTS);
    for _ in 0..PARTS {
        let begun = Instant::now();
        file.write_all(&[0xa5; PART_BYTES])?;
        file.as_file().sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort();
    file.close()?;
    Ok((rate as u64, times.get(PARTS / 2).copied().unwrap_or_default()))
}

/// Whether systemd's time service says that the clock follows others; where it does not run, the clock is
/// compared with the ledger's and the gateway's only.
pub(super) fn clock_is_kept(report: &mut Report) {
    let folder = Path::new("/run/systemd/timesync");
    if folder.join("synchronized").exists() {
        report.ok("clock", "it follows a time server (systemd-timesyncd)");
    } else if folder.is_dir() {
        let todo = "look with 'timedatectl status': without a time server the clock drifts, and a node whose clock is off does not vote";
        report.warn("clock", "it does not follow a time server (systemd-timesyncd)", todo);
    }
}

/// How this machine's clock stands to another's time, of which `whose` tells.
pub(super) fn compare_clock(whose: &str, theirs_ms: u64, ours_ms: u64, tolerated: Duration, report: &mut Report) {
    let off = Duration::from_millis(theirs_ms.abs_diff(ours_ms));
    let direction = if ours_ms < theirs_ms { "behind" } else { "ahead of" };
    if off <= tolerated {
        report.ok("clock", format!("it agrees with {whose}"));
        return;
    }
    let todo = "set it right and let NTP keep it ('timedatectl set-ntp true'): grants and sessions end by the clock";
    report.fail("clock", format!("it is {} {direction} {whose}", span(off)), todo);
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_clock_is_told_by_how_much_and_in_which_direction_it_is_off() {
        let mut report = Report::default();
        let ten = Duration::from_secs(10);
        compare_clock("theirs", 1_000_000, 1_009_000, ten, &mut report);
        compare_clock("theirs", 1_000_000, 1_060_000, ten, &mut report);
        compare_clock("theirs", 8_200_000, 1_000_000, ten, &mut report);
        let told: Vec<_> = report.checks.iter().map(|check| (check.status, check.found.as_str())).collect();
        assert_eq!(
            told,
            [
                (Status::Ok, "it agrees with theirs"),
                (Status::Failure, "it is 60 s ahead of theirs"),
                (Status::Failure, "it is 2 h behind theirs"),
            ]
        );
    }

    #[test]
    fn a_folder_that_cannot_be_written_fails() {
        let mut report = Report::default();
        disk(Path::new("/proc"), &mut report);
        assert!(report.checks.iter().any(|check| check.found.contains("cannot be written")), "{report:?}");
        let dir = tempfile::tempdir().unwrap();
        let mut report = Report::default();
        disk(dir.path(), &mut report);
        assert!(report.checks.iter().all(|check| !check.found.contains("cannot be written")), "{report:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the probe is removed");
    }
}
