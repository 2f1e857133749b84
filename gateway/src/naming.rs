//! How people name accounts and assets: by address, DID or name; by id, name, or the owner's DID
//! and a name (docs/spec/trail.md#names).

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::ids::{Address, AssetId};
use sealgate_ledger::state::AssetView;
use serde::{Deserialize, Serialize};

/// How the DIDs of accounts begin.
const DID: &str = "did:key:";

/// An account as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// By its address, which is one account's alone.
    Address(Address),
    /// By its DID: the accounts with that Ed25519 key.
    Did(String),
    /// By what it calls itself, which others may call themselves too.
    Name(String),
}

impl Who {
    /// Whether it is this account.
    pub fn is(&self, account: &AccountPublic) -> bool {
        match self {
            Who::Address(address) => account.address() == *address,
            Who::Did(did) => account.did() == *did,
            Who::Name(name) => account.name == *name,
        }
    }
}

impl FromStr for Who {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.parse() {
            Ok(address) => Who::Address(address),
            Err(_) if text.starts_with(DID) => Who::Did(text.to_owned()),
            Err(_) => Who::Name(text.to_owned()),
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Address(address) => address.fmt(f),
            Who::Did(text) | Who::Name(text) => f.write_str(text),
        }
    }
}

/// How alike two names are at least, of which one is taken for a slip of the other.
const ALIKE: f64 = 0.75;

/// How much of an unknown name is shown.
const NAME_CHARS: usize = 120;

/// The name that somebody may have meant who wrote one that stands for nothing.
pub fn near<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = |name: &str| match name.eq_ignore_ascii_case(written) {
        true => 1.0,
        false => strsim::normalized_damerau_levenshtein(name, written).max(strsim::jaro_winkler(name, written) - 0.1),
    };
    let rated = names.into_iter().map(|name| (alike(name), name)).filter(|(alike, _)| *alike >= ALIKE);
    rated.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

/// A name that stands for nothing, and the one that was perhaps meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// As it was written, its beginning if it is long.
    pub name: String,
    /// One of those that there are.
    pub near: Option<String>,
}

impl Unknown {
    /// What was written, which is none of these names; of an asset under its owner's the last part counts.
    pub fn among<'a>(written: &impl fmt::Display, names: impl IntoIterator<Item = &'a str>) -> Unknown {
        let written = written.to_string();
        let near = near(written.rsplit('/').next().unwrap_or(&written), names).map(str::to_owned);
        Unknown { name: written.chars().take(NAME_CHARS).collect(), near }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.near {
            Some(near) => write!(f, "'{}': did you mean '{near}'?", self.name),
            None => write!(f, "'{}'", self.name),
        }
    }
}

/// An asset as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssetName {
    /// By its id.
    Id(AssetId),
    /// By its owner's DID or address, and its name.
    Of(Who, String),
    /// By its name alone, which assets of several owners may have.
    Bare(String),
}

impl AssetName {
    /// Whether it is this asset, whose owner is `owner`.
    pub fn is(&self, asset: &AssetView, owner: &AccountPublic) -> bool {
        asset.owner == owner.address() && self.fits(&asset.id, &asset.name, Some(owner))
    }

    /// Whether it is the asset with this id, name, and owner, if that is known.
    pub fn fits(&self, id: &AssetId, name: &str, owner: Option<&AccountPublic>) -> bool {
        match self {
            AssetName::Id(wanted) => id == wanted,
            AssetName::Of(who, wanted) => name == wanted && owner.is_some_and(|owner| who.is(owner)),
            AssetName::Bare(wanted) => name == wanted,
        }
    }
}

impl FromStr for AssetName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        if let Ok(id) = text.parse() {
            return Ok(AssetName::Id(id));
        }
        let whose = text.rsplit_once('/').and_then(|(owner, name)| match owner.parse() {
            Ok(who @ (Who::Address(_) | Who::Did(_))) => Some(AssetName::Of(who, name.to_owned())),
            _ => None,
        });
        Ok(whose.unwrap_or_else(|| AssetName::Bare(text.to_owned())))
    }
}

impl fmt::Display for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AssetName::Id(id) => id.fmt(f),
            AssetName::Of(who, name) => write!(f, "{who}/{name}"),
            AssetName::Bare(name) => f.write_str(name),
        }
    }
}

/// An asset's name under its owner's DID, which nobody else's asset has.
pub fn full_name(owner: &AccountPublic, name: &str) -> String {
    format!("{}/{name}", owner.did())
}

/// Texts in JSON.
macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                <String as Deserialize>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(Who);
as_text!(AssetName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let names = ["licences", "register", "plans"];
        for (written, meant) in [
            ("licenses", Some("licences")),
            ("Licences", Some("licences")),
            ("licence", Some("licences")),
            ("registre", Some("register")),
            ("plan", Some("plans")),
            ("permits", None),
            ("", None),
        ] {
            assert_eq!(near(written, names), meant, "{written}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for (text, bare) in [
            ("licences", true),
            ("did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp/licences", false),
            ("somebody/licences", true),
            (&format!("{}/x", Address([7; 32])), false),
            (&AssetId([7; 32]).to_string(), false),
            ("did:key:zX", true),
        ] {
            let name: AssetName = text.parse().unwrap();
            assert_eq!(matches!(name, AssetName::Bare(_)), bare, "{text}");
            assert_eq!(name.to_string(), text);
        }
    }
}
