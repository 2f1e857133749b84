//! The code of each error that a command can end with, in one place (docs/command-line.md#codes).
//! Scripts rely on them: a code may be added, none changes its meaning.

use std::borrow::Cow;
use std::error::Error;
use std::io;

use sealgate_ledger::audit::AuditError;
use sealgate_ledger::{LedgerError, SubmitError};
use sealgate_ods::keys::KeyError;
use sealgate_ods::store::StoreError;

use super::failure::{NOT_FOUND, NOT_VERIFIED};
use crate::answer_file::AnswerError;
use crate::asking::AskFailure;
use crate::auditing::AuditFailure;
use crate::backup::BackupError;
use crate::ceremony::CeremonyFileError;
use crate::client::ClientError;
use crate::config::ConfigError;
use crate::files::FileError;
use crate::filing::FilingError;
use crate::home::HomeError;
use crate::identity::IdentityError;
use crate::owner::OwnerError;
use crate::parameters::ParameterError;
use crate::publishing::PublishError;
use crate::receipt::ReceiptError;
use crate::rehashing::RehashFailure;
use crate::rotating::RotateError;
use crate::serving::ServeError;
use crate::trail::TrailFailure;
use crate::witness::WitnessError;

type Code = Cow<'static, str>;

/// What kind of input, state or place is at fault.
const DAMAGED: &str = "damaged";
const IN_USE: &str = "in-use";
const DISK_FULL: &str = "disk-full";
const NO_FOLDER: &str = "no-folder";
const REFUSED: &str = "refused";

/// The code of an error, where it has one of its own.
pub(super) fn code_of(error: &(dyn Error + 'static)) -> Option<Code> {
    // Errors that pass another one on are asked for it: `source` steps over what is transparent.
    None.or_else(|| error.downcast_ref().and_then(of_client))
        .or_else(|| error.downcast_ref().and_then(of_home))
        .or_else(|| error.downcast_ref().and_then(of_ask))
        .or_else(|| error.downcast_ref().and_then(of_owner))
        .or_else(|| error.downcast_ref().and_then(of_audit))
        .or_else(|| error.downcast_ref().and_then(of_publish))
        .or_else(|| error.downcast_ref().and_then(of_ledger))
        .or_else(|| error.downcast_ref().and_then(of_keys))
        .or_else(|| error.downcast_ref().and_then(of_store))
        .or_else(|| error.downcast_ref().and_then(of_file))
        .or_else(|| error.downcast_ref().map(of_submit))
        .or_else(|| error.downcast_ref().and_then(of_io))
        .or_else(|| of_use_case(error))
}

fn fixed(code: &'static str) -> Option<Code> {
    Some(Cow::Borrowed(code))
}

fn of_client(error: &ClientError) -> Option<Code> {
    match error {
        ClientError::Address(_) => fixed("address"),
        ClientError::Unreachable { .. } => fixed("unreachable"),
        ClientError::Problem(problem) => {
            Some(problem.kind.strip_prefix("urn:sealgate:problem:").unwrap_or("problem").to_owned().into())
        }
        _ => fixed("unreadable"),
    }
}

fn of_home(error: &HomeError) -> Option<Code> {
    match error {
        HomeError::File(error) => of_file(error),
        HomeError::NotTrusted { .. } | HomeError::Genesis { .. } => fixed("not-trusted"),
        HomeError::Contradiction { .. } | HomeError::TwoRoots { .. } | HomeError::TwoSuccessions { .. } => {
            fixed("contradiction")
        }
        HomeError::NotWitnessed { .. } => fixed("not-witnessed"),
        HomeError::Unconnected { .. } => fixed("not-connected"),
        HomeError::Checkpoint(_) | HomeError::WrongEpoch { .. } | HomeError::Handover(_) => fixed(NOT_VERIFIED),
    }
}

fn of_ask(error: &AskFailure) -> Option<Code> {
    match error {
        AskFailure::Home(error) => of_home(error),
        AskFailure::Client(error) | AskFailure::NotTaken(error) => of_client(error),
        AskFailure::Question(_) | AskFailure::Key(_) => fixed("question"),
        AskFailure::Table(_) => fixed(NOT_FOUND),
        AskFailure::Denied { .. } => fixed("denied"),
        AskFailure::Declined { .. } => fixed("declined"),
        AskFailure::Refused(_) | AskFailure::Answer(_) | AskFailure::Envelope(_) => fixed(NOT_VERIFIED),
        AskFailure::Owner(error) => of_owner(error),
    }
}

fn of_owner(error: &OwnerError) -> Option<Code> {
    match error {
        OwnerError::File(error) => of_file(error),
        OwnerError::Ledger(error) => of_ledger(error),
        OwnerError::Submit(error) => Some(of_submit(error)),
        OwnerError::Keys(error) => of_keys(error),
        OwnerError::Store(error) => of_store(error),
        OwnerError::Config(_) => fixed("configuration"),
        OwnerError::Parameters(ParameterError::File(error)) => of_file(error),
        OwnerError::Client(error) => of_client(error),
        OwnerError::InUse { .. } | OwnerError::OtherLedger(_) => fixed(IN_USE),
        OwnerError::NotInitialised(_) | OwnerError::Unfinished(_) | OwnerError::IsHome(_) => fixed(NO_FOLDER),
        OwnerError::NoAsset(_) | OwnerError::NoAssetBut { .. } => fixed(NOT_FOUND),
        OwnerError::Budget(_) => fixed(DAMAGED),
        _ => None,
    }
}

fn of_audit(error: &AuditFailure) -> Option<Code> {
    match error {
        AuditFailure::Session(error) => of_ask(error),
        AuditFailure::Client(error) => of_client(error),
        AuditFailure::Owner(error) => of_owner(error),
        AuditFailure::Store { source, .. } => of_store(source),
        AuditFailure::NotYet { .. } => fixed(NOT_FOUND),
        AuditFailure::Ledger(_) | AuditFailure::Short { .. } | AuditFailure::Unsigned { .. } => fixed(NOT_VERIFIED),
    }
}

fn of_publish(error: &PublishError) -> Option<Code> {
    match error {
        PublishError::Manifest(_) => fixed("manifest"),
        PublishError::Source(_) => fixed("source"),
        PublishError::Owner(error) => of_owner(error),
        PublishError::Schema(_) | PublishError::Budget { .. } => fixed(REFUSED),
        PublishError::Busy | PublishError::Overtaken(_) => fixed(IN_USE),
        _ => None,
    }
}

fn of_ledger(error: &LedgerError) -> Option<Code> {
    match error {
        LedgerError::InUse(_) | LedgerError::NotEmbedded => fixed(IN_USE),
        LedgerError::NotFound(_) => fixed(NO_FOLDER),
        LedgerError::Damaged { .. } | LedgerError::WrongOperator { .. } | LedgerError::Genesis(_) => fixed(DAMAGED),
        LedgerError::OutOfRange { .. } => fixed(NOT_FOUND),
        LedgerError::Changing => fixed("busy"),
        _ => None,
    }
}

fn of_submit(error: &SubmitError) -> Code {
    Cow::Borrowed(match error {
        SubmitError::Rejected(_) => REFUSED,
        SubmitError::Busy | SubmitError::TooFast(_) | SubmitError::Undecided => "busy",
        SubmitError::Undone(_) => DISK_FULL,
        SubmitError::Stopped(_) => "stopped",
    })
}

fn of_keys(error: &KeyError) -> Option<Code> {
    match error {
        KeyError::File { source, .. } => of_io(source),
        KeyError::Missing { .. } => fixed("no-key"),
        KeyError::Damaged { .. } => fixed(DAMAGED),
        KeyError::NotGiven(_) => fixed("secret-needed"),
        KeyError::WrongRoot { .. } | KeyError::NotThisRoot { .. } | KeyError::NotAKey(_) => fixed("wrong-secret"),
        KeyError::ShortPassphrase => fixed("weak-secret"),
        _ => None,
    }
}

fn of_store(error: &StoreError) -> Option<Code> {
    match error {
        StoreError::Missing { .. } | StoreError::Damaged { .. } | StoreError::Extra { .. } => fixed(DAMAGED),
        StoreError::Full { .. } => fixed(DISK_FULL),
        StoreError::Service { .. } => fixed("store"),
        StoreError::Folder { source, .. } => of_io(source),
        StoreError::Keys(error) => of_keys(error),
        _ => None,
    }
}

fn of_file(error: &FileError) -> Option<Code> {
    match error {
        FileError::Io { source, .. } => of_io(source),
        FileError::Content { .. } => fixed("content"),
    }
}

fn of_io(error: &io::Error) -> Option<Code> {
    match error.kind() {
        io::ErrorKind::NotFound => fixed("no-file"),
        io::ErrorKind::PermissionDenied => fixed("permission"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => fixed(DISK_FULL),
        _ => None,
    }
}

/// The errors of single use cases, which mostly pass others on.
fn of_use_case(error: &(dyn Error + 'static)) -> Option<Code> {
    if error.is::<ConfigError>() {
        return fixed("configuration");
    }
    if error.is::<AnswerError>() || error.is::<AuditError>() {
        return fixed(NOT_VERIFIED);
    }
    match error.downcast_ref() {
        Some(RehashFailure::Owner(error)) => return of_owner(error),
        Some(RehashFailure::Store(error)) => return of_store(error),
        Some(RehashFailure::Busy) => return fixed(IN_USE),
        None => {}
    }
    match error.downcast_ref() {
        Some(RotateError::Publish(error)) => return of_publish(error),
        Some(RotateError::Owner(error)) => return of_owner(error),
        Some(RotateError::File(_)) => return None,
        Some(RotateError::Unknown { .. }) => return fixed(REFUSED),
        None => {}
    }
    match error.downcast_ref() {
        Some(FilingError::Publish(error)) => return of_publish(error),
        Some(FilingError::Owner(error)) => return of_owner(error),
        Some(FilingError::NotFile { .. }) => return fixed(REFUSED),
        _ => {}
    }
    match error.downcast_ref() {
        Some(BackupError::File(error)) => return of_file(error),
        Some(BackupError::Owner(error)) => return of_owner(error),
        Some(BackupError::Home(error)) => return of_home(error),
        Some(BackupError::Config(_)) => return fixed("configuration"),
        Some(BackupError::Stream { .. } | BackupError::Content { .. }) => return fixed("backup"),
        Some(_) => return fixed(REFUSED),
        None => {}
    }
    match error.downcast_ref() {
        Some(ReceiptError::Home(error)) => return of_home(error),
        Some(ReceiptError::Client(error)) => return of_client(error),
        Some(ReceiptError::Session(error)) => return of_ask(error),
        Some(ReceiptError::Unknown(_)) => return fixed(NOT_FOUND),
        Some(_) => return fixed(NOT_VERIFIED),
        None => {}
    }
    match error.downcast_ref() {
        Some(TrailFailure::Audit(error)) => return of_audit(error),
        Some(TrailFailure::NoAsset(_) | TrailFailure::NoAccount(_)) => return fixed(NOT_FOUND),
        None => {}
    }
    match error.downcast_ref() {
        Some(CeremonyFileError::File(error)) => return of_file(error),
        Some(CeremonyFileError::Ceremony { .. } | CeremonyFileError::Ledger(_)) => return fixed(NOT_VERIFIED),
        _ => {}
    }
    match error.downcast_ref() {
        Some(WitnessError::File(error)) => return of_file(error),
        Some(WitnessError::Home(error)) => return of_home(error),
        Some(WitnessError::InUse(_)) => return fixed(IN_USE),
        Some(_) => return fixed(REFUSED),
        None => {}
    }
    match error.downcast_ref() {
        Some(ServeError::Owner(error)) => return of_owner(error),
        Some(_) => return fixed("address"),
        None => {}
    }
    error.is::<IdentityError>().then_some(Cow::Borrowed("not-for-us"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn errors_that_are_passed_on_keep_their_code() {
        let unreachable = ClientError::Address("x".into());
        let passed = AuditFailure::Session(AskFailure::Client(unreachable));
        assert_eq!(code_of(&TrailFailure::Audit(Box::new(passed))).as_deref(), Some("address"));
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let full = OwnerError::File(FileError::io(Path::new("x"))(full));
        assert_eq!(code_of(&PublishError::Owner(full)).as_deref(), Some(DISK_FULL));
        let missing = OwnerError::NotInitialised("x".into());
        assert_eq!(code_of(&missing).as_deref(), Some(NO_FOLDER));
        assert_eq!(code_of(&std::fmt::Error), None);
    }
}
