//! What of the state is in the state tree (docs/spec/state.md#keys).

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys;
use super::query;
use super::views::{AccountView, AssetView, GrantView, TextView, VersionView};
use crate::ids::StateRoot;
use crate::index::{Index, IndexError, Overlay, parse};
use crate::member::{MemberSet, Policy};
use crate::trie::{self, LeafDigest, StateKey};

/// An asset's contract as it stands: the value of its leaf.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContractView {
    /// The asset.
    pub asset: AssetView,
    /// Its current version.
    pub version: VersionView,
}

impl ContractView {
    /// Its leaf.
    pub fn leaf(&self) -> LeafDigest {
        LeafDigest::of(self)
    }
}

impl GrantView {
    /// Its leaf. What has been used of the quota is not in it: requests would change the tree.
    pub fn leaf(&self) -> LeafDigest {
        LeafDigest::of(&GrantView { used: 0, ..self.clone() })
    }
}

impl AccountView {
    /// Its leaf.
    pub fn leaf(&self) -> LeafDigest {
        LeafDigest::of(self)
    }
}

/// Brings the state tree up to what the block has written, and gives its root.
pub(crate) fn settle<I: Index + ?Sized>(state: &mut Overlay<'_, I>) -> Result<StateRoot, IndexError> {
    let mut leaves: Vec<(StateKey, Option<LeafDigest>)> = Vec::new();
    for (key, value) in state.written(keys::ACCOUNTS) {
        if let Some(bytes) = value {
            let account: AccountView = parse(&key, &bytes)?;
            leaves.push((StateKey::account(&account.address), Some(account.leaf())));
        }
    }
    for (key, value) in state.written(keys::ASSETS) {
        if let Some(bytes) = value {
            let asset: AssetView = parse(&key, &bytes)?;
            let version = query::version(state, &asset.id, asset.current)?
                .ok_or_else(|| IndexError::value(&key, "its current version is missing"))?;
            leaves.push((StateKey::contract(&asset.id), Some(ContractView { asset, version }.leaf())));
        }
    }
    for (key, value) in state.written(keys::GRANTS) {
        let before: Option<GrantView> = state.base().read(&key)?.map(|bytes| parse(&key, &bytes)).transpose()?;
        let after: Option<GrantView> = value.map(|bytes| parse(&key, &bytes)).transpose()?;
        let (was, is) = (before.as_ref().map(GrantView::leaf), after.as_ref().map(GrantView::leaf));
        if let Some(grant) = after.or(before)
            && was != is
        {
            leaves.push((StateKey::grant(&grant.asset, &grant.to), is));
        }
    }
    for (key, value) in state.written(keys::TEXTS) {
        if let Some(bytes) = value {
            let text: TextView = parse(&key, &bytes)?;
            leaves.push((StateKey::text(&text.id), Some(LeafDigest::of(&text))));
        }
    }
    if let Some((key, Some(bytes))) = state.written(keys::MEMBERS).pop() {
        leaves.push((StateKey::members(), Some(LeafDigest::of(&parse::<MemberSet>(&key, &bytes)?))));
    }
    if let Some((key, Some(bytes))) = state.written(keys::POLICY).pop() {
        leaves.push((StateKey::policy(), Some(LeafDigest::of(&parse::<Policy>(&key, &bytes)?))));
    }
    for (key, leaf) in leaves {
        trie::put(state, &key, leaf)?;
    }
    state.keep();
    trie::root(state)
}
