//! Whole columns, files and samples: what the rules make of them.

use super::*;
use crate::ids::{SampleSeed, TxHash};
use crate::tx::{Damage, GrantTerms, SampleOutcome, TxError};

/// A network with an auditor, an asset of the first member's, and a bank on its list.
struct Stand {
    w: World,
    asset: AssetId,
    bank: AccountSecret,
    auditor: AccountSecret,
}

fn stand() -> Stand {
    let mut w = network();
    let (bank, auditor) = (secret("Bank", 8), secret("Auditor", 9));
    let policy =
        Policy { answer_window_blocks: 6, auditor: Some(auditor.public().clone()), ..w.genesis.policy.clone() };
    w.decide(Change::Policy(policy));
    for account in [&bank, &auditor] {
        w.send(account, TxBody::OpenAccount { account: account.public().clone(), identity: vec![] }).unwrap();
    }
    let asset = w.asset(0, "licences");
    Stand { w, asset, bank, auditor }
}

impl Stand {
    fn grant(&mut self, change: impl FnOnce(&mut GrantTerms)) {
        let mut terms = GrantTerms { whole: vec![1, 3], disclose: vec![], prove: vec![], ..terms() };
        change(&mut terms);
        let body = TxBody::Grant { asset: self.asset, to: self.bank.address(), terms };
        self.w.member(0, body).unwrap();
    }

    fn ask(&mut self, columns: Vec<u8>) -> Receipt {
        let (bank, body) = (self.bank.clone(), request_whole(self.asset, columns));
        self.w.send(&bank, body).unwrap()
    }

    fn denied(&mut self, columns: Vec<u8>) -> DenyReason {
        match self.ask(columns).outcome {
            Outcome::Denied { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    fn sample(&self, records: u16) -> TxBody {
        TxBody::RequestSample { asset: self.asset, seed: SampleSeed([4; 32]), records }
    }

    fn by_auditor(&mut self, body: TxBody) -> Result<Receipt, Rejection> {
        let auditor = self.auditor.clone();
        self.w.send(&auditor, body)
    }

    fn view(&self, hash: &TxHash) -> RequestView {
        let view = query::request(&self.w.index, hash).unwrap().unwrap();
        let listed = query::requests(&self.w.index, Some(&self.asset), None, 1_000).unwrap();
        assert!(listed.contains(&view), "the asset's list has every request");
        view
    }

    fn used(&self) -> u64 {
        query::grant(&self.w.index, &self.asset, &self.bank.address()).unwrap().unwrap().used
    }
}

#[test]
fn whole_columns_are_asked_for_and_delivered() {
    let mut s = stand();
    assert_eq!(s.denied(vec![1]), DenyReason::NoGrant);
    s.grant(|terms| terms.quota = Some(2));
    assert_eq!(s.denied(vec![1, 2]), DenyReason::Whole { column: 2 });
    let asked = s.ask(vec![1, 3]);
    let Outcome::Granted { version: 1, deadline } = asked.outcome else { panic!("{asked:?}") };
    assert_eq!(deadline, asked.height.plus(6));
    assert_eq!((s.used(), s.view(&asked.hash).asked), (1, Asked::Whole { columns: vec![1, 3] }));
    // A version in between changes nothing: the request is bound to the one it was asked at.
    s.w.member(0, TxBody::PublishVersion { asset: s.asset, version: version(2) }).unwrap();
    assert!(matches!(s.w.member(0, deliver(asked.hash, 2)), Err(Rejection::WrongVersion { bound: 1, found: 2, .. })));
    assert!(matches!(s.w.member(1, deliver(asked.hash, 1)), Err(Rejection::NotOwner { .. })));
    assert!(matches!(s.w.member(0, answer(asked.hash, 1)), Err(Rejection::OtherKind { needs: "Deliver", .. })));
    let delivered = s.w.member(0, deliver(asked.hash, 1)).unwrap();
    let view = s.view(&asked.hash);
    assert!(
        matches!(view.status, RequestStatus::Delivered { version: 1, delivery, bytes, .. } if delivery == delivered.hash && bytes == 1 << 20)
    );
    let json = serde_json::to_string(&view).unwrap();
    assert_eq!(serde_json::from_str::<RequestView>(&json).unwrap(), view);
    assert!(matches!(s.w.member(0, deliver(asked.hash, 1)), Err(Rejection::AlreadyAnswered { .. })));
    // A question in the same quota; then it is used up for both.
    s.grant(|terms| {
        terms.quota = Some(2);
        terms.disclose = vec![1];
    });
    s.ask(vec![1]);
    let (bank, question) = (s.bank.clone(), request(s.asset, vec![Item::Disclose(1)]));
    let question = s.w.send(&bank, question).unwrap();
    assert!(matches!(s.w.member(0, deliver(question.hash, 2)), Err(Rejection::OtherKind { needs: "Answer", .. })));
    assert_eq!(s.denied(vec![1]), DenyReason::QuotaUsed);
}

#[test]
fn windows_purposes_and_ends_hold_for_whole_columns() {
    let mut s = stand();
    s.grant(|terms| terms.purpose = "another".into());
    assert_eq!(s.denied(vec![1]), DenyReason::Purpose);
    s.grant(|terms| terms.not_before_ms = Some(u64::MAX));
    assert_eq!(s.denied(vec![1]), DenyReason::NotYet);
    s.grant(|terms| terms.until_ms = Some(1));
    assert_eq!(s.denied(vec![1]), DenyReason::Expired);
    // To ask questions is another right than to fetch.
    s.grant(|terms| (terms.disclose, terms.whole) = (vec![1], vec![]));
    assert_eq!(s.denied(vec![1]), DenyReason::Whole { column: 1 });
    s.grant(|terms| terms.quota = Some(1));
    let (bank, question) = (s.bank.clone(), request(s.asset, vec![Item::Disclose(1)]));
    let question = s.w.send(&bank, question).unwrap();
    assert_eq!(question.outcome, Outcome::Denied { reason: DenyReason::Field { column: 1 } });
    // Unanswered: the quota returns.
    let asked = s.ask(vec![1]);
    assert_eq!(s.denied(vec![1]), DenyReason::QuotaUsed);
    for number in 2..9 {
        s.w.member(0, TxBody::PublishVersion { asset: s.asset, version: version(number) }).unwrap();
    }
    assert!(matches!(s.view(&asked.hash).status, RequestStatus::Unanswered { .. }));
    assert_eq!(s.used(), 0);
    assert!(matches!(s.w.member(0, deliver(asked.hash, 1)), Err(Rejection::Unanswered { .. })));
    // Declined: so, too.
    let asked = s.ask(vec![1]);
    s.w.member(0, TxBody::Decline { request: asked.hash, reason: crate::tx::DeclineReason::TooLarge }).unwrap();
    assert_eq!(s.used(), 0);
    // Revoked in between: nothing may be delivered.
    let asked = s.ask(vec![1]);
    s.w.member(0, TxBody::Revoke { asset: s.asset, to: s.bank.address() }).unwrap();
    let refused = s.w.member(0, deliver(asked.hash, 8));
    assert!(matches!(refused, Err(Rejection::GrantGone { what: "was revoked", .. })), "{refused:?}");
    s.grant(|_| {});
    s.w.member(0, TxBody::Withdraw { asset: s.asset }).unwrap();
    assert_eq!(s.denied(vec![1]), DenyReason::Withdrawn);
}

#[test]
fn a_closed_account_is_given_nothing_that_it_had_asked_for() {
    let mut s = stand();
    s.grant(|terms| (terms.disclose, terms.quota) = (vec![1], Some(10)));
    let close = |account: &AccountSecret| TxBody::CloseAccount { account: account.address() };
    let ask = |s: &mut Stand| {
        let (bank, question) = (s.bank.clone(), request(s.asset, vec![Item::Disclose(1)]));
        (s.ask(vec![1]).hash, s.w.send(&bank, question).unwrap().hash)
    };
    // While it is open both are given.
    let (whole, question) = ask(&mut s);
    s.w.member(0, deliver(whole, 1)).unwrap();
    s.w.member(0, answer(question, 1)).unwrap();
    let ((whole, question), sample) = (ask(&mut s), s.sample(1));
    let (sample, bank, auditor) = (s.by_auditor(sample).unwrap().hash, s.bank.clone(), s.auditor.clone());
    s.w.send(&bank, close(&bank)).unwrap();
    let gone = |request| Err(Rejection::GrantGone { request, what: "is of an account that was closed" });
    assert_eq!(s.w.member(0, deliver(whole, 1)), gone(whole));
    assert_eq!(s.w.member(0, answer(question, 1)), gone(question));
    // They end as declined or unanswered, and the list has its quota back.
    assert_eq!(s.used(), 4);
    s.w.member(0, TxBody::Decline { request: question, reason: crate::tx::DeclineReason::TooLarge }).unwrap();
    assert_eq!(s.used(), 3);
    // The auditor's is open still, then closed too.
    s.w.member(0, deliver(sample, 1)).unwrap();
    let another = s.sample(1);
    let another = s.by_auditor(another).unwrap().hash;
    s.w.send(&auditor, close(&auditor)).unwrap();
    assert_eq!(s.w.member(0, deliver(another, 1)), gone(another));
    for number in 2..9 {
        s.w.member(0, TxBody::PublishVersion { asset: s.asset, version: version(number) }).unwrap();
    }
    assert!(matches!(s.view(&whole).status, RequestStatus::Unanswered { .. }));
    assert_eq!(s.used(), 2);
}

#[test]
fn a_replaced_account_asks_again_under_its_new_keys() {
    let mut s = stand();
    s.grant(|_| {});
    let (bank, asked, new) = (s.bank.clone(), s.ask(vec![1]).hash, secret("Bank", 18));
    s.w.send(&bank, TxBody::ReplaceAccount { successor: new.public().clone() }).unwrap();
    let gone = Rejection::GrantGone { request: asked, what: "is of an account that was closed" };
    assert_eq!(s.w.member(0, deliver(asked, 1)), Err(gone));
    let again = s.w.send(&new, request_whole(s.asset, vec![1])).unwrap();
    s.w.member(0, deliver(again.hash, 1)).unwrap();
}

#[test]
fn what_cannot_be_fetched_or_granted() {
    let mut s = stand();
    let mut refused = |body: TxBody, by_owner: bool| {
        let by = if by_owner { s.w.members[0].clone() } else { s.bank.clone() };
        match s.w.send(&by, body) {
            Err(Rejection::Malformed(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    for columns in [vec![], vec![1, 1], vec![3, 1], (0..32).collect()] {
        assert_eq!(refused(request_whole(s.asset, columns), false), TxError::WholeOrder);
    }
    assert!(matches!(refused(request_whole(s.asset, vec![4]), false), TxError::Use { column: 4, .. }));
    let to = s.bank.address();
    let mut grant = |whole: Vec<u8>| {
        let terms = GrantTerms { whole, ..terms() };
        refused(TxBody::Grant { asset: s.asset, to, terms }, true)
    };
    // The schema says whether a column may be disclosed at all, and so fetched.
    assert!(matches!(grant(vec![2]), TxError::Use { column: 2, usage: "fetched whole", .. }));
    assert!(matches!(grant(vec![9]), TxError::Use { column: 9, .. }));
    assert_eq!(grant(vec![1, 1]), TxError::DiscloseOrder);
    let mut body = deliver(TxHash([1; 32]), 1);
    if let TxBody::Deliver { bytes, .. } = &mut body {
        *bytes = (1 << 20) + 1;
    }
    assert_eq!(refused(body, true), TxError::Delivered((1 << 20) + 1));
    for (suite, hash, what) in [("AES-128-GCM", "BLAKE3", "cipher suite"), ("SM4-GCM", "MD5", "hash algorithm")] {
        let version = crate::tx::VersionInfo { cipher_suite: suite.into(), hash_algorithm: hash.into(), ..version(2) };
        let error = refused(TxBody::PublishVersion { asset: s.asset, version }, true);
        assert!(matches!(error, TxError::Algorithm { what: found, .. } if found == what));
    }
}

#[test]
fn files_are_registered_granted_and_fetched_whole() {
    let mut s = stand();
    s.w.member(0, register_file("map")).unwrap();
    let file = asset_id(&s.w.genesis, &s.w.members[0].address(), "map");
    let (to, bank) = (s.bank.address(), s.bank.clone());
    let mut grant = |terms: GrantTerms| s.w.member(0, TxBody::Grant { asset: file, to, terms });
    let none = GrantTerms { disclose: vec![], prove: vec![], ..terms() };
    for terms in [GrantTerms { disclose: vec![0], ..none.clone() }, GrantTerms { existence: true, ..none.clone() }] {
        assert_eq!(grant(terms), Err(Rejection::Malformed(TxError::NoRecords)));
    }
    grant(GrantTerms { whole: vec![0], ..none }).unwrap();
    let asked = s.w.send(&bank, request_whole(file, vec![0])).unwrap();
    assert!(matches!(asked.outcome, Outcome::Granted { .. }));
    s.w.member(0, deliver(asked.hash, 1)).unwrap();
    assert_eq!(s.w.send(&bank, request(file, vec![])), Err(Rejection::Malformed(TxError::NoRecords)));
    let sample = TxBody::RequestSample { asset: file, seed: SampleSeed([1; 32]), records: 1 };
    assert_eq!(s.by_auditor(sample), Err(Rejection::Malformed(TxError::NoRecords)));
    type Spoil = fn(&mut TxBody);
    let change: [(&str, Spoil); 5] = [
        ("schema", |body| {
            if let TxBody::RegisterAsset { schema, .. } = body {
                schema.columns[0].allowed.prove = true;
            }
        }),
        ("schema", |body| {
            if let TxBody::RegisterAsset { schema, .. } = body {
                schema.key = vec![0];
            }
        }),
        ("budget", |body| {
            if let TxBody::RegisterAsset { budgets, .. } = body {
                *budgets = vec![1];
            }
        }),
        ("place key", |body| {
            if let TxBody::RegisterAsset { place_key, .. } = body {
                place_key.0[0] = 1;
            }
        }),
        ("", |body| {
            if let TxBody::RegisterAsset { data_type, .. } = body {
                *data_type = "folder".into();
            }
        }),
    ];
    for (what, change) in change {
        let mut body = register_file("other");
        change(&mut body);
        match s.w.member(0, body) {
            Err(Rejection::Malformed(TxError::File(found))) => assert_eq!(found, what),
            Err(Rejection::Malformed(TxError::DataType(found))) => assert_eq!((what, found.as_str()), ("", "folder")),
            other => panic!("{other:?}"),
        }
    }
    // A file's schema is no table's.
    let mut body = register_file("other");
    if let TxBody::RegisterAsset { data_type, .. } = &mut body {
        *data_type = "table".into();
    }
    assert!(matches!(s.w.member(0, body), Err(Rejection::Malformed(TxError::Schema(_)))));
}

#[test]
fn the_auditor_takes_samples_and_says_what_was_found() {
    let mut s = stand();
    let (bank, sample) = (s.bank.clone(), s.sample(100));
    assert_eq!(s.w.send(&bank, sample.clone()), Err(Rejection::NotAuditor(bank.address())));
    for records in [0, 1001] {
        let body = s.sample(records);
        assert_eq!(s.by_auditor(body), Err(Rejection::Malformed(TxError::Sample(records))));
    }
    let asked = s.by_auditor(sample).unwrap();
    // Without a grant, and with time for its records.
    assert_eq!(asked.outcome, Outcome::Granted { version: 1, deadline: asked.height.plus(18) });
    let result = |request, outcome| TxBody::SampleResult { request, outcome, report: Digest([6; 32]) };
    let whole = result(asked.hash, SampleOutcome::Whole);
    assert_eq!(s.by_auditor(whole.clone()), Err(Rejection::NoSample(asked.hash)));
    s.w.member(0, deliver(asked.hash, 1)).unwrap();
    assert_eq!(s.w.send(&bank, whole), Err(Rejection::NoSample(asked.hash)));
    let damaged = SampleOutcome::Damaged { what: Damage::Ciphertext };
    let found = s.by_auditor(result(asked.hash, damaged)).unwrap();
    let view = s.view(&asked.hash);
    let checked = view.checked.unwrap();
    assert_eq!((checked.outcome, checked.result, checked.entry_index), (damaged, found.hash, found.entry_index));
    assert!(matches!(view.status, RequestStatus::Delivered { .. }));
    assert_eq!(s.by_auditor(result(asked.hash, SampleOutcome::Whole)), Err(Rejection::NoSample(asked.hash)));
    // A fetch is no sample to report on.
    s.grant(|_| {});
    let fetched = s.ask(vec![1]);
    s.w.member(0, deliver(fetched.hash, 1)).unwrap();
    let refused = s.w.send(&bank, result(fetched.hash, SampleOutcome::Whole));
    assert_eq!(refused, Err(Rejection::NoSample(fetched.hash)));
    // Who is the auditor no longer gets nothing more.
    let body = s.sample(1);
    let asked = s.by_auditor(body.clone()).unwrap();
    let policy = Policy { auditor: None, ..s.w.genesis.policy.clone() };
    s.w.decide(Change::Policy(policy));
    let refused = s.w.member(0, deliver(asked.hash, 1));
    assert!(matches!(refused, Err(Rejection::GrantGone { what: "is no longer the auditor's", .. })), "{refused:?}");
    assert_eq!(s.by_auditor(body), Err(Rejection::NotAuditor(s.auditor.address())));
    s.w.member(0, TxBody::Withdraw { asset: s.asset }).unwrap();
}
