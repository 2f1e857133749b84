//! The keys of an owner's folder: `sealgate keys`.

use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use sealgate_ledger::LedgerError;
use sealgate_ledger::ids::{AssetId, BlockHeight, TxHash};
use sealgate_ods::keys::{Argon2Parameters, KeyError, KeyVault as _, RootFile, RootKey};
use serde::Serialize;

use super::{DataArg, Failure, Output};
use crate::naming::AssetName;
use crate::owner::{Owner, OwnerError};
use crate::passphrase::{NEW_PASSPHRASE, NEW_ROOT_KEY, Prompt};
use crate::rotating::{Resealed, rotate};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// List where the root key comes from and which assets have keys.
    List(List),
    /// Put all keys under a new root key; nothing that is stored is written anew.
    RotateRoot(RotateRoot),
    /// Draw a new key for an asset and seal its current version again under it; the old key goes, with
    /// the versions that it opens.
    Rotate(Rotate),
    /// Destroy an asset's keys: nothing that was sealed of it opens again, for anybody.
    Destroy(Destroy),
}

/// Where a root key comes from.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RootKind {
    /// Drawn at random and kept in the folder's root.key.
    File,
    /// Derived from a passphrase by Argon2id: typed, or in SEALGATE_NEW_PASSPHRASE or the file that
    /// SEALGATE_NEW_PASSPHRASE_FILE names.
    Passphrase,
    /// Given by the service's manager: 64 hexadecimal digits in SEALGATE_NEW_ROOT_KEY or the file that
    /// SEALGATE_NEW_ROOT_KEY_FILE names.
    Environment,
}

impl RootKind {
    /// A root key of this kind, with the file that tells of it.
    pub(super) fn make(self) -> Result<(RootKey, RootFile), KeyError> {
        match self {
            RootKind::File => {
                let key = RootKey::generate()?;
                Ok((key.clone(), RootFile::Key(key)))
            }
            RootKind::Passphrase => {
                let argon2 = Argon2Parameters::generate()?;
                let key = argon2.derive_new(&NEW_PASSPHRASE.read(Prompt::Twice)?)?;
                let file = RootFile::Passphrase(argon2, key.commitment());
                Ok((key, file))
            }
            RootKind::Environment => {
                let key = RootKey::from_hex(&NEW_ROOT_KEY.read(Prompt::No)?, NEW_ROOT_KEY.what)?;
                let file = RootFile::Environment(key.commitment());
                Ok((key, file))
            }
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    data: DataArg,
}

#[derive(Debug, Args)]
pub(super) struct RotateRoot {
    #[command(flatten)]
    data: DataArg,
    /// Where the new root key comes from; from where the present one does unless given.
    #[arg(long, value_enum, value_name = "KIND")]
    to: Option<RootKind>,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    data: DataArg,
    /// The asset, by id or name.
    #[arg(long, value_name = "ID")]
    asset: String,
}

#[derive(Debug, Args)]
pub(super) struct Destroy {
    #[command(flatten)]
    data: DataArg,
    /// The asset, by id or name.
    #[arg(long, value_name = "ID")]
    asset: String,
    /// The asset once more, written as in --asset: says that you mean it.
    #[arg(long, value_name = "ID")]
    confirm: Option<String>,
}

#[derive(Serialize)]
struct ListResult {
    root: &'static str,
    commitment: String,
    keys: Vec<ListedKeys>,
}

#[derive(Serialize)]
struct ListedKeys {
    asset: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// KEKs of earlier rotations that are kept.
    former: usize,
    /// Root keys beside the folder's that open these keys.
    other_roots: usize,
}

#[derive(Serialize)]
struct RotateResult {
    root: &'static str,
    commitment: String,
    assets: usize,
}

#[derive(Serialize)]
struct RotateAssetResult {
    asset: AssetId,
    name: String,
    version: u32,
    /// Of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    /// Of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    transaction: TxHash,
    block: BlockHeight,
}

#[derive(Serialize)]
struct DestroyResult {
    destroyed: AssetId,
}

pub(super) async fn run(command: KeysCommand, output: &Output) -> Result<(), Failure> {
    match command {
        KeysCommand::List(args) => list(&args, output).await,
        KeysCommand::RotateRoot(args) => rotate_root(&args, output),
        KeysCommand::Rotate(args) => rotate_asset(&args, output).await,
        KeysCommand::Destroy(args) => destroy(&args, output).await,
    }
}

async fn list(args: &List, output: &Output) -> Result<(), Failure> {
    let owner = Owner::open(&args.data.data_dir)?;
    let access = owner.access().await?;
    let mut listed = Vec::new();
    for keys in owner.listed_keys()? {
        let name = match keys.label.as_str().parse::<AssetId>() {
            Ok(id) => access.asset(&id).await?.map(|detail| detail.asset.name),
            Err(_) => None,
        };
        let (former, other_roots) = (keys.former, keys.other_roots);
        listed.push(ListedKeys { asset: keys.label.to_string(), name, former, other_roots });
    }
    let root = owner.root();
    let result = ListResult { root: root.kind(), commitment: root.commitment().to_string(), keys: listed };
    output.result(&result, || {
        let mut lines = vec![format!("root key    {} ({})", described(root), result.commitment)];
        for keys in &result.keys {
            let name = keys.name.as_deref().unwrap_or("not on the ledger");
            lines.push(format!("asset       {} ({name}), {} former keys kept", keys.asset, keys.former));
            if keys.other_roots > 0 {
                let what = "a change of root keys was cut short: run 'sealgate keys rotate-root' again to finish it";
                lines.push(format!("            opens under {} other root keys too; {what}", keys.other_roots));
            }
        }
        lines.join("\n")
    });
    Ok(())
}

fn described(root: &RootFile) -> &'static str {
    match root {
        RootFile::Key(_) => "in root.key",
        RootFile::Passphrase(..) => "from a passphrase",
        RootFile::Environment(_) => "from the environment",
    }
}

fn rotate_root(args: &RotateRoot, output: &Output) -> Result<(), Failure> {
    let owner = Owner::open(&args.data.data_dir)?;
    owner.keys()?;
    let kind = args.to.unwrap_or(match owner.root() {
        RootFile::Key(_) => RootKind::File,
        RootFile::Passphrase(..) => RootKind::Passphrase,
        RootFile::Environment(_) => RootKind::Environment,
    });
    let (key, file) = kind.make()?;
    let assets = owner.rotate_root(Arc::new(key), &file)?;
    let result = RotateResult { root: file.kind(), commitment: file.commitment().to_string(), assets };
    output.result(&result, || {
        let told = format!("root key    {} ({})\nassets      {assets} under it", described(&file), result.commitment);
        let also = "Backups made before still open with the root key of their time: make a new one, and destroy those \
                    that must not be used any more.";
        let given = match kind {
            RootKind::Environment => "\nFrom now on give the new key in SEALGATE_ROOT_KEY or SEALGATE_ROOT_KEY_FILE.",
            RootKind::Passphrase => "\nWithout the passphrase nothing that is sealed opens: keep it in two places.",
            RootKind::File => "",
        };
        format!("{told}\n\n{also}{given}")
    });
    Ok(())
}

async fn rotate_asset(args: &Rotate, output: &Output) -> Result<(), Failure> {
    let owner = Owner::open(&args.data.data_dir)?;
    let bar = output.progress();
    let rotated = rotate(&owner, &args.asset, bar.clone()).await;
    bar.finish();
    let rotated = rotated?;
    let (records, bytes, content) = match rotated.content {
        Resealed::Records(records) => (Some(records), None, format!("{records} records")),
        Resealed::Bytes(bytes) => (None, Some(bytes), format!("{bytes} bytes")),
    };
    let result = RotateAssetResult {
        asset: rotated.asset,
        name: rotated.name,
        version: rotated.version,
        records,
        bytes,
        transaction: rotated.receipt.hash,
        block: rotated.receipt.height,
    };
    output.result(&result, || {
        format!(
            "new key     {} version {} ({content}) is sealed under it\ntransaction {}\nblock       {}\n\nOlder \
             versions and the key that opened them are gone from this folder; backups hold copies of both.",
            result.name, result.version, result.transaction, result.block
        )
    });
    Ok(())
}

async fn destroy(args: &Destroy, output: &Output) -> Result<(), Failure> {
    let owner = Owner::open(&args.data.data_dir)?;
    let asset = match args.asset.parse().unwrap_or_else(|never| match never {}) {
        AssetName::Id(id) => id,
        AssetName::Of(who, _) if !who.is(owner.account().public()) => {
            return Err(Failure::new(format!("'{}' is another owner's asset", args.asset)));
        }
        AssetName::Of(..) | AssetName::Bare(_) => named(&owner, &args.asset).await?,
    };
    if args.confirm.as_deref() != Some(args.asset.as_str()) {
        let name = &args.asset;
        return Err(Failure::new(format!(
            "destroying the keys of '{name}' destroys all its versions for ever, its objects included: to do it, run \
             this again with --confirm '{name}'; to end an asset and keep its data, use 'sealgate asset withdraw'"
        )));
    }
    owner.destroy_keys(&asset)?;
    output.result(&DestroyResult { destroyed: asset }, || {
        format!(
            "destroyed   the keys of {} ({asset})\n\nBackups hold copies of them, and so do folders that a restore has set \
             aside beside this one (named like it, with '.replaced.' and a number): destroy those too. On flash storage \
             overwritten bytes can survive; they are sealed under the root key, so 'sealgate keys rotate-root' makes \
             them useless. The asset still stands on the ledger: 'sealgate asset withdraw' ends it there.",
            args.asset
        )
    });
    Ok(())
}

/// The owner's asset of this name, as the ledger says: it may be one that was given to the owner. What was the
/// owner's once is named by its id.
async fn named(owner: &Owner, name: &str) -> Result<AssetId, Failure> {
    match owner.access().await {
        Ok(access) => Ok(access.own_asset(owner.account().public(), name).await?.asset.id),
        // A network's ledger is read through its node, which does not run while keys are destroyed.
        Err(OwnerError::Ledger(LedgerError::NotEmbedded)) => Err(Failure::new(format!(
            "while the node stands still an asset is named by its id: 'sealgate keys list' tells that of '{name}' while it runs"
        ))),
        Err(error) => Err(error.into()),
    }
}
