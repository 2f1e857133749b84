//! The contract's decision on a request: pure, and in one fixed order
//! (docs/spec/ledger.md#contract-rules).

use sealgate_circuits::question::{Item, Shape};

use super::views::{Asked, GrantView};
use crate::block::DenyReason;
use crate::tx::GrantTerms;

/// Decides whether `grant` allows what is asked at block time `time_ms`. The order of the checks
/// is part of the ledger's rules: grant, window, purpose, items or columns, quota.
///
/// # Errors
/// The first reason to deny.
pub(crate) fn decide<'g>(
    grant: Option<&'g GrantView>,
    asked: &Asked,
    purpose: &str,
    time_ms: u64,
) -> Result<&'g GrantView, DenyReason> {
    let grant = grant.ok_or(DenyReason::NoGrant)?;
    let terms = &grant.terms;
    if terms.not_before_ms.is_some_and(|from| time_ms < from) {
        return Err(DenyReason::NotYet);
    }
    if is_over(grant, time_ms) {
        return Err(DenyReason::Expired);
    }
    if !terms.purpose.is_empty() && terms.purpose != purpose {
        return Err(DenyReason::Purpose);
    }
    match asked {
        Asked::Question { shape, .. } => check_items(terms, shape)?,
        Asked::Whole { columns } => {
            if let Some(column) = columns.iter().find(|column| !terms.whole.contains(column)) {
                return Err(DenyReason::Whole { column: *column });
            }
        }
        // Not asked under a grant.
        Asked::Sample { .. } => {}
    }
    let used = grant.used.saturating_add(asked.counts());
    if terms.quota.is_some_and(|quota| used > quota) {
        return Err(DenyReason::QuotaUsed);
    }
    Ok(grant)
}

fn check_items(terms: &GrantTerms, shape: &Shape) -> Result<(), DenyReason> {
    if shape.items.is_empty() && !terms.existence {
        return Err(DenyReason::Existence);
    }
    for (item, asked) in (0u8..).zip(&shape.items) {
        match asked {
            Item::Disclose(column) if !terms.disclose.contains(column) => {
                return Err(DenyReason::Field { column: *column });
            }
            Item::Prove(predicate) if !predicate.allowed_by(&terms.prove) => {
                return Err(DenyReason::Predicate { item });
            }
            Item::Disclose(_) | Item::Prove(_) => {}
        }
    }
    Ok(())
}

/// Whether the grant's window has passed.
pub(crate) fn is_over(grant: &GrantView, time_ms: u64) -> bool {
    grant.terms.until_ms.is_some_and(|until| time_ms > until)
}
