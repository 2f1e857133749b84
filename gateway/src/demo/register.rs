//! A made-up licence register: the same few thousand records on every machine.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Records in the register.
const RECORDS: u64 = 4000;

/// Its share manifest.
pub(super) const MANIFEST: &str = r#"# What this department shares of its licence register, and for what.

[asset]
name = "licences"
title = "Business licences (a made-up register)"
description = "Written by 'sealgate demo'; any resemblance to a real register is accidental."

[source]
kind = "csv"
path = "licences.csv"

[key]
columns = ["LicenceNo"]

[[column]]
name = "LicenceNo"
type = "int"

[[column]]
name = "BusinessName"
type = "text"

[[column]]
name = "Status"
type = "text"

[[column]]
name = "BusinessType"
type = "text"

[[column]]
name = "FeePaid"
type = "decimal(2)"

[[column]]
name = "Employees"
type = "int"

[[column]]
name = "IssuedAt"
type = "timestamp"

[[column]]
name = "ExpiresOn"
type = "date"

[[column]]
name = "Inspected"
type = "bool"

[[column]]
name = "TaxNumber"
type = "text"
use = ["prove"]
"#;

/// Numbers that are the same everywhere: SHA-256 of a counter.
struct Draw {
    counter: u64,
}

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.counter += 1;
        let digest =
            Sha256::new().chain_update(b"sealgate demo register").chain_update(self.counter.to_le_bytes()).finalize();
        digest.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes)) % bound.max(1)
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        let i = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        from.get(i).copied().unwrap_or_default()
    }
}

/// The register as CSV.
pub(super) fn csv() -> String {
    let mut out = String::from(
        "LicenceNo,BusinessName,Status,BusinessType,FeePaid,Employees,IssuedAt,ExpiresOn,Inspected,TaxNumber\n",
    );
    let mut draw = Draw { counter: 0 };
    for i in 0..RECORDS {
        let first = draw.pick(&[
            "Harbour", "Northern", "Maple", "Granite", "Lantern", "Willow", "Copper", "Juniper", "Atlas", "Meridian",
        ]);
        let second = draw.pick(&[
            "Kitchen",
            "Bakery",
            "Trading",
            "Textiles",
            "Coffee",
            "Logistics",
            "Books",
            "Optics",
            "Gardens",
            "Tools",
        ]);
        let status = draw.pick(&["Issued", "Issued", "Issued", "Pending", "Inactive", "Cancelled"]);
        let kind = draw.pick(&["Restaurant", "Retail", "Wholesale", "Workshop", "Office"]);
        let fee = if draw.below(5) == 0 {
            String::new()
        } else {
            format!("{}.{:02}", 50 + draw.below(1500), draw.below(100))
        };
        let employees = 1 + draw.below(80);
        let (month, day, hour) = (1 + draw.below(12), 1 + draw.below(28), 8 + draw.below(9));
        let minute = draw.below(60);
        let inspected = draw.below(3) > 0;
        let tax = draw.below(1_000_000_000);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{no},{first} {second} {suffix} Ltd,{status},{kind},{fee},{employees},2025-{month:02}-{day:02}T{hour:02}:{minute:02}:00+01:00,2026-{month:02}-{day:02},{inspected},TN{tax:09}",
            no = 100_000 + i * 7 + draw.below(7),
            suffix = i + 1,
        );
    }
    out
}
