//! Who stands behind a pseudonym: sealed by the member that enrols it, to the auditor and to
//! parties it names (docs/spec/members.md#pseudonyms).

use std::collections::HashMap;

use borsh::{BorshDeserialize, BorshSerialize};
use sealgate_circuits::bytes::tagged_hash;
use sealgate_ledger::account::{AccountPublic, AccountSecret, NAME_BYTES_MAX};
use sealgate_ledger::codec::{decode, encode};
use sealgate_ledger::ids::{Address, Digest};
use sealgate_ledger::state::AccountView;
use zeroize::Zeroizing;

use crate::envelope::{EnvelopeError, Purpose, open_unpadded, seal_unpadded};

const DOMAIN: &str = "sealgate/identity/1";
/// Salt, length of the name, the name, zeros.
const MESSAGE_BYTES: usize = 32 + 1 + NAME_BYTES_MAX;

/// A sealed identity: what the ledger carries.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Sealed {
    /// Hash of account, salt and name: the same name in every copy.
    commitment: Digest,
    copies: Vec<Copy>,
}

#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Copy {
    to: Address,
    envelope: Vec<u8>,
}

/// Why an identity cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The name is empty or too long.
    #[error("a real name has 1 to {NAME_BYTES_MAX} bytes; this one has {0}")]
    Name(usize),
    /// A receiver's key.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The operating system gave no randomness.
    #[error("the operating system's random number generator failed: {0}")]
    Randomness(String),
    /// It was sealed to others.
    #[error("the name behind this pseudonym is sealed to others: its auditor, and whom its member named")]
    NotForUs,
    /// The copy does not open to what the member committed to.
    #[error("the sealed name is not what it should be: the member that enrolled the account sealed something else")]
    Wrong,
}

/// Seals the real `name` behind `account` to each of `to`; all copies have the same size.
///
/// # Errors
/// [`IdentityError`].
pub fn seal(name: &str, account: &Address, to: &[AccountPublic]) -> Result<Vec<u8>, IdentityError> {
    let length = u8::try_from(name.len()).ok().filter(|length| (1..=NAME_BYTES_MAX).contains(&usize::from(*length)));
    let length = length.ok_or(IdentityError::Name(name.len()))?;
    let mut salt = Zeroizing::new([0u8; 32]);
    getrandom::fill(salt.as_mut()).map_err(|error| IdentityError::Randomness(error.to_string()))?;
    let mut message = Zeroizing::new(Vec::with_capacity(MESSAGE_BYTES));
    message.extend_from_slice(salt.as_ref());
    message.push(length);
    message.extend_from_slice(name.as_bytes());
    message.resize(MESSAGE_BYTES, 0);
    let copies = to.iter().map(|receiver| {
        let envelope = seal_unpadded(&receiver.encryption_key, purpose(account), &message)?;
        Ok(Copy { to: receiver.address(), envelope })
    });
    let copies = copies.collect::<Result<_, EnvelopeError>>()?;
    Ok(encode(&Sealed { commitment: commitment(account, &salt, name), copies }))
}

/// The real name behind `account`, as sealed to `reader`; none if the account is no pseudonym.
///
/// # Errors
/// [`IdentityError::NotForUs`], [`IdentityError::Wrong`].
pub fn open(identity: &[u8], account: &Address, reader: &AccountSecret) -> Result<Option<String>, IdentityError> {
    if identity.is_empty() {
        return Ok(None);
    }
    let sealed: Sealed = decode("identity", identity).map_err(|_| IdentityError::Wrong)?;
    let own = reader.address();
    let copy = sealed.copies.iter().find(|copy| copy.to == own).ok_or(IdentityError::NotForUs)?;
    let message = open_unpadded(reader, purpose(account), &copy.envelope).map_err(|_| IdentityError::Wrong)?;
    let (salt, rest) = message.split_first_chunk::<32>().ok_or(IdentityError::Wrong)?;
    let (length, rest) = rest.split_first().ok_or(IdentityError::Wrong)?;
    let name = rest.get(..usize::from(*length)).and_then(|name| std::str::from_utf8(name).ok());
    let name = name.ok_or(IdentityError::Wrong)?;
    if commitment(account, salt, name) == sealed.commitment {
        Ok(Some(name.to_owned()))
    } else {
        Err(IdentityError::Wrong)
    }
}

/// The real name behind an enrolled account, as sealed to one of the keys that a reader has had. `accounts`
/// are all of the ledger's: an account that succeeded another carries what was sealed for the first.
///
/// # Errors
/// As [`open`].
pub fn open_with<'a>(
    view: &AccountView,
    accounts: impl IntoIterator<Item = &'a AccountView>,
    readers: &[AccountSecret],
) -> Result<Option<String>, IdentityError> {
    let first = first_of(accounts, view.address);
    let mut refused = IdentityError::NotForUs;
    for result in readers.iter().map(|reader| open(&view.identity, &first, reader)) {
        match result {
            Err(IdentityError::NotForUs) => {}
            Err(error) => refused = error,
            name => return name,
        }
    }
    Err(refused)
}

/// The account that was enrolled, of which this one is the last successor.
pub fn first_of<'a>(accounts: impl IntoIterator<Item = &'a AccountView>, mut address: Address) -> Address {
    let before: HashMap<Address, Address> =
        accounts.into_iter().filter_map(|view| Some((view.successor?, view.address))).collect();
    while let Some(earlier) = before.get(&address) {
        address = *earlier;
    }
    address
}

fn purpose(account: &Address) -> Purpose<'_> {
    Purpose { info: DOMAIN, associated: &account.0 }
}

fn commitment(account: &Address, salt: &[u8; 32], name: &str) -> Digest {
    Digest(tagged_hash(DOMAIN, &[&account.0, salt, name.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use sealgate_ledger::tx::IDENTITY_BYTES_MAX;

    use super::*;

    #[test]
    fn opened_by_those_it_is_sealed_to_and_for_that_account_alone() {
        let [auditor, party, stranger] = ["a", "p", "s"].map(|name| AccountSecret::generate(name).unwrap());
        let (account, other) = (Address([7; 32]), Address([8; 32]));
        let receivers = [auditor.public().clone(), party.public().clone()];
        let sealed = seal("Bank of Dalian", &account, &receivers).unwrap();
        let name = Some("Bank of Dalian".to_owned());
        assert_eq!(open(&sealed, &account, &auditor), Ok(name.clone()));
        assert_eq!(open(&sealed, &account, &party), Ok(name));
        assert_eq!(open(&sealed, &account, &stranger), Err(IdentityError::NotForUs));
        assert_eq!(open(&sealed, &other, &auditor), Err(IdentityError::Wrong));
        assert_eq!(open(&[], &account, &stranger), Ok(None));
        assert_eq!(sealed.len(), seal("X", &account, &receivers).unwrap().len(), "its length tells nothing");
        let nine = vec![auditor.public().clone(); 9];
        assert!(seal(&"x".repeat(100), &account, &nine).unwrap().len() <= IDENTITY_BYTES_MAX);
        assert!(seal("", &account, &nine).is_err() && seal(&"x".repeat(101), &account, &nine).is_err());
        // Commitment, number of copies, the auditor's copy; what follows is the party's.
        let ours = 32 + 4 + (32 + 4 + 32 + MESSAGE_BYTES + 16);
        for at in 0..ours {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(open(&altered, &account, &auditor).is_err(), "byte {at}");
        }
    }
}
