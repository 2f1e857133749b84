//! Lists of a ledger for whoever browses it. Nothing of them is proven here.

use sealgate_ledger::ids::{Address, AssetId};
use sealgate_ledger::state::{AccountView, RequestView};
use serde::Deserialize;

use super::{Client, ClientError};
use crate::catalogue::{Page, Search};

/// A page of accounts, as the gateway gives it.
#[derive(Deserialize)]
struct Accounts {
    accounts: Vec<AccountView>,
}

impl Client {
    /// Up to `limit` accounts behind `after`, by address.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn accounts(&self, after: Option<&Address>, limit: usize) -> Result<Vec<AccountView>, ClientError> {
        let after_text = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let page: Accounts = self.get(&format!("/v1/accounts?limit={limit}{after_text}")).await?;
        let mut accounts = page.accounts;
        // A gateway may give more than was asked for.
        accounts.retain(|account| after.is_none_or(|after| account.address > *after));
        accounts.sort_by_key(|account| account.address);
        accounts.truncate(limit);
        Ok(accounts)
    }

    /// A request and what became of it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn request(&self, hash: &sealgate_ledger::ids::TxHash) -> Result<Option<RequestView>, ClientError> {
        self.find(&format!("/v1/requests/{hash}")).await
    }

    /// One page of the catalogue behind `after`, of at most `limit` assets.
    ///
    /// # Errors
    /// [`ClientError`]; also for an asset with the keys of another than its owner.
    pub async fn catalogue_page(
        &self,
        search: &Search,
        after: Option<&AssetId>,
        limit: usize,
    ) -> Result<Page, ClientError> {
        let query = [
            ("search", search.search.clone()),
            ("owner", search.owner.as_ref().map(ToString::to_string)),
            ("column", search.column.clone()),
            ("type", search.kind.clone()),
            ("data_type", search.data_type.clone()),
            ("after", after.map(ToString::to_string)),
            ("limit", Some(limit.to_string())),
        ];
        let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let text = serde_urlencoded::to_string(&query).map_err(|error| self.unreadable(error))?;
        let mut page: Page = self.get(&format!("/v1/catalogue?{text}")).await?;
        if page.assets.iter().any(|listed| listed.owner.address() != listed.asset.owner) {
            return Err(self.unreadable("it shows an asset with the keys of another than its owner"));
        }
        page.assets.retain(|listed| search.finds(listed));
        Ok(page)
    }
}
