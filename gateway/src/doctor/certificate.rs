//! When a certificate ends: its last moment alone is read, from the place where every X.509 certificate has
//! it (RFC 5280 section 4.1). Whether it is good for anything is for those who connect.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Report, span};
use crate::files::read_bounded;
use crate::owner::clock_ms;

/// Largest file of certificates that is read, in bytes.
const PEM_BYTES_MAX: u64 = 1 << 20;
/// A certificate that ends sooner is to be renewed now.
const SOON: Duration = Duration::from_secs(21 * 86_400);

/// Tags of DER (X.690) that lead to the end of a certificate.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When each certificate of a PEM file ends.
pub(super) fn look(path: &Path, report: &mut Report) {
    let shown = path.display();
    let renew = "renew it: the gateway reads the file again when it changes";
    let bytes = match read_bounded(path, PEM_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => return report.fail("certificate", error.to_string(), "correct the path in sealgate.toml"),
    };
    let ends: Option<Vec<i64>> =
        CertificateDer::pem_slice_iter(&bytes).map(|found| last_second(found.ok()?.as_ref())).collect();
    let Some(end) = ends.and_then(|ends| ends.into_iter().min()) else {
        return report.fail(
            "certificate",
            format!("{shown} holds no certificate"),
            "put a PEM file with the chain there",
        );
    };
    let now = i64::try_from(clock_ms() / 1000).unwrap_or(i64::MAX);
    match u64::try_from(end - now).map(Duration::from_secs) {
        Err(_) => report.fail("certificate", format!("{shown} is over since {}", time(end)), renew),
        Ok(left) if left < SOON => {
            report.warn("certificate", format!("{shown} ends in {}, {}", span(left), time(end)), renew);
        }
        Ok(left) => report.ok("certificate", format!("{shown} is good for another {}", span(left))),
    }
}

fn time(second: i64) -> String {
    jiff::Timestamp::from_second(second).map_or_else(|_| "some time".into(), |time| time.to_string())
}

/// The last second of a certificate, since 1970-01-01 UTC.
fn last_second(certificate: &[u8]) -> Option<i64> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        rest = any(rest)?.2;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, _, after_begin) = any(validity)?;
    let (tag, end, _) = any(after_begin)?;
    let text = std::str::from_utf8(end).ok()?;
    let full = match tag {
        // Two digits stand for 1950 to 2049 (RFC 5280 section 4.1.2.5.1).
        UTC_TIME => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let end = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", full).ok()?;
    Some(end.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

/// The content of the element with this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    any(bytes).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// Tag and content of the first element, and what follows it.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        (digits.iter().fold(0usize, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    fn certificate(year: i32) -> rcgen::Certificate {
        let mut parameters = rcgen::CertificateParams::new(vec!["gateway.example".into()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(year, 2, 3);
        parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn the_end_is_read_in_both_spellings() {
        for (year, seconds) in [(2031, 1_927_843_200), (2049, 2_495_923_200), (2050, 2_527_459_200)] {
            assert_eq!(last_second(certificate(year).der()), Some(seconds), "{year}");
        }
        let der = certificate(2031).der().to_vec();
        for cut in 0..der.len().min(200) {
            let _ = last_second(&der[..cut]);
        }
        assert_eq!(last_second(b""), None);
        assert_eq!(last_second(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn a_certificate_that_is_over_fails_and_one_of_a_chain_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chain.pem");
        let status = |text: String| {
            std::fs::write(&path, text).unwrap();
            let mut report = Report::default();
            look(&path, &mut report);
            report.checks[0].status
        };
        assert_eq!(status(certificate(2090).pem()), Status::Ok);
        assert_eq!(status(certificate(2090).pem() + &certificate(2021).pem()), Status::Failure);
        assert_eq!(status("nothing".into()), Status::Failure);
    }
}
