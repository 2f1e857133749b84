//! A ledger's first fact: who runs it, by which rules, and with which circuits. Its digest is
//! what every requester and auditor pins (docs/spec/ledger.md#genesis).

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use sealgate_circuits::bytes::{CeremonyDigest, ShapeDigest, VerifyingKeyDigest, tagged_hash};
use serde::{Deserialize, Serialize};

use crate::account::{AccountError, AccountPublic};
use crate::block::Header;
use crate::codec::encode;
use crate::ids::ChainId;
use crate::member::{CERTIFICATE_BYTES_MAX, Certificate, Member, MemberError, MemberSet, Policy};
use crate::state::execute::genesis_batch;

/// Longest name of a ledger or circuit, in bytes.
pub const GENESIS_NAME_BYTES_MAX: usize = 100;
/// Most circuits a genesis names.
pub const CIRCUITS_MAX: usize = 64;

/// A circuit and the parameters with which its proofs are verified on this ledger, for good.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CircuitParameters {
    /// Name of the circuit.
    pub circuit: String,
    /// Digest of its constraint system.
    pub shape: ShapeDigest,
    /// Digest of its verifying key.
    pub verifying_key: VerifyingKeyDigest,
}

/// The organisations that begin a ledger together.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Certificate of the consortium's authority, which certifies the members' nodes.
    pub authority: Certificate,
    /// The founding members.
    pub members: Vec<Member>,
}

/// The constitution of a ledger. The accounts of its first members are enrolled from the start.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// What the ledger is called.
    pub name: String,
    /// Who made it. An embedded ledger has it as its only member, who orders its transactions and
    /// signs its checkpoints; in a network it is the first of the founding members.
    pub operator: AccountPublic,
    /// The organisations that share it; none on an embedded ledger.
    pub network: Option<Network>,
    /// Whether its parameters are for development only; verification then says so.
    pub development: bool,
    /// Digest of the transcript of the ceremony that made its parameters; none exactly if they are
    /// for development.
    pub ceremony: Option<CeremonyDigest>,
    /// The circuits it knows, with distinct names.
    pub circuits: Vec<CircuitParameters>,
    /// The first rules; members can change them.
    pub policy: Policy,
    /// When it was made, in milliseconds since 1970-01-01 UTC; the first block's time.
    pub created_ms: u64,
}

/// Why a genesis cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The name of the ledger or of a circuit is empty, too long or holds control characters.
    #[error("'{0}' cannot be a name in a genesis: 1 to {GENESIS_NAME_BYTES_MAX} bytes without control characters")]
    Name(String),
    /// Too many circuits, or two with one name.
    #[error("a genesis names at most {CIRCUITS_MAX} circuits, each once")]
    Circuits,
    /// The operator's account cannot be one.
    #[error("the operator's account: {0}")]
    Account(#[from] AccountError),
    /// The members or the policy cannot be.
    #[error("{0}")]
    Members(#[from] MemberError),
    /// The authority's certificate is missing or too large, or the operator is not the first
    /// member.
    #[error("a network has an authority's certificate, and its operator as first member")]
    Network,
    /// Parameters for development with a ceremony, or others without.
    #[error("parameters are either for development or from a ceremony, whose digest the genesis then names")]
    Parameters,
}

impl Genesis {
    /// The ledger's identity: the digest of everything here.
    pub fn chain_id(&self) -> ChainId {
        ChainId(tagged_hash("sealgate/genesis/3", &[&encode(self)]))
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), GenesisError> {
        for name in std::iter::once(&self.name).chain(self.circuits.iter().map(|c| &c.circuit)) {
            if name.is_empty() || name.len() > GENESIS_NAME_BYTES_MAX || name.chars().any(char::is_control) {
                return Err(GenesisError::Name(name.escape_debug().take(60).collect()));
            }
        }
        let names: std::collections::BTreeSet<&str> = self.circuits.iter().map(|c| c.circuit.as_str()).collect();
        if names.len() != self.circuits.len() || names.len() > CIRCUITS_MAX {
            return Err(GenesisError::Circuits);
        }
        if self.development == self.ceremony.is_some() {
            return Err(GenesisError::Parameters);
        }
        self.policy.validate()?;
        self.operator.validate()?;
        if let Some(network) = &self.network {
            let first = network.members.first().map(|member| &member.account);
            if first != Some(&self.operator) || !(1..=CERTIFICATE_BYTES_MAX).contains(&network.authority.0.len()) {
                return Err(GenesisError::Network);
            }
            network.members.iter().try_for_each(Member::validate)?;
        }
        Ok(self.members().validate()?)
    }

    /// The first members: of an embedded ledger its operator alone.
    pub fn members(&self) -> MemberSet {
        let members = match &self.network {
            Some(network) => network.members.clone(),
            None => vec![Member::operator(&self.operator)],
        };
        MemberSet { epoch: 0, members }
    }

    /// The header of block 0, which has no entries.
    pub fn header(&self) -> Header {
        genesis_batch(self).head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_for_development_or_from_a_ceremony() {
        let (genesis, _) = crate::testing::genesis();
        let digest = Some(CeremonyDigest([7; 32]));
        genesis.validate().unwrap();
        let made = Genesis { development: false, ceremony: digest, ..genesis.clone() };
        made.validate().unwrap();
        assert_ne!(made.chain_id(), genesis.chain_id());
        let json = serde_json::to_string(&made).unwrap();
        assert_eq!(serde_json::from_str::<Genesis>(&json).unwrap(), made);
        for (development, ceremony) in [(true, digest), (false, None)] {
            let wrong = Genesis { development, ceremony, ..genesis.clone() };
            assert_eq!(wrong.validate(), Err(GenesisError::Parameters));
        }
    }
}
