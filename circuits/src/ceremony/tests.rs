use ark_bls12_381::Fr;
use ark_ec::CurveGroup;
use zeroize::Zeroizing;

use super::contribution::Factor;
use super::points::Point;
use super::*;
use crate::bytes::tagged_hash;
use crate::r1cs::{Backend, Shape};

fn quiet(_: &'static str, _: u64, _: u64) {}

/// A chain of `squares` squarings that ends in a public input.
fn relation(name: &str, squares: usize) -> Relation {
    let mut shape = Shape::default();
    let end = shape.public(Fr::from(0u64));
    let mut last = shape.witness(Fr::from(0u64));
    for _ in 0..squares {
        last = shape.product(&last.clone(), &last);
    }
    shape.enforce(&last, &shape.constant(Fr::from(1u64)), &end);
    Relation { name: name.into(), shape }
}

/// Domains of 8 and 4 places.
fn family() -> Vec<Relation> {
    vec![relation("long", 4), relation("short", 1)]
}

fn signature(contributor: &[u8], digest: &CeremonyDigest) -> [u8; 64] {
    let hash = tagged_hash("test/signature", &[contributor, &digest.0]);
    [hash, hash].concat().try_into().unwrap()
}

fn signed(listed: &Listed) -> Result<(), String> {
    let good = signature(&listed.contributor, &listed.digest) == listed.signature;
    if good { Ok(()) } else { Err("not theirs".into()) }
}

/// Signatures that an attacker has made again.
fn resigned(_: &Listed) -> Result<(), String> {
    Ok(())
}

fn contribute(ceremony: &mut Ceremony, who: &str) -> Listed {
    let randomness = Randomness::draw(Zeroizing::new(who.into())).unwrap();
    let sign = |digest: &CeremonyDigest| signature(who.as_bytes(), digest);
    ceremony.contribute(who.as_bytes(), &randomness, sign, &quiet).unwrap()
}

/// Three contributions to each phase.
fn finished() -> Ceremony {
    let mut ceremony = Ceremony::start_with("test", [3; 32], family()).unwrap();
    ["alice", "bob", "carol"].iter().for_each(|who| drop(contribute(&mut ceremony, who)));
    ceremony.advance(&quiet).unwrap();
    ["bob", "alice", "dora"].iter().for_each(|who| drop(contribute(&mut ceremony, who)));
    ceremony
}

fn read(bytes: &[u8]) -> Result<Transcript, CeremonyError> {
    Ok(Transcript(State::from_bytes(bytes, family(), &quiet)?))
}

fn verify(bytes: &[u8], signatures: &SignatureCheck) -> Result<Ceremony, CeremonyError> {
    read(bytes)?.verify(signatures, &quiet)
}

/// What is found in a finished ceremony after a change.
fn found(bytes: &[u8], signatures: &SignatureCheck, change: impl FnOnce(&mut State)) -> CeremonyError {
    let mut state = read(bytes).unwrap().0;
    change(&mut state);
    // Through bytes again, as an attacker's file would come.
    verify(&state.to_bytes(), signatures).unwrap_err()
}

fn contributions(state: &mut State, phase: Phase) -> &mut Vec<Contribution> {
    match phase {
        Phase::Powers => &mut state.first,
        Phase::Keys => &mut state.second.as_mut().unwrap().contributions,
    }
}

fn key(state: &mut State, number: usize) -> &mut Key {
    &mut state.second.as_mut().unwrap().keys[number]
}

fn twice<P: Point>(point: &mut P) {
    *point = (*point + *point).into_affine();
}

const PHASES: [Phase; 2] = [Phase::Powers, Phase::Keys];

#[test]
fn three_contributions_to_each_phase_are_verified_from_bytes() {
    let ceremony = finished();
    let bytes = ceremony.to_bytes();
    let read = verify(&bytes, &signed).unwrap();
    assert_eq!(read.to_bytes(), bytes);
    assert_eq!((read.name(), read.phase(), read.digest()), ("test", Phase::Keys, ceremony.digest()));
    let listed = read.contributions();
    let names: Vec<_> = listed.iter().map(|l| (l.phase, l.number, String::from_utf8_lossy(&l.contributor))).collect();
    let expected = [(Phase::Powers, 1, "alice"), (Phase::Powers, 2, "bob"), (Phase::Powers, 3, "carol")];
    assert!(names.iter().zip(expected).all(|(found, (phase, number, who))| *found == (phase, number, who.into())));
    assert_eq!(listed.last().unwrap().digest, read.digest());
    assert_eq!(names.len(), 6);

    // Whoever closes phase 1 again gets the same keys.
    let mut again = read.0;
    let second = again.second.take().unwrap();
    let keys = specialise(&again.powers, &again.relations, &quiet).unwrap();
    for (key, made) in keys.into_iter().zip(second.keys) {
        assert_eq!((key.a, key.b_g1, key.b_g2, key.inputs), (made.a, made.b_g1, made.b_g2, made.inputs));
        assert_ne!((key.h, key.l), (made.h, made.l), "delta is no longer one");
    }
}

#[test]
fn every_altered_element_of_a_contribution_is_found_and_named() {
    let bytes = finished().to_bytes();
    type Case = (fn(&mut Factor), fn(&Fault) -> bool);
    let points: [Case; 4] = [
        (|factor| twice(&mut factor.after), |fault| matches!(fault, Fault::Step(_))),
        (|factor| twice(&mut factor.factor_g1), |fault| matches!(fault, Fault::Groups(_))),
        (|factor| twice(&mut factor.factor_g2), |fault| matches!(fault, Fault::Groups(_))),
        (|factor| twice(&mut factor.proof), |fault| matches!(fault, Fault::Knowledge(_))),
    ];
    for phase in PHASES {
        for index in 0..3 {
            let factors = read(&bytes).unwrap().0.contributions(phase)[index].factors.len();
            assert_eq!(factors, if phase == Phase::Powers { 3 } else { 2 });
            for factor in 0..factors {
                for (change, expected) in points {
                    let alter = |state: &mut State| change(&mut contributions(state, phase)[index].factors[factor]);
                    let error = found(&bytes, &resigned, alter);
                    let CeremonyError::Contribution { phase: at, number, fault } = &error else { panic!("{error}") };
                    assert_eq!((*at, *number), (phase, index + 1), "{error}");
                    assert!(expected(fault), "{error}");
                    // With the true signatures, these show it first.
                    let error = found(&bytes, &signed, alter);
                    let fault = Fault::Signature("not theirs".into());
                    assert_eq!(error, CeremonyError::Contribution { phase, number: index + 1, fault });
                }
            }
            for change in [(|c: &mut Contribution| c.signature[5] ^= 1) as fn(&mut Contribution), |c| {
                c.contributor = b"mallory".to_vec()
            }] {
                let error = found(&bytes, &signed, |state| change(&mut contributions(state, phase)[index]));
                assert!(
                    matches!(error, CeremonyError::Contribution { number, fault: Fault::Signature(_), .. } if number == index + 1)
                );
            }
            // Somebody else's contribution in one's own name: its proof is not of their knowledge.
            let error =
                found(&bytes, &resigned, |state| contributions(state, phase)[index].contributor = b"eve".to_vec());
            assert!(
                matches!(&error, CeremonyError::Contribution { number, fault: Fault::Knowledge(_), .. } if *number == index + 1),
                "{error}"
            );
        }
    }
}

#[test]
fn repeated_reordered_dropped_and_replaced_contributions_are_found_and_named() {
    let bytes = finished().to_bytes();
    let other = read(&finished().to_bytes()).unwrap().0;
    for phase in PHASES {
        type Change<'a> = Box<dyn Fn(&mut Vec<Contribution>) + 'a>;
        let theirs = other.contributions(phase).to_vec();
        let cases: [(Change, usize); 8] = [
            (Box::new(|all| all.insert(1, all[0].clone())), 2),
            (Box::new(|all| all.push(all[2].clone())), 4),
            (Box::new(|all| all.swap(0, 1)), 1),
            (Box::new(|all| all.swap(1, 2)), 2),
            (Box::new(|all| drop(all.remove(0))), 1),
            (Box::new(|all| drop(all.remove(1))), 2),
            (Box::new(|all| all[1] = theirs[1].clone()), 2),
            (Box::new(|all| all[2] = theirs[2].clone()), 3),
        ];
        for (case, (change, expected)) in cases.iter().enumerate() {
            for signatures in [&signed as &SignatureCheck, &resigned] {
                let error = found(&bytes, signatures, |state| change(contributions(state, phase)));
                assert!(
                    matches!(&error, CeremonyError::Contribution { phase: at, number, fault: Fault::Knowledge(_) | Fault::Signature(_) } if (*at, *number) == (phase, *expected)),
                    "case {case} of {phase}: {error}"
                );
            }
        }
    }
    // Without the last, nothing in the chain is wrong, and the state is another's.
    let error = found(&bytes, &resigned, |state| drop(state.first.pop()));
    assert!(matches!(error, CeremonyError::Powers(what) if what.contains("last contribution")));
    let error = found(&bytes, &signed, |state| drop(contributions(state, Phase::Keys).pop()));
    assert!(matches!(error, CeremonyError::Key { what, .. } if what.contains("last contribution")));
    // Phase 1 of another ceremony of the same name.
    let error = found(&bytes, &signed, |state| {
        state.first.clone_from(&other.first);
        state.powers = other.powers.clone();
    });
    assert!(matches!(error, CeremonyError::Contribution { phase: Phase::Keys, number: 1, .. }), "{error}");
    let error = found(&bytes, &signed, |state| state.nonce = [4; 32]);
    assert!(matches!(error, CeremonyError::Contribution { phase: Phase::Powers, number: 1, .. }), "{error}");
}

#[test]
fn a_contribution_that_starts_over_or_proves_nothing_is_found() {
    let bytes = finished().to_bytes();
    let mut mallory = Ceremony(read(&bytes).unwrap().0);
    let made = contribute(&mut mallory, "mallory");
    assert_eq!((made.phase, made.number), (Phase::Keys, 4));
    verify(&mallory.to_bytes(), &signed).unwrap();
    // delta is mallory's alone: what others did is undone.
    let error = found(&mallory.to_bytes(), &resigned, |state| {
        let mine = contributions(state, Phase::Keys).last_mut().unwrap();
        mine.factors.iter_mut().for_each(|factor| factor.after = factor.factor_g1);
        for number in 0..2 {
            let factor = contributions(state, Phase::Keys).last().unwrap().factors[number];
            key(state, number).delta_g1 = factor.factor_g1;
            key(state, number).delta_g2 = factor.factor_g2;
        }
    });
    assert!(matches!(error, CeremonyError::Contribution { number: 4, fault: Fault::Step(_), .. }), "{error}");
    // A factor whose logarithm mallory does not know: another's, squared away or doubled.
    let error = found(&mallory.to_bytes(), &resigned, |state| {
        let mine = &mut contributions(state, Phase::Keys).last_mut().unwrap().factors[0];
        twice(&mut mine.after);
        twice(&mut mine.factor_g1);
        twice(&mut mine.factor_g2);
        twice(&mut mine.proof);
    });
    assert!(matches!(error, CeremonyError::Contribution { number: 4, fault: Fault::Knowledge(_), .. }), "{error}");
}

#[test]
fn powers_and_keys_that_are_not_from_the_contributions_are_found_and_named() {
    let bytes = finished().to_bytes();
    type Change = fn(&mut Powers);
    let changes: [Change; 8] = [
        |powers| twice(&mut powers.tau_g1[0]),
        |powers| twice(&mut powers.tau_g1[1]),
        |powers| twice(&mut powers.tau_g1[14]),
        |powers| twice(&mut powers.tau_g2[1]),
        |powers| twice(&mut powers.tau_g2[7]),
        |powers| twice(&mut powers.alpha_g1[7]),
        |powers| twice(&mut powers.beta_g1[3]),
        |powers| twice(&mut powers.beta_g2),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let error = found(&bytes, &signed, |state| change(&mut state.powers));
        assert!(matches!(error, CeremonyError::Powers(_)), "{number}: {error}");
    }
    type KeyChange = fn(&mut Key);
    let changes: [(KeyChange, &str); 9] = [
        (|key| twice(&mut key.delta_g1), "delta"),
        (|key| twice(&mut key.delta_g2), "delta"),
        (|key| twice(&mut key.inputs[1]), "public inputs"),
        (|key| twice(&mut key.a[2]), "query a"),
        (|key| twice(&mut key.b_g1[2]), "query b in G1"),
        (|key| twice(&mut key.b_g2[2]), "query b in G2"),
        (|key| twice(key.h.last_mut().unwrap()), "query h"),
        (|key| twice(&mut key.l[0]), "query l"),
        (|key| key.l.swap(0, 1), "query l"),
    ];
    for (change, expected) in changes {
        for (number, circuit) in ["long", "short"].into_iter().enumerate() {
            let error = found(&bytes, &signed, |state| change(key(state, number)));
            assert!(
                matches!(&error, CeremonyError::Key { circuit: at, what } if at == circuit && what.contains(expected)),
                "{expected}: {error}"
            );
        }
    }
}

#[test]
fn phases_are_in_order_and_not_empty() {
    let mut ceremony = Ceremony::start_with("test", [3; 32], family()).unwrap();
    verify(&ceremony.to_bytes(), &signed).unwrap();
    assert!(matches!(ceremony.advance(&quiet), Err(CeremonyError::Order(_))));
    assert!(ceremony.proving_keys().is_err());
    contribute(&mut ceremony, "alice");
    let before = ceremony.digest();
    ceremony.advance(&quiet).unwrap();
    assert_ne!(ceremony.digest(), before);
    assert!(matches!(ceremony.advance(&quiet), Err(CeremonyError::Order(_))));
    assert!(matches!(ceremony.proving_keys(), Err(CeremonyError::Order(_))));
    // Closed without a contribution: tau is one.
    let error = found(&ceremony.to_bytes(), &signed, |state| {
        state.first.clear();
        state.powers = Powers::start(8);
        let keys = state.second.as_mut().unwrap();
        // Keys for tau = 1 hold identities, which cannot even be read; others do for the test.
        keys.contributions.clear();
    });
    assert!(matches!(error, CeremonyError::Order(_)), "{error}");
    for name in ["", "a\nb", &"x".repeat(101)] {
        assert!(matches!(Ceremony::start(name, [0; 32]), Err(CeremonyError::Name(_))));
    }
    let other = State::from_bytes(&ceremony.to_bytes(), vec![relation("long", 4)], &quiet);
    assert!(matches!(other, Err(CeremonyError::Family)));
    let other = State::from_bytes(&ceremony.to_bytes(), vec![relation("long", 4), relation("short", 2)], &quiet);
    assert!(matches!(other, Err(CeremonyError::Family)));
}

#[test]
fn identity_points_and_damage_are_refused() {
    let ceremony = finished();
    let bytes = ceremony.to_bytes();
    let g1 = contributions(&mut read(&bytes).unwrap().0, Phase::Powers)[1].factors[0].factor_g1.to_bytes();
    let g2 = key(&mut read(&bytes).unwrap().0, 0).delta_g2.to_bytes();
    let h = key(&mut read(&bytes).unwrap().0, 0).h[0].to_bytes();
    for point in [g1, g2, h] {
        let at = bytes.windows(point.len()).position(|window| window == point).unwrap();
        let mut zero = bytes.clone();
        zero[at..at + point.len()].fill(0);
        zero[at] = 0xc0;
        assert!(matches!(read(&zero), Err(CeremonyError::Decode(_))), "the identity");
        zero[at] = 0x80;
        assert!(matches!(read(&zero), Err(CeremonyError::Decode(_))), "no point, or outside the subgroup");
    }
    for length in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        assert!(read(&bytes[..length]).is_err(), "{length}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(read(&longer).is_err());
    for position in (0..bytes.len()).step_by(31) {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1 << (position % 8);
        assert!(verify(&damaged, &signed).is_err(), "{position}");
    }
    let noise: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert!(read(&noise).is_err());
}
