//! The catalogue: every asset of a ledger, searched, in pages (docs/spec/trail.md#catalogue).
//! The gateway that serves it and whoever replays the ledger search by the same rule.

use schemars::JsonSchema;
use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::ids::AssetId;
use sealgate_ledger::state::{AssetView, VersionView};
use sealgate_ledger::{Ledger, LedgerError};
use serde::{Deserialize, Serialize};

use crate::naming::Who;

/// Assets on one page.
pub const PAGE_MAX: usize = 100;
/// Assets that one call looks at.
const SEEN_MAX: usize = 2000;
/// Longest text that is searched for, in bytes.
pub const SEARCH_BYTES_MAX: usize = 500;

/// An asset, its current version, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    /// The asset.
    pub asset: AssetView,
    /// Its current version.
    pub version: VersionView,
    /// Its owner's account.
    pub owner: AccountPublic,
}

/// A page of the catalogue, in the order of asset ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// What was found.
    pub assets: Vec<Listed>,
    /// How many assets were looked at.
    pub seen: u64,
    /// Behind which asset the next page begins; none after the last.
    pub next: Option<AssetId>,
}

/// What is looked for: everything that is given must apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Words, each of which stands in name, title, description or a column's name; case does not
    /// count.
    pub search: Option<String>,
    /// The owner.
    pub owner: Option<Who>,
    /// A column of this name; case does not count.
    pub column: Option<String>,
    /// A column of this type, with or without its scale; the same one, where a name is given too.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The data type: `table` or `file`; case does not count.
    pub data_type: Option<String>,
}

impl Search {
    /// Whether an asset is found.
    pub fn finds(&self, listed: &Listed) -> bool {
        let asset = &listed.asset;
        let columns = &asset.schema.columns;
        let named = |name: &str| self.column.as_ref().is_none_or(|wanted| same(wanted, name));
        let typed = |kind: &str| {
            let plain = kind.split('(').next().unwrap_or(kind);
            self.kind.as_ref().is_none_or(|wanted| same(wanted, kind) || same(wanted, plain))
        };
        let any_column = self.column.is_none() && self.kind.is_none();
        self.owner.as_ref().is_none_or(|who| who.is(&listed.owner))
            && self.data_type.as_ref().is_none_or(|wanted| same(wanted, &asset.data_type))
            && (any_column || columns.iter().any(|c| named(&c.name) && typed(&c.kind.to_string())))
            && self.words_in(asset)
    }

    fn words_in(&self, asset: &AssetView) -> bool {
        let Some(search) = &self.search else { return true };
        let columns = asset.schema.columns.iter().map(|column| column.name.as_str());
        let texts: Vec<String> = [asset.name.as_str(), &asset.title, &asset.description]
            .into_iter()
            .chain(columns)
            .map(str::to_lowercase)
            .collect();
        search.to_lowercase().split_whitespace().all(|word| texts.iter().any(|text| text.contains(word)))
    }

    /// Whether every text is short enough to be searched for.
    pub fn in_bounds(&self) -> bool {
        let owner = self.owner.as_ref().map(ToString::to_string);
        let texts =
            [self.search.as_ref(), owner.as_ref(), self.column.as_ref(), self.kind.as_ref(), self.data_type.as_ref()];
        texts.into_iter().flatten().all(|text| text.len() <= SEARCH_BYTES_MAX)
    }
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// One page of a ledger's assets, behind `after`.
///
/// # Errors
/// [`LedgerError`].
pub fn page(ledger: &Ledger, search: &Search, after: Option<AssetId>, limit: usize) -> Result<Page, LedgerError> {
    let mut page = Page { assets: Vec::new(), seen: 0, next: None };
    let limit = limit.clamp(1, PAGE_MAX);
    let assets = ledger.assets_after(after.as_ref(), SEEN_MAX)?;
    let whole = assets.len() < SEEN_MAX;
    let count = assets.len();
    for (index, asset) in assets.into_iter().enumerate() {
        let (id, number) = (asset.id, asset.current);
        page.seen += 1;
        let (version, owner) = (ledger.version(&id, number)?, ledger.account(&asset.owner)?);
        if let (Some(version), Some(owner)) = (version, owner) {
            let listed = Listed { asset, version, owner: owner.account };
            if search.finds(&listed) {
                page.assets.push(listed);
            }
        }
        let more = index + 1 < count || !whole;
        if more && (page.assets.len() == limit || index + 1 == count) {
            page.next = Some(id);
            break;
        }
    }
    Ok(page)
}

/// The order in which people and machines are shown assets: by name, then by id.
pub fn sort(assets: &mut [Listed]) {
    assets.sort_by(|a, b| (&a.asset.name, a.asset.id).cmp(&(&b.asset.name, b.asset.id)));
}
