//! Who somebody is, shown by a signature of their account's key (docs/spec/api.md#signing-in): a
//! challenge, its signature, and a short session. All of it lives in memory: what was signed before a
//! restart is worth nothing after it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use borsh::BorshSerialize;
use schemars::JsonSchema;
use sealgate_ledger::account::{AccountError, AccountPublic, AccountSecret, Signature};
use sealgate_ledger::ids::{Address, ChainId};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// How long a challenge can be signed.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(60);
/// How long a code can be exchanged for a browser's session.
pub const CODE_LIFE: Duration = Duration::from_secs(120);
/// How long a session lives unused.
pub const IDLE: Duration = Duration::from_secs(15 * 60);
/// How long it lives at most.
pub const LIFE: Duration = Duration::from_secs(8 * 3600);
/// Sessions of one account at the same time; the one unused longest makes room.
const SESSIONS_EACH: usize = 16;
/// Sessions of all; the one unused longest makes room.
const SESSIONS_MAX: usize = 4096;
/// Forms of a session that are remembered as sent.
const SENT_MAX: usize = 256;

const DOMAIN: &str = "sealgate/sign-in/1";
/// Milliseconds and a nonce, and the code that shows they are this process' own.
const CHALLENGE_BYTES: usize = 8 + 16 + 32;

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The challenge was not given by this process, or too long ago, or was used.
    #[error("the challenge is not one that can still be signed: ask for a new one (it lives {} seconds and is used once)", CHALLENGE_LIFE.as_secs())]
    Challenge,
    /// The signature is for another address than the gateway's.
    #[error("the signature is for '{0}', which is not how this gateway is called: use one of its own addresses")]
    Audience(String),
    /// The signature does not hold.
    #[error("the signature is not this account's")]
    Signature,
    /// There is no such account, or it was closed.
    #[error("no open account {0} on this ledger: enrol it first, or sign in with its successor")]
    Account(Address),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Randomness,
}

/// A challenge to sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Challenge {
    /// Opaque text, base64url.
    pub challenge: String,
    /// The ledger it is about.
    pub chain: ChainId,
    /// How many seconds it can be signed.
    pub expires_s: u64,
}

/// A signed challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Who signs.
    pub address: Address,
    /// The challenge.
    pub challenge: String,
    /// The gateway's address as the signer calls it, `host:port`: what is signed for one gateway is
    /// worth nothing at another.
    pub audience: String,
    /// Over all that and the ledger.
    pub signature: Signature,
}

/// A session that was opened.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Opened {
    /// Shown with every call: `Authorization: Bearer TOKEN`.
    pub token: String,
    /// Exchanged once for a browser's session: `/console/enter?code=CODE`.
    pub code: String,
    /// How many seconds the session lives unused.
    pub idle_s: u64,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

#[derive(BorshSerialize)]
struct Signed<'a> {
    chain: ChainId,
    address: Address,
    audience: &'a str,
    challenge: &'a str,
}

impl Claim {
    /// Signs a challenge for the gateway called `audience`.
    pub fn sign(account: &AccountSecret, challenge: &Challenge, audience: &str) -> Claim {
        let address = account.address();
        let signed = Signed { chain: challenge.chain, address, audience, challenge: &challenge.challenge };
        let signature = account.sign(DOMAIN, &sealgate_ledger::codec::encode(&signed));
        Claim { address, challenge: challenge.challenge.clone(), audience: audience.to_owned(), signature }
    }

    fn verify(&self, account: &AccountPublic, chain: ChainId) -> Result<(), AccountError> {
        let signed = Signed { chain, address: self.address, audience: &self.audience, challenge: &self.challenge };
        account.verify(DOMAIN, &sealgate_ledger::codec::encode(&signed), &self.signature)
    }
}

/// Somebody who is signed in.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub address: Address,
    /// What the account is called.
    pub name: String,
    /// What this session's forms carry.
    pub form_token: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A token's hash: what is looked up is not the secret itself.
type Hashed = [u8; 32];

struct Open {
    session: Session,
    opened: Instant,
    used: Instant,
    /// Forms that were sent.
    sent: Vec<String>,
}

struct Code {
    account: AccountPublic,
    given: Instant,
}

#[derive(Default)]
struct Inner {
    /// Nonces that were used, until their challenges are over anyway.
    used: HashMap<[u8; 16], Instant>,
    sessions: HashMap<Hashed, Open>,
    codes: HashMap<Hashed, Code>,
}

/// What time it is; one that nobody sets, so that only what passed counts.
type Clock = Box<dyn Fn() -> Instant + Send + Sync>;

/// All sessions of one process.
pub struct Sessions {
    chain: ChainId,
    key: Zeroizing<[u8; 32]>,
    clock: Clock,
    started: Instant,
    inner: Mutex<Inner>,
}

impl Sessions {
    /// None yet, for the ledger `chain`.
    ///
    /// # Errors
    /// [`SessionError::Randomness`].
    pub fn new(chain: ChainId) -> Result<Sessions, SessionError> {
        Self::by(chain, Box::new(Instant::now))
    }

    fn by(chain: ChainId, clock: Clock) -> Result<Sessions, SessionError> {
        let key = Zeroizing::new(random()?);
        Ok(Sessions { chain, key, started: clock(), clock, inner: Mutex::default() })
    }

    /// A challenge for whoever says to be `address`. Nothing is kept of it.
    ///
    /// # Errors
    /// [`SessionError::Randomness`].
    pub fn challenge(&self, address: &Address) -> Result<Challenge, SessionError> {
        let nonce: [u8; 16] = random()?;
        let mut bytes = Vec::with_capacity(CHALLENGE_BYTES);
        bytes.extend_from_slice(&self.now_ms().to_le_bytes());
        bytes.extend_from_slice(&nonce);
        let mac = self.mac(address, &bytes);
        bytes.extend_from_slice(&mac);
        let expires_s = CHALLENGE_LIFE.as_secs();
        Ok(Challenge { challenge: BASE64.encode(bytes), chain: self.chain, expires_s })
    }

    /// Opens a session for a signed challenge. `account` is what the ledger says of the claim's
    /// address, if it has such an open account; `is_own` says whether this process is called so.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn open(
        &self,
        claim: &Claim,
        account: Option<&AccountPublic>,
        is_own: impl Fn(&str) -> bool,
    ) -> Result<Opened, SessionError> {
        let nonce = self.read(claim)?;
        if !is_own(&claim.audience) {
            return Err(SessionError::Audience(claim.audience.chars().take(200).collect()));
        }
        let account = account.filter(|account| account.address() == claim.address);
        let account = account.ok_or(SessionError::Account(claim.address))?;
        claim.verify(account, self.chain).map_err(|_| SessionError::Signature)?;
        {
            let (now, mut inner) = ((self.clock)(), self.inner());
            inner.used.retain(|_, at| is_within(now, *at, CHALLENGE_LIFE));
            if inner.used.insert(nonce, now).is_some() {
                return Err(SessionError::Challenge);
            }
        }
        let token = self.begin(account)?;
        Ok(Opened { token, code: self.code(account)?, idle_s: IDLE.as_secs() })
    }

    /// A code that a browser exchanges for a session of this account.
    ///
    /// # Errors
    /// [`SessionError::Randomness`].
    pub fn code(&self, account: &AccountPublic) -> Result<String, SessionError> {
        let code = text()?;
        let (now, mut inner) = ((self.clock)(), self.inner());
        inner.codes.retain(|_, code| is_within(now, code.given, CODE_LIFE));
        inner.codes.insert(hashed(&code), Code { account: account.clone(), given: now });
        Ok(code)
    }

    /// Whose code it is, if it can still be exchanged.
    pub fn holder(&self, code: &str) -> Option<AccountPublic> {
        let (now, inner) = ((self.clock)(), self.inner());
        let code = inner.codes.get(&hashed(code)).filter(|code| is_within(now, code.given, CODE_LIFE))?;
        Some(code.account.clone())
    }

    /// Exchanges a code for a session's token, once.
    ///
    /// # Errors
    /// [`SessionError::Challenge`] for a code that is none any more.
    pub fn enter(&self, code: &str) -> Result<String, SessionError> {
        let account = self.holder(code).ok_or(SessionError::Challenge)?;
        self.inner().codes.remove(&hashed(code)).ok_or(SessionError::Challenge)?;
        self.begin(&account)
    }

    fn begin(&self, account: &AccountPublic) -> Result<String, SessionError> {
        let (token, form_token) = (text()?, text()?);
        let address = account.address();
        let session = Session { address, name: account.name.clone(), form_token };
        let (now, mut inner) = ((self.clock)(), self.inner());
        inner.sessions.retain(|_, open| open.lives(now));
        make_room(&mut inner.sessions, SESSIONS_MAX, |_| true);
        make_room(&mut inner.sessions, SESSIONS_EACH, |open| open.session.address == address);
        inner.sessions.insert(hashed(&token), Open { session, opened: now, used: now, sent: Vec::new() });
        Ok(token)
    }

    /// The session with this token, which is used by that.
    pub fn session(&self, token: &str) -> Option<Session> {
        let (now, mut inner) = ((self.clock)(), self.inner());
        let open = inner.sessions.get_mut(&hashed(token)).filter(|open| open.lives(now))?;
        open.used = now;
        Some(open.session.clone())
    }

    /// Ends a session.
    pub fn close(&self, token: &str) {
        self.inner().sessions.remove(&hashed(token));
    }

    /// Whether a form of this session is sent for the first time; from now on it was.
    pub fn is_first(&self, token: &str, form: &str) -> bool {
        let mut inner = self.inner();
        let Some(open) = inner.sessions.get_mut(&hashed(token)) else { return false };
        if form.len() > 64 || open.sent.iter().any(|sent| sent == form) {
            return false;
        }
        if open.sent.len() >= SENT_MAX {
            open.sent.remove(0);
        }
        open.sent.push(form.to_owned());
        true
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since this process began, so that no clock that is set matters.
    fn now_ms(&self) -> u64 {
        u64::try_from((self.clock)().saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    fn mac(&self, address: &Address, bytes: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&sealgate_ledger::codec::encode(address)).update(bytes);
        *hasher.finalize().as_bytes()
    }

    /// The nonce of a challenge that this process gave to the claim's address not too long ago.
    fn read(&self, claim: &Claim) -> Result<[u8; 16], SessionError> {
        let bytes = BASE64.decode(&claim.challenge).map_err(|_| SessionError::Challenge)?;
        let (body, mac) = bytes.split_at_checked(24).ok_or(SessionError::Challenge)?;
        if !bool::from(self.mac(&claim.address, body).as_slice().ct_eq(mac)) {
            return Err(SessionError::Challenge);
        }
        let (given, nonce) = body.split_at_checked(8).ok_or(SessionError::Challenge)?;
        let given = u64::from_le_bytes(given.try_into().map_err(|_| SessionError::Challenge)?);
        let age = Duration::from_millis(self.now_ms().saturating_sub(given));
        if age > CHALLENGE_LIFE {
            return Err(SessionError::Challenge);
        }
        nonce.try_into().map_err(|_| SessionError::Challenge)
    }
}

impl Open {
    fn lives(&self, now: Instant) -> bool {
        is_within(now, self.used, IDLE) && is_within(now, self.opened, LIFE)
    }
}

fn is_within(now: Instant, since: Instant, life: Duration) -> bool {
    now.saturating_duration_since(since) <= life
}

/// Removes, of those that are counted, the ones unused longest until one more may come.
fn make_room(sessions: &mut HashMap<Hashed, Open>, most: usize, counted: impl Fn(&Open) -> bool) {
    while sessions.values().filter(|open| counted(open)).count() >= most {
        let oldest = sessions.iter().filter(|(_, open)| counted(open)).min_by_key(|(_, open)| open.used);
        let Some(oldest) = oldest.map(|(hash, _)| *hash) else { return };
        sessions.remove(&oldest);
    }
}

fn random<const N: usize>() -> Result<[u8; N], SessionError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| SessionError::Randomness)?;
    Ok(bytes)
}

/// A text that nobody guesses.
fn text() -> Result<String, SessionError> {
    Ok(BASE64.encode(*Zeroizing::new(random::<32>()?)))
}

fn hashed(text: &str) -> Hashed {
    *blake3::hash(text.as_bytes()).as_bytes()
}

/// A text that differs in each form, so that one sent twice is noticed.
///
/// # Errors
/// [`SessionError::Randomness`].
pub fn form_number() -> Result<String, SessionError> {
    Ok(BASE64.encode(random::<16>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountSecret {
        AccountSecret::generate("Registry of Companies").unwrap()
    }

    fn sessions() -> Sessions {
        Sessions::new(ChainId([7; 32])).unwrap()
    }

    const HERE: &str = "127.0.0.1:8080";

    fn is_here(audience: &str) -> bool {
        audience == HERE
    }

    #[test]
    fn a_signed_challenge_opens_a_session_once() {
        let (sessions, account) = (sessions(), account());
        let challenge = sessions.challenge(&account.address()).unwrap();
        let claim = Claim::sign(&account, &challenge, HERE);
        let opened = sessions.open(&claim, Some(account.public()), is_here).unwrap();
        let session = sessions.session(&opened.token).unwrap();
        assert_eq!((session.address, session.name.as_str()), (account.address(), "Registry of Companies"));
        assert!(!format!("{opened:?} {session:?}").contains(&opened.token));
        let replayed = sessions.open(&claim, Some(account.public()), is_here);
        assert!(matches!(replayed, Err(SessionError::Challenge)));
        // Nor at the process that comes after it.
        let after = sessions_after();
        assert!(matches!(after.open(&claim, Some(account.public()), is_here), Err(SessionError::Challenge)));
        assert!(after.session(&opened.token).is_none());
        sessions.close(&opened.token);
        assert!(sessions.session(&opened.token).is_none());
    }

    fn sessions_after() -> Sessions {
        sessions()
    }

    #[test]
    fn whatever_differs_is_refused() {
        let (sessions, account, other) = (sessions(), account(), account());
        let challenge = sessions.challenge(&account.address()).unwrap();
        let claim = Claim::sign(&account, &challenge, HERE);
        let refused =
            |claim: &Claim, public: Option<&AccountPublic>| sessions.open(claim, public, is_here).unwrap_err();
        assert!(matches!(refused(&claim, None), SessionError::Account(_)));
        assert!(matches!(refused(&claim, Some(other.public())), SessionError::Account(_)));
        let elsewhere = Claim::sign(&account, &challenge, "evil.example:443");
        assert!(matches!(refused(&elsewhere, Some(account.public())), SessionError::Audience(_)));
        let renamed = Claim { audience: HERE.into(), ..elsewhere };
        assert!(matches!(refused(&renamed, Some(account.public())), SessionError::Signature));
        let others = Claim { address: other.address(), ..claim.clone() };
        assert!(matches!(refused(&others, Some(other.public())), SessionError::Challenge));
        let foreign = Challenge { chain: ChainId([8; 32]), ..challenge.clone() };
        let foreign = Claim::sign(&account, &foreign, HERE);
        assert!(matches!(refused(&foreign, Some(account.public())), SessionError::Signature));
        let bytes = BASE64.decode(&challenge.challenge).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = Challenge { challenge: BASE64.encode(changed), ..challenge.clone() };
            let changed = Claim::sign(&account, &changed, HERE);
            assert!(matches!(refused(&changed, Some(account.public())), SessionError::Challenge), "byte {at}");
        }
        for text in ["", "AAAA", "?"] {
            let changed = Claim { challenge: text.into(), ..claim.clone() };
            assert!(matches!(refused(&changed, Some(account.public())), SessionError::Challenge));
        }
        // A wrong signature does not use the challenge up.
        sessions.open(&claim, Some(account.public()), is_here).unwrap();
    }

    #[test]
    fn a_code_is_exchanged_once_and_forms_are_sent_once() {
        let (sessions, account) = (sessions(), account());
        let code = sessions.code(account.public()).unwrap();
        assert_eq!(sessions.holder(&code).unwrap().name, "Registry of Companies");
        let token = sessions.enter(&code).unwrap();
        assert!(sessions.enter(&code).is_err() && sessions.holder(&code).is_none());
        assert!(sessions.enter("x").is_err());
        let form = form_number().unwrap();
        assert!(sessions.is_first(&token, &form));
        assert!(!sessions.is_first(&token, &form) && !sessions.is_first("x", &form));
        for _ in 0..SENT_MAX {
            assert!(sessions.is_first(&token, &form_number().unwrap()));
        }
    }

    /// Sessions by a clock that stands still until it is set forward.
    fn by_hand() -> (Sessions, impl Fn(Duration)) {
        let (begin, passed) = (Instant::now(), std::sync::Arc::new(Mutex::new(Duration::ZERO)));
        let clock = passed.clone();
        let sessions = Sessions::by(ChainId([7; 32]), Box::new(move || begin + *clock.lock().unwrap())).unwrap();
        (sessions, move |time| *passed.lock().unwrap() += time)
    }

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn a_challenge_and_a_code_are_good_for_their_time() {
        let ((sessions, pass), account) = (by_hand(), account());
        let claim = || Claim::sign(&account, &sessions.challenge(&account.address()).unwrap(), HERE);
        let (late, in_time) = (claim(), claim());
        pass(CHALLENGE_LIFE);
        let opened = sessions.open(&in_time, Some(account.public()), is_here).unwrap();
        let code = sessions.code(account.public()).unwrap();
        pass(MOMENT);
        assert!(matches!(sessions.open(&late, Some(account.public()), is_here), Err(SessionError::Challenge)));
        // What was used is forgotten when its challenge is over anyway, and no sooner.
        let again = sessions.open(&in_time, Some(account.public()), is_here);
        assert!(matches!(again, Err(SessionError::Challenge)));
        pass(CODE_LIFE - MOMENT);
        assert!(sessions.holder(&opened.code).is_some());
        sessions.enter(&opened.code).unwrap();
        pass(MOMENT);
        assert!(sessions.holder(&code).is_none() && sessions.enter(&code).is_err());
    }

    #[test]
    fn a_session_ends_unused_and_after_its_life() {
        let ((sessions, pass), account) = (by_hand(), account());
        let (kept, idle) = (sessions.begin(account.public()).unwrap(), sessions.begin(account.public()).unwrap());
        pass(IDLE);
        assert!(sessions.session(&kept).is_some());
        pass(MOMENT);
        assert!(sessions.session(&idle).is_none() && sessions.session(&kept).is_some());
        // However often it is used.
        let mut passed = IDLE + MOMENT;
        while passed + IDLE < LIFE {
            pass(IDLE);
            passed += IDLE;
            assert!(sessions.session(&kept).is_some(), "after {passed:?}");
        }
        pass(LIFE - passed);
        assert!(sessions.session(&kept).is_some());
        pass(MOMENT);
        assert!(sessions.session(&kept).is_none());
    }

    #[test]
    fn sessions_are_bounded() {
        let (sessions, account) = (sessions(), account());
        let tokens: Vec<String> = (0..=SESSIONS_EACH).map(|_| sessions.begin(account.public()).unwrap()).collect();
        assert!(sessions.session(&tokens[0]).is_none(), "the oldest made room");
        assert!(tokens[1..].iter().all(|token| sessions.session(token).is_some()));
    }
}
