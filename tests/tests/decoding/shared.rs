//! The ways in of a ledger that several share: notes and cosignatures, what is proven to stand, who
//! its members are, who stands behind a pseudonym.

use sealgate_gateway::client::Governance;
use sealgate_gateway::handed::Handed;
use sealgate_gateway::handing::SignedHanding;
use sealgate_gateway::identity::{self, IdentityError};
use sealgate_gateway::receipt::Receipt;
use sealgate_gateway::witness::pins::Pins;
use sealgate_ledger::checkpoint::SignedCheckpoint;
use sealgate_ledger::codec::encode;
use sealgate_ledger::cosign::{Note, NoteLine, WitnessKey, WitnessSecret, attach};
use sealgate_ledger::ids::{Address, AssetId, BlockHeight, ChainId};
use sealgate_ledger::member::{Certificate, Change, Member, MemberSet, Policy, ProposalView};
use sealgate_ledger::standing::{AssetStanding, Handover, SignedHead, Standing, walk};
use sealgate_ledger::state::{AccountView, GrantView, TextView};
use sealgate_ledger::trie::{LeafDigest, StateKey};
use sealgate_ledger::tx::{Handing, TextContent};
use sealgate_ledger::witness::AddCheckpoint;

use super::{GENESIS, account_secret, canonical, fixed_genesis, json};

/// A witness whose seed everybody knows.
pub fn witness_secret() -> WitnessSecret {
    WitnessSecret::from_seed("witness.example/1", [1; 32]).unwrap()
}

/// Notes with lines of members and witnesses, keys of notes, and what is brought before a witness.
pub fn notes(bytes: &[u8]) {
    json::<Pins>(bytes);
    if let Ok(request) = AddCheckpoint::read(bytes) {
        let _ = request.origin();
        assert_eq!(AddCheckpoint::read(request.to_text().as_bytes()).unwrap(), request);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<WitnessKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(line) = NoteLine::read(text) {
        assert_eq!(line.line, text);
    }
    let witness = witness_secret();
    let checkpoint = SignedCheckpoint(text.to_owned());
    let cosigned = witness.public().cosigned(&checkpoint);
    let Ok(note) = Note::read(text) else {
        assert!(cosigned.is_err(), "a cosignature of what is no note");
        return;
    };
    let lines: String = note.lines.iter().map(|line| format!("{}\n", line.line)).collect();
    assert_eq!(format!("{}\n{lines}", note.text), text);
    // What can be read can be cosigned, and then bears the cosignature.
    let line = witness.cosign(&checkpoint, 1_700_000_000).unwrap();
    let with = attach(&checkpoint, [line.as_str()]);
    if cosigned.is_ok() && Note::read(&with.0).is_ok() {
        assert!(witness.public().cosigned(&with).unwrap() >= Some(1_700_000_000));
    }
}

/// What a gateway proves to stand on the ledger, and how its members changed.
pub fn standing(bytes: &[u8]) {
    let genesis = GENESIS.get().cloned().unwrap_or_else(fixed_genesis);
    let (chain, members) = (genesis.chain_id(), genesis.members());
    let (asset, who) = (AssetId([1; 32]), account_secret().address());
    if let Some(standing) = json::<AssetStanding>(bytes) {
        assert!(standing.verify(&asset).is_err() || standing.contract.is_none());
        let own = standing.contract.as_ref().map(|contract| contract.asset.id);
        let _ = own.map(|own| standing.verify(&own));
    }
    if let Some(standing) = json::<Standing<GrantView>>(bytes) {
        let _ = standing.verify(&StateKey::grant(&asset, &who), GrantView::leaf);
    }
    if let Some(standing) = json::<Standing<AccountView>>(bytes) {
        let _ = standing.verify(&StateKey::account(&who), LeafDigest::of);
    }
    if let Some(standing) = json::<Standing<MemberSet>>(bytes) {
        let _ = standing.verify(&StateKey::members(), LeafDigest::of);
    }
    json::<Standing<Policy>>(bytes);
    json::<TextView>(bytes);
    json::<Vec<Handed>>(bytes);
    if let Some(head) = json::<SignedHead>(bytes) {
        let _ = head.verify(&chain, &members);
    }
    if let Some(handovers) = json::<Vec<Handover>>(bytes) {
        assert!(walk(&chain, &members, &handovers).is_ok_and(|set| set == members) || !handovers.is_empty());
    }
    for handover in [canonical::<Handover>(bytes), json(bytes)].into_iter().flatten() {
        let _ = handover.verify(&chain, &members);
        assert_eq!(canonical::<Handover>(&encode(&handover)), Some(handover));
    }
}

/// Files that show what became of a transaction.
pub fn receipt(bytes: &[u8]) {
    if let Ok(receipt) = Receipt::read(bytes) {
        assert_eq!(receipt.to_bytes().unwrap(), bytes);
    }
}

/// What an organisation hands in to be certified, and what members decide about.
pub fn member(bytes: &[u8]) {
    for member in [canonical::<Member>(bytes), json(bytes)].into_iter().flatten() {
        let _ = (member.validate(), member.address());
        let set = MemberSet { epoch: u64::MAX, members: vec![member.clone()] };
        let _ = (set.validate(), set.quorum());
        let account = member.address();
        for change in [
            Change::Join(member.clone()),
            Change::Leave { account },
            Change::Replace { account: Address([0; 32]), member: member.clone() },
        ] {
            let _ = (change.validate(), set.after(&change));
        }
    }
    for set in [canonical::<MemberSet>(bytes), json(bytes)].into_iter().flatten() {
        let _ = set.validate();
        assert!(set.quorum() * 3 > set.members.len() * 2);
    }
    for change in [canonical::<Change>(bytes), json(bytes)].into_iter().flatten() {
        let _ = (change.validate(), fixed_genesis().members().after(&change));
    }
    for policy in [canonical::<Policy>(bytes), json(bytes)].into_iter().flatten() {
        let _ = policy.validate();
    }
    json::<Certificate>(bytes);
    json::<ProposalView>(bytes);
    json::<Governance>(bytes);
    canonical::<TextContent>(bytes);
}

/// A receiver's consent to be given an asset: known, and signed with [`account_secret`].
pub fn signed_handing() -> SignedHanding {
    let handing = Handing {
        chain: ChainId([1; 32]),
        asset: AssetId([2; 32]),
        from: Address([3; 32]),
        to: account_secret().address(),
        handed: 4,
        expiry: BlockHeight(5),
    };
    SignedHanding { signature: handing.sign(account_secret()).signature, handing }
}

/// A receiver's consent, as it is passed to the owner: no other one bears this signature.
pub fn handing(bytes: &[u8]) {
    let Some(signed) = json::<SignedHanding>(bytes) else { return };
    let verified = signed.handing.verify(account_secret().public(), &signed.signature);
    assert!(verified.is_err() || signed == signed_handing());
}

/// A sealed identity, as the ledger carries it.
pub fn sealed_identity(bytes: &[u8]) {
    let (reader, account) = (account_secret(), Address([7; 32]));
    match identity::open(bytes, &account, reader) {
        Ok(None) => assert!(bytes.is_empty()),
        // What opens was sealed for this account, and to this reader.
        Ok(Some(name)) => assert!((1..=100).contains(&name.len())),
        Err(IdentityError::NotForUs | IdentityError::Wrong) => {}
        Err(other) => panic!("{other}"),
    }
    if let Ok(name) = std::str::from_utf8(bytes)
        && let Ok(sealed) = identity::seal(name, &account, std::slice::from_ref(reader.public()))
    {
        assert_eq!(identity::open(&sealed, &account, reader), Ok(Some(name.to_owned())));
        assert!(identity::open(&sealed, &Address([8; 32]), reader).is_err());
    }
}
