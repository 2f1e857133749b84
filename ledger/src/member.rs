//! Members: the organisations that share a ledger, and what they decide together
//! (docs/spec/members.md).

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::{AccountError, AccountPublic, VerifyKey};
use crate::ids::{Address, AssetId, BlockHeight, TxHash};

/// Most members of a ledger.
pub const MEMBERS_MAX: usize = 100;
/// Longest certificate, in bytes of DER.
pub const CERTIFICATE_BYTES_MAX: usize = 4096;
/// Longest network address or URL of a member, in bytes.
pub const ENDPOINT_BYTES_MAX: usize = 200;
/// Largest answer window, in blocks.
pub const ANSWER_WINDOW_BLOCKS_MAX: u64 = 1_000_000;
/// Most blocks a proposal may wait for its endorsements.
pub const PROPOSAL_BLOCKS: u64 = 100_000;

/// An X.509 certificate in DER. The ledger carries it; who connects to a member's node checks it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Certificate(
    #[serde(with = "crate::codec::hex_bytes")]
    #[schemars(with = "crate::codec::HexText")]
    pub Vec<u8>,
);

/// An organisation that shares the ledger.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The account that speaks for it: proposes, endorses, enrols.
    pub account: AccountPublic,
    /// Its node's key: consensus votes, the certificate's key, signatures of checkpoints.
    pub node_key: VerifyKey,
    /// The consortium's certificate for the node key; empty on an embedded ledger.
    pub certificate: Certificate,
    /// Where its node listens for other nodes, `host:port`; empty on an embedded ledger.
    pub peer: String,
    /// URL of its gateway; empty on an embedded ledger.
    pub gateway: String,
}

/// The members of a ledger during one epoch.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberSet {
    /// How often the members have changed before.
    pub epoch: u64,
    /// The members, with distinct accounts and node keys.
    pub members: Vec<Member>,
}

/// Rules that the members can change while the ledger runs.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whether anybody may open an account; otherwise members do.
    pub open_enrolment: bool,
    /// Blocks after which a granted request without an answer becomes unanswered.
    pub answer_window_blocks: u64,
    /// How many denied requests of one account are recorded in a day of block time; what exceeds
    /// them is refused.
    pub denials_a_day: u32,
    /// Whoever may open pseudonyms and read what answers told: both are sealed to this account.
    pub auditor: Option<AccountPublic>,
}

/// What members decide together.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// An organisation joins.
    Join(Member),
    /// An organisation leaves.
    Leave {
        /// Its account.
        account: Address,
    },
    /// A member gets other keys, another certificate or other addresses.
    Replace {
        /// Its account so far.
        account: Address,
        /// What it is from now on.
        member: Member,
    },
    /// Other rules.
    Policy(Policy),
    /// An asset is withdrawn against its owner's will.
    Withdraw {
        /// The asset.
        asset: AssetId,
    },
}

/// A proposal and who stands behind it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposalView {
    /// The transaction that proposed it.
    pub hash: TxHash,
    /// What is proposed.
    pub change: Change,
    /// Members that endorsed it, the proposer first.
    pub endorsed: Vec<Address>,
    /// The block that recorded it.
    pub height: BlockHeight,
    /// What became of it.
    pub status: ProposalStatus,
}

/// What became of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProposalStatus {
    /// It awaits endorsements.
    Open,
    /// More than two thirds of the members endorsed it, and it was done.
    Done {
        /// The block that did it.
        height: BlockHeight,
    },
}

/// Why something cannot be a member, a set of members, or a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Its account cannot be one.
    #[error("the member's account: {0}")]
    Account(#[from] AccountError),
    /// A field is too long, empty where it may not be, or holds control characters.
    #[error("{field} '{found}' is not possible: 1 to {max} bytes without control characters")]
    Text {
        /// Which.
        field: &'static str,
        /// The most bytes.
        max: usize,
        /// What was found, shortened.
        found: String,
    },
    /// A certificate is too large, or missing.
    #[error("a member of a network has a certificate of 1 to {CERTIFICATE_BYTES_MAX} bytes")]
    Certificate,
    /// No members, too many, or one twice.
    #[error("a ledger has 1 to {MEMBERS_MAX} members, with distinct accounts and node keys")]
    Members,
    /// The answer window is out of range.
    #[error("an answer window of {0} blocks is outside 1 to {ANSWER_WINDOW_BLOCKS_MAX}")]
    AnswerWindow(u64),
}

impl Member {
    /// The only member of an embedded ledger: its operator, whose key also signs checkpoints.
    pub fn operator(account: &AccountPublic) -> Member {
        Member {
            account: account.clone(),
            node_key: account.verify_key,
            certificate: Certificate(Vec::new()),
            peer: String::new(),
            gateway: String::new(),
        }
    }

    /// The account's address.
    pub fn address(&self) -> Address {
        self.account.address()
    }

    /// Checks every bound of a member of a network.
    ///
    /// # Errors
    /// [`MemberError`].
    pub fn validate(&self) -> Result<(), MemberError> {
        self.account.validate()?;
        AccountPublic { verify_key: self.node_key, ..self.account.clone() }.validate()?;
        if !(1..=CERTIFICATE_BYTES_MAX).contains(&self.certificate.0.len()) {
            return Err(MemberError::Certificate);
        }
        for (field, text) in [("the node's address", &self.peer), ("the gateway's URL", &self.gateway)] {
            if text.is_empty() || text.len() > ENDPOINT_BYTES_MAX || text.chars().any(char::is_control) {
                let found = text.escape_debug().take(60).collect();
                return Err(MemberError::Text { field, max: ENDPOINT_BYTES_MAX, found });
            }
        }
        Ok(())
    }
}

impl MemberSet {
    /// How many members decide: more than two thirds.
    pub fn quorum(&self) -> usize {
        self.members.len() * 2 / 3 + 1
    }

    /// The member whose account has that address.
    pub fn member(&self, account: &Address) -> Option<&Member> {
        self.members.iter().find(|member| member.address() == *account)
    }

    /// The member whose node has that key.
    pub fn node(&self, key: &VerifyKey) -> Option<&Member> {
        self.members.iter().find(|member| member.node_key == *key)
    }

    /// Checks that accounts and node keys are distinct, and their number.
    ///
    /// # Errors
    /// [`MemberError::Members`].
    pub fn validate(&self) -> Result<(), MemberError> {
        let accounts: BTreeSet<Address> = self.members.iter().map(Member::address).collect();
        let keys: BTreeSet<[u8; 32]> = self.members.iter().map(|member| member.node_key.0).collect();
        let count = self.members.len();
        if (1..=MEMBERS_MAX).contains(&count) && accounts.len() == count && keys.len() == count {
            Ok(())
        } else {
            Err(MemberError::Members)
        }
    }

    /// The set after a change, in the next epoch; none if the change is not about members.
    ///
    /// # Errors
    /// [`MemberError::Members`] when the change does not fit the set: an unknown member leaves,
    /// a known one joins, the last one leaves.
    pub fn after(&self, change: &Change) -> Result<Option<MemberSet>, MemberError> {
        let mut members = self.members.clone();
        let at = |account: &Address| {
            self.members.iter().position(|member| member.address() == *account).ok_or(MemberError::Members)
        };
        match change {
            Change::Join(member) => members.push(member.clone()),
            Change::Leave { account } => drop(members.remove(at(account)?)),
            Change::Replace { account, member } => {
                let at = at(account)?;
                members.splice(at..=at, [member.clone()]);
            }
            Change::Policy(_) | Change::Withdraw { .. } => return Ok(None),
        }
        let next = MemberSet { epoch: self.epoch.saturating_add(1), members };
        next.validate()?;
        Ok(Some(next))
    }
}

impl Policy {
    /// Checks every bound.
    ///
    /// # Errors
    /// [`MemberError`].
    pub fn validate(&self) -> Result<(), MemberError> {
        if !(1..=ANSWER_WINDOW_BLOCKS_MAX).contains(&self.answer_window_blocks) {
            return Err(MemberError::AnswerWindow(self.answer_window_blocks));
        }
        if let Some(auditor) = &self.auditor {
            auditor.validate()?;
        }
        Ok(())
    }
}

impl Change {
    /// Checks every bound that needs no state.
    ///
    /// # Errors
    /// [`MemberError`].
    pub fn validate(&self) -> Result<(), MemberError> {
        match self {
            Change::Join(member) | Change::Replace { member, .. } => member.validate(),
            Change::Policy(policy) => policy.validate(),
            Change::Leave { .. } | Change::Withdraw { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::secret;

    fn member(seed: u8) -> Member {
        Member {
            certificate: Certificate(vec![1]),
            peer: "127.0.0.1:1".into(),
            gateway: "http://127.0.0.1:2".into(),
            ..Member::operator(secret("m", seed).public())
        }
    }

    fn set(count: u8) -> MemberSet {
        MemberSet { epoch: 7, members: (1..=count).map(member).collect() }
    }

    #[test]
    fn more_than_two_thirds_decide() {
        for (members, quorum) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (9, 7), (10, 7), (100, 67)] {
            let found = set(members).quorum();
            assert_eq!(found, quorum, "{members}");
            assert!(found * 3 > usize::from(members) * 2 && (found - 1) * 3 <= usize::from(members) * 2);
        }
    }

    #[test]
    fn members_join_leave_and_are_replaced() {
        let four = set(4);
        let five = four.after(&Change::Join(member(5))).unwrap().unwrap();
        assert_eq!((five.epoch, five.members.len()), (8, 5));
        assert_eq!(four.after(&Change::Join(member(4))), Err(MemberError::Members));
        let three = four.after(&Change::Leave { account: member(2).address() }).unwrap().unwrap();
        assert_eq!(three.members, [member(1), member(3), member(4)]);
        assert_eq!(four.after(&Change::Leave { account: member(5).address() }), Err(MemberError::Members));
        let account = member(2).address();
        let other = four.after(&Change::Replace { account, member: member(9) }).unwrap().unwrap();
        assert_eq!(other.members, [member(1), member(9), member(3), member(4)]);
        assert!(four.after(&Change::Replace { account, member: member(3) }).is_err());
        assert!(set(1).after(&Change::Leave { account: member(1).address() }).is_err());
        assert_eq!(four.after(&Change::Withdraw { asset: AssetId([1; 32]) }), Ok(None));
    }
}
