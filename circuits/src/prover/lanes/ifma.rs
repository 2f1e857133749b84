//! Eight elements of Fq at once with AVX-512 IFMA, which multiplies 52-bit limbs.
//!
//! An element is eight limbs of 52 bits, in Montgomery form with R = 2^416. R exceeds p by 35 bits,
//! which is what saves nearly all reductions: for a, b below 2^k p the Montgomery product is below
//! 2^(2k - 35) p + p, so whatever stays below 2^17 p may be multiplied, and comes out below 2p.

#![expect(clippy::indexing_slicing, reason = "arrays of eight, indices below it by construction")]

use std::arch::x86_64::__m512i;
use std::sync::LazyLock;

use ark_bls12_381::Fq;
use ark_ff::{BigInt, Field, PrimeField};

use super::{Base, LANES_MAX, Lanes, Work};

const LIMBS: usize = 8;
const LIMB_BITS: u32 = 52;
const MASK: u64 = (1 << LIMB_BITS) - 1;

const P: [u64; LIMBS] = split(&Fq::MODULUS.0);
/// 64 p, limb for limb: added before a subtraction so that the result is not negative.
const P64: [u64; LIMBS] = scaled(64);
/// -1/p modulo 2^52.
const P_INVERSE: u64 = {
    // Newton's iteration doubles the bits that are right; p itself is right to three.
    let (mut inverse, mut round) = (P[0], 0);
    while round < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(P[0].wrapping_mul(inverse)));
        round += 1;
    }
    inverse.wrapping_neg() & MASK
};
/// 2^52 over the highest limb of p plus one: estimates quotients, never too high.
const QUOTIENT: u64 = (1 << LIMB_BITS) / (P[LIMBS - 1] + 1);

/// arkworks' Montgomery form has R = 2^384; this is what lies between.
static TO_OURS: LazyLock<Fq> = LazyLock::new(|| Fq::from(1u64 << 32));
static FROM_OURS: LazyLock<Fq> = LazyLock::new(|| TO_OURS.inverse().unwrap_or_default());

/// Cuts 64-bit limbs into 52-bit ones.
const fn split(words: &[u64; 6]) -> [u64; LIMBS] {
    let mut limbs = [0; LIMBS];
    let mut i = 0;
    while i < LIMBS {
        let at = i * LIMB_BITS as usize;
        let (word, shift) = (at / 64, at % 64);
        limbs[i] = words[word] >> shift;
        if shift > 12 && word + 1 < 6 {
            limbs[i] |= words[word + 1] << (64 - shift);
        }
        limbs[i] &= MASK;
        i += 1;
    }
    limbs
}

/// Puts 52-bit limbs together to a number below 2^384.
fn join(limbs: &[u64; LIMBS]) -> [u64; 6] {
    let mut words = [0; 6];
    for (i, limb) in limbs.iter().enumerate() {
        let at = i * LIMB_BITS as usize;
        let (word, shift) = (at / 64, at % 64);
        words[word] |= limb << shift;
        if shift > 12 && word + 1 < 6 {
            words[word + 1] |= limb >> (64 - shift);
        }
    }
    words
}

const fn scaled(factor: u64) -> [u64; LIMBS] {
    let mut limbs = P;
    let mut i = 0;
    while i < LIMBS {
        limbs[i] *= factor;
        i += 1;
    }
    limbs
}

pulp::simd_type! {
    /// Proof that the processor has the instructions.
    struct Features {
        f: "avx512f",
        ifma: "avx512ifma",
    }
}

/// The implementation; exists only where the processor has the instructions.
#[derive(Clone, Copy)]
pub(in crate::prover) struct Ifma(Features);

type Wide = [__m512i; LIMBS];

impl Ifma {
    /// `None` on a processor without AVX-512 IFMA.
    pub(in crate::prover) fn detect() -> Option<Self> {
        Features::try_new().map(Self)
    }

    #[inline(always)]
    fn splat(self, word: u64) -> __m512i {
        self.0.f._mm512_set1_epi64(word as i64)
    }

    /// Makes all limbs 52 bits again, of a number that as a whole is not negative.
    #[inline(always)]
    fn carry(self, mut t: Wide) -> Wide {
        let f = self.0.f;
        let mask = self.splat(MASK);
        for i in 0..LIMBS - 1 {
            t[i + 1] = f._mm512_add_epi64(t[i + 1], f._mm512_srai_epi64::<LIMB_BITS>(t[i]));
            t[i] = f._mm512_and_si512(t[i], mask);
        }
        t
    }

    /// Swaps rows and columns of eight by eight words.
    #[inline(always)]
    fn transpose(self, r: Wide) -> Wide {
        let f = self.0.f;
        let low = [
            f._mm512_unpacklo_epi64(r[0], r[1]),
            f._mm512_unpacklo_epi64(r[2], r[3]),
            f._mm512_unpacklo_epi64(r[4], r[5]),
            f._mm512_unpacklo_epi64(r[6], r[7]),
        ];
        let high = [
            f._mm512_unpackhi_epi64(r[0], r[1]),
            f._mm512_unpackhi_epi64(r[2], r[3]),
            f._mm512_unpackhi_epi64(r[4], r[5]),
            f._mm512_unpackhi_epi64(r[6], r[7]),
        ];
        let (even, odd) = (self.quarters(low), self.quarters(high));
        [even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3]]
    }

    /// The first quarter of each of four vectors, the second of each, and so on.
    #[inline(always)]
    fn quarters(self, v: [__m512i; 4]) -> [__m512i; 4] {
        let f = self.0.f;
        let (even, even2) = (f._mm512_shuffle_i64x2::<0x88>(v[0], v[1]), f._mm512_shuffle_i64x2::<0x88>(v[2], v[3]));
        let (odd, odd2) = (f._mm512_shuffle_i64x2::<0xdd>(v[0], v[1]), f._mm512_shuffle_i64x2::<0xdd>(v[2], v[3]));
        [
            f._mm512_shuffle_i64x2::<0x88>(even, even2),
            f._mm512_shuffle_i64x2::<0x88>(odd, odd2),
            f._mm512_shuffle_i64x2::<0xdd>(even, even2),
            f._mm512_shuffle_i64x2::<0xdd>(odd, odd2),
        ]
    }
}

/// Lets work of ours be run by `pulp`. A closure would do, but nothing would force it to be inlined
/// where the instructions are allowed, and then each is a call.
struct Inlined<W>(W);

impl<W: Work> pulp::NullaryFnOnce for Inlined<W> {
    type Output = W::Output;
    #[inline(always)]
    fn call(self) -> W::Output {
        self.0.call()
    }
}

impl Lanes for Ifma {
    type Exact = Fq;
    type Stored = [u64; LIMBS];
    type Wide = Wide;
    const COUNT: usize = LANES_MAX;

    fn store(self, exact: &Fq) -> Self::Stored {
        split(&(*exact * *TO_OURS).0.0)
    }

    fn exact(self, stored: &Self::Stored) -> Fq {
        let mut number = BigInt(join(stored));
        while number >= Fq::MODULUS {
            ark_ff::BigInteger::sub_with_borrow(&mut number, &Fq::MODULUS);
        }
        Fq::new_unchecked(number) * *FROM_OURS
    }

    #[inline(always)]
    fn load(self, of_lane: impl Fn(usize) -> Self::Stored) -> Wide {
        let mut rows = [self.splat(0); LIMBS];
        for (lane, row) in rows.iter_mut().enumerate() {
            *row = pulp::bytemuck::cast(of_lane(lane));
        }
        self.transpose(rows)
    }

    #[inline(always)]
    fn unload(self, wide: &Wide) -> [Self::Stored; LANES_MAX] {
        let columns = self.transpose(*wide);
        let mut lanes = [[0; LIMBS]; LANES_MAX];
        for (lane, column) in lanes.iter_mut().zip(columns) {
            *lane = pulp::bytemuck::cast(column);
        }
        lanes
    }

    #[inline(always)]
    fn flip(self, wide: &Wide, in_lane: impl Fn(usize) -> bool) -> Wide {
        let f = self.0.f;
        let mut signs = [0u64; LANES_MAX];
        for (lane, sign) in signs.iter_mut().enumerate() {
            *sign = u64::from(in_lane(lane)).wrapping_neg();
        }
        let signs: __m512i = pulp::bytemuck::cast(signs);
        let mut t = *wide;
        for limb in &mut t {
            *limb = f._mm512_sub_epi64(f._mm512_xor_si512(*limb, signs), signs);
        }
        t
    }

    #[inline(always)]
    fn sub(self, a: &Wide, b: &Wide) -> Wide {
        let f = self.0.f;
        let mut t = *a;
        for i in 0..LIMBS {
            t[i] = f._mm512_add_epi64(f._mm512_sub_epi64(a[i], b[i]), self.splat(P64[i]));
        }
        self.carry(t)
    }

    #[inline(always)]
    fn mul(self, a: &Wide, b: &Wide) -> Wide {
        let (f, m) = (self.0.f, self.0.ifma);
        let zero = self.splat(0);
        let inverse = self.splat(P_INVERSE);
        let mut p = [zero; LIMBS];
        for i in 0..LIMBS {
            p[i] = self.splat(P[i]);
        }
        let mut t = [zero; LIMBS];
        for a in a {
            for j in 0..LIMBS {
                t[j] = m._mm512_madd52lo_epu64(t[j], *a, b[j]);
            }
            let q = m._mm512_madd52lo_epu64(zero, t[0], inverse);
            for j in 0..LIMBS {
                t[j] = m._mm512_madd52lo_epu64(t[j], q, p[j]);
            }
            // The lowest limb is a multiple of 2^52 now: it goes up and all others go down.
            let up = f._mm512_srli_epi64::<LIMB_BITS>(t[0]);
            for j in 1..LIMBS {
                t[j - 1] = t[j];
            }
            t[LIMBS - 1] = zero;
            t[0] = f._mm512_add_epi64(t[0], up);
            for j in 0..LIMBS {
                t[j] = m._mm512_madd52hi_epu64(t[j], *a, b[j]);
            }
            for j in 0..LIMBS {
                t[j] = m._mm512_madd52hi_epu64(t[j], q, p[j]);
            }
        }
        self.carry(t)
    }

    #[inline(always)]
    fn square(self, a: &Wide) -> Wide {
        self.mul(a, a)
    }

    #[inline(always)]
    fn reduce(self, a: &Wide) -> Wide {
        let (f, m) = (self.0.f, self.0.ifma);
        let zero = self.splat(0);
        let q = m._mm512_madd52hi_epu64(zero, a[LIMBS - 1], self.splat(QUOTIENT));
        let mut t = *a;
        for i in 0..LIMBS {
            t[i] = f._mm512_sub_epi64(t[i], m._mm512_madd52lo_epu64(zero, q, self.splat(P[i])));
            if i + 1 < LIMBS {
                t[i + 1] = f._mm512_sub_epi64(t[i + 1], m._mm512_madd52hi_epu64(zero, q, self.splat(P[i])));
            }
        }
        self.carry(t)
    }

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Output {
        self.0.vectorize(Inlined(work))
    }
}

impl Base for Ifma {
    #[inline(always)]
    fn add(self, a: &Wide, b: &Wide) -> Wide {
        let f = self.0.f;
        let mut t = *a;
        for i in 0..LIMBS {
            t[i] = f._mm512_add_epi64(a[i], b[i]);
        }
        self.carry(t)
    }
}
