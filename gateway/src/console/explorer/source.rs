//! Where the explorer reads: a gateway its own ledger, a home through its gateway, with the home's own
//! checks. What could not be checked is shown with that said.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream::{StreamExt as _, TryStreamExt as _};
use maud::html;
use sealgate_ledger::account::AccountPublic;
use sealgate_ledger::block::{Block, Header};
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, ChainId};
use sealgate_ledger::light::{EntryProof, verify_entry};
use sealgate_ledger::member::Member;
use sealgate_ledger::state::{AccountView, ContractView, GrantView};

use super::super::page::{Check, Tone};
use super::super::requester::checks;
use super::super::words::Lang;
use super::super::{Console, Fault, Place, in_turn};
use crate::asking::Session;
use crate::catalogue::{self, Page, Search};
use crate::gateway::Gateway;
use crate::standing::AsOf;

/// Calls that are made of a gateway for one page's blocks, at most.
const CALLS_MAX: usize = 4;
/// Blocks behind a shown one that are fetched at most to check it.
const CHAIN_MAX: u64 = 512;
/// Proofs that are asked for at the same time.
const PROOFS_AT_ONCE: usize = 8;

/// Where it reads.
pub(crate) enum Source<'a> {
    /// The ledger of this gateway.
    Own(&'a Arc<Gateway>),
    /// A gateway's, checked by a home.
    Far(Box<Session<'a>>),
}

/// What was kept of blocks, and whether they are shown to lead to a head that this home trusts.
pub(crate) struct Kept<T> {
    /// In order.
    pub(crate) kept: VecDeque<T>,
    /// Whether each is named by the next and the last by the signed head. A gateway's own are.
    pub(crate) is_chained: bool,
}

/// What stands on the ledger, and under which proof; none at a gateway, whose own ledger it is.
pub(crate) struct Stands<T> {
    pub(crate) value: Option<T>,
    pub(crate) as_of: Option<AsOf>,
}

/// An asset's contract and its list.
pub(crate) type Contract = (ContractView, Vec<GrantView>);

impl<'a> Source<'a> {
    /// Opens it: a home checks the gateway's head first.
    ///
    /// # Errors
    /// [`Fault::Failed`] when the gateway cannot be reached or its ledger does not check.
    pub(crate) async fn open(console: &'a Console, lang: Lang) -> Result<Source<'a>, Fault> {
        match &console.place {
            Place::Gateway(gateway) => Ok(Source::Own(gateway)),
            Place::Home(place) => {
                let session = Session::open(&place.home, &place.client).await;
                Ok(Source::Far(Box::new(session.map_err(|error| checks::fault(lang, &error))?)))
            }
        }
    }

    /// The last block's header.
    pub(crate) fn head(&self) -> Header {
        match self {
            Source::Own(gateway) => gateway.ledger().head(),
            Source::Far(session) => session.header.clone(),
        }
    }

    /// Looks through up to `count` blocks from a height on, one after the other; nothing stays in memory but
    /// what `keep` puts aside.
    ///
    /// # Errors
    /// [`Fault::Failed`] for blocks that do not follow each other, or do not lead to the signed head.
    pub(crate) async fn look_through<T: Send + 'static>(
        &self,
        lang: Lang,
        from: BlockHeight,
        count: u64,
        mut keep: impl FnMut(Block, &mut VecDeque<T>) + Send + 'static,
    ) -> Result<Kept<T>, Fault> {
        let head = self.head();
        if from > head.height || count == 0 {
            return Ok(Kept { kept: VecDeque::new(), is_chained: true });
        }
        let last = head.height.0.min(from.0.saturating_add(count - 1));
        match self {
            Source::Own(gateway) => {
                let ledger = gateway.ledger().clone();
                let look = move || {
                    let mut kept = VecDeque::new();
                    for height in from.0..=last {
                        keep(ledger.block(BlockHeight(height))?, &mut kept);
                    }
                    Ok(kept)
                };
                Ok(Kept { kept: in_turn(gateway, look).await?, is_chained: true })
            }
            Source::Far(session) => far_blocks(lang, session, from, last, keep).await,
        }
    }

    /// The header of a block, and whether it was checked.
    ///
    /// # Errors
    /// As [`Source::look_through`].
    pub(crate) async fn header(&self, lang: Lang, height: BlockHeight) -> Result<Option<(Header, bool)>, Fault> {
        let look = self.look_through(lang, height, 1, |block, kept| kept.push_back(block.header));
        let Kept { kept, is_chained } = look.await?;
        Ok(kept.into_iter().next().map(|header| (header, is_chained)))
    }

    /// Who of the members of its epoch signed a block. Signatures are kept of the head and of each block that
    /// ended an epoch; of any other block there are none. At a home they and the handovers were checked.
    ///
    /// # Errors
    /// [`Fault::Failed`], [`Fault::Internal`] when what is kept cannot be read.
    pub(crate) async fn signers(&self, header: &Header) -> Result<Option<Vec<Member>>, Fault> {
        let (genesis, head, signed, handovers) = match self {
            Source::Own(gateway) => {
                let (ledger, from) = (gateway.ledger().clone(), header.epoch.saturating_sub(1));
                let read = move || {
                    let (head, signed) = ledger.signed_head();
                    Ok((ledger.genesis().clone(), head, signed, ledger.handovers(from)?))
                };
                in_turn(gateway, read).await?
            }
            Source::Far(session) => {
                let handovers = session.home.handovers(&session.genesis.chain_id()).map_err(Fault::failed)?;
                (session.genesis.clone(), session.header.clone(), session.signed.clone(), handovers)
            }
        };
        let ended = || handovers.iter().find(|handover| handover.head.header == *header);
        let checkpoint = match head == *header {
            true => Some(&signed),
            false => ended().map(|handover| &handover.head.checkpoint),
        };
        let members = match header.epoch {
            0 => Some(genesis.members()),
            epoch => handovers.iter().map(|one| &one.members).find(|members| members.epoch == epoch).cloned(),
        };
        let (Some(checkpoint), Some(members)) = (checkpoint, members) else { return Ok(None) };
        // A new network has signed nothing yet.
        let Ok((_, keys)) = checkpoint.signers(&header.chain, &members) else { return Ok(None) };
        Ok(Some(members.members.into_iter().filter(|member| keys.contains(&member.node_key)).collect()))
    }

    /// Proofs that entries are in the ledger, which a home checks.
    ///
    /// # Errors
    /// [`Fault::Failed`] for one that does not hold.
    pub(crate) async fn proofs(&self, lang: Lang, entries: std::ops::Range<u64>) -> Result<Vec<EntryProof>, Fault> {
        match self {
            Source::Own(gateway) => {
                let ledger = gateway.ledger().clone();
                in_turn(gateway, move || {
                    let size = ledger.head().tree_size;
                    let proofs = entries.map(|index| ledger.prove_entry(index, size));
                    Ok(proofs.collect::<Result<_, _>>()?)
                })
                .await
            }
            Source::Far(session) => {
                let size = session.checkpoint.size;
                let proofs = futures::stream::iter(entries.map(|index| session.client.entry(index, size)));
                let proofs: Vec<EntryProof> =
                    proofs.buffered(PROOFS_AT_ONCE).try_collect().await.map_err(|e| checks::fault(lang, &e.into()))?;
                for proof in &proofs {
                    verify_entry(proof, &session.checkpoint).map_err(|error| lie(lang, &error))?;
                }
                Ok(proofs)
            }
        }
    }

    /// An account; a home proves it, also that there is none.
    ///
    /// # Errors
    /// [`Fault::Failed`].
    pub(crate) async fn account(&self, lang: Lang, address: &Address) -> Result<Stands<AccountView>, Fault> {
        match self {
            Source::Own(gateway) => {
                let (ledger, address) = (gateway.ledger().clone(), *address);
                let value = in_turn(gateway, move || Ok(ledger.account(&address)?)).await?;
                Ok(Stands { value, as_of: None })
            }
            Source::Far(session) => {
                let proven = session.proven_account(address).await.map_err(|error| checks::fault(lang, &error))?;
                Ok(Stands { value: proven.0.value, as_of: Some(proven.1) })
            }
        }
    }

    /// An asset's contract and list; a home proves them, also that there is none.
    ///
    /// # Errors
    /// [`Fault::Failed`].
    pub(crate) async fn contract(&self, lang: Lang, id: &AssetId) -> Result<Stands<Contract>, Fault> {
        match self {
            Source::Own(gateway) => {
                let (ledger, id) = (gateway.ledger().clone(), *id);
                let read = move || {
                    let Some(asset) = ledger.asset(&id)? else { return Ok(None) };
                    let Some(version) = ledger.version(&id, asset.current)? else { return Ok(None) };
                    Ok(Some((ContractView { asset, version }, ledger.grants(&id)?)))
                };
                Ok(Stands { value: in_turn(gateway, read).await?, as_of: None })
            }
            Source::Far(session) => {
                let (standing, as_of) = session.list(id).await.map_err(|error| checks::fault(lang, &error))?;
                let value = standing.contract.map(|contract| (contract, standing.grants));
                Ok(Stands { value, as_of: Some(as_of) })
            }
        }
    }

    /// Up to `limit` accounts behind one, by address. A home has only the gateway's word for them.
    ///
    /// # Errors
    /// [`Fault::Failed`].
    pub(crate) async fn accounts(
        &self,
        lang: Lang,
        after: Option<Address>,
        limit: usize,
    ) -> Result<Vec<AccountView>, Fault> {
        match self {
            Source::Own(gateway) => {
                let ledger = gateway.ledger().clone();
                in_turn(gateway, move || Ok(ledger.accounts_after(after.as_ref(), limit)?)).await
            }
            Source::Far(session) => {
                let accounts = session.client.accounts(after.as_ref(), limit).await;
                accounts.map_err(|error| checks::fault(lang, &error.into()))
            }
        }
    }

    /// A page of the catalogue. A home has only the gateway's word for it.
    ///
    /// # Errors
    /// [`Fault::Failed`].
    pub(crate) async fn catalogue(
        &self,
        lang: Lang,
        search: &Search,
        after: Option<AssetId>,
        limit: usize,
    ) -> Result<Page, Fault> {
        match self {
            Source::Own(gateway) => {
                let (ledger, search) = (gateway.ledger().clone(), search.clone());
                in_turn(gateway, move || Ok(catalogue::page(&ledger, &search, after, limit)?)).await
            }
            Source::Far(session) => {
                let page = session.client.catalogue_page(search, after.as_ref(), limit).await;
                page.map_err(|error| checks::fault(lang, &error.into()))
            }
        }
    }

    /// What an account is called, where that is known: a name is its holder's own word.
    pub(crate) async fn name(&self, lang: Lang, address: &Address) -> Option<AccountPublic> {
        self.account(lang, address).await.ok()?.value.map(|view| view.account)
    }

    /// Whether this is a gateway's own ledger.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Source::Own(_))
    }

    /// What every page of this source rests on.
    pub(crate) fn ground(&self, lang: Lang) -> Vec<Check> {
        match self {
            Source::Own(_) => vec![Check {
                tone: Tone::Info,
                text: html! { (lang.say(
                    "This gateway reads its own ledger, whose blocks it executed itself. To check it with your own software, open the explorer of a console of your own.",
                    "本网关读取自己的账本，其区块由本网关自行执行。如需用自己的软件核查，请在您自己的控制台中打开区块浏览器。",
                )) },
            }],
            Source::Far(session) => {
                let mut all = vec![Check {
                    tone: Tone::Good,
                    text: html! { (lang.fill(
                        "The gateway's head, block {} over {} [entry|entries], is signed by the ledger's members and extends every head that this home has seen.",
                        "网关出示的最新区块 {}（共 {} 个条目）由账本成员签名，且延续了本机此前见过的所有检查点。",
                        &[&session.head, &session.checkpoint.size],
                    )) },
                }];
                all.extend(checks::witnesses(lang, &session.witnessed, &session.genesis));
                all
            }
        }
    }
}

/// What something proven under a head says of itself.
pub(crate) fn proven(lang: Lang, as_of: Option<&AsOf>) -> Option<Check> {
    let as_of = as_of?;
    let text = lang.fill(
        "What stands here is proven under the state of block {} ({}).",
        "此处内容已在区块 {}（{}）的状态下得到证明。",
        &[&as_of.block, &as_of.time],
    );
    Some(Check { tone: Tone::Good, text: html! { (text) } })
}

async fn far_blocks<T>(
    lang: Lang,
    session: &Session<'_>,
    from: BlockHeight,
    last: u64,
    mut keep: impl FnMut(Block, &mut VecDeque<T>),
) -> Result<Kept<T>, Fault> {
    let (chain, head) = (session.genesis.chain_id(), session.head.0);
    // To check a block one needs all behind it; that is done where they are few.
    let wanted = if head.saturating_sub(from.0) < CHAIN_MAX { head } else { last };
    let (mut kept, mut before, mut next) = (VecDeque::new(), None::<Header>, from);
    for call in 0.. {
        if next.0 > wanted || (next.0 > last && call >= CALLS_MAX) {
            break;
        }
        let begun = next;
        for block in session.client.blocks(next).await.map_err(|error| checks::fault(lang, &error.into()))? {
            if next.0 > wanted {
                break;
            }
            check_link(lang, &chain, next, before.as_ref(), &block)?;
            before = Some(block.header.clone());
            if next.0 <= last {
                keep(block, &mut kept);
            }
            next = next.next();
        }
        if next == begun {
            return Err(lie(lang, &"it shows fewer blocks than its checkpoint covers"));
        }
    }
    let is_chained = match &before {
        Some(header) if header.height == session.head => {
            if *header != session.header {
                return Err(lie(lang, &"its blocks do not lead to the head that it signed"));
            }
            true
        }
        _ => false,
    };
    Ok(Kept { kept, is_chained })
}

/// That a block follows the one before, and has as many entries as its header says.
fn check_link(
    lang: Lang,
    chain: &ChainId,
    expected: BlockHeight,
    before: Option<&Header>,
    block: &Block,
) -> Result<(), Fault> {
    let header = &block.header;
    let linked = before.is_none_or(|before| {
        header.previous == before.hash() && header.first_entry == before.tree_size && header.time_ms > before.time_ms
    });
    let count = header.tree_size.checked_sub(header.first_entry);
    if header.height != expected || header.chain != *chain || !linked || count != Some(block.entries.len() as u64) {
        return Err(lie(lang, &format!("block {expected} does not follow the one before")));
    }
    Ok(())
}

/// Something the gateway showed does not hold.
pub(crate) fn lie(lang: Lang, what: &dyn std::fmt::Display) -> Fault {
    Fault::Failed(lang.fill(
        "What the gateway shows does not check, and nothing of it is shown here: {}",
        "网关出示的内容未通过核查，因此不予显示：{}",
        &[what],
    ))
}
