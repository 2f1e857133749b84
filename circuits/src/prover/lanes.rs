//! Arithmetic in the curve's base fields for sums of many points: as many elements side by side
//! as the machine multiplies at once. [`Plain`] is arkworks' own, one at a time; `Ifma` does eight
//! with AVX-512's 52-bit multiplier where the processor has one; [`Quadratic`] builds the field
//! of G2 from either. What they compute is the same, and tests hold them against each other.

use std::marker::PhantomData;

use ark_bls12_381::{Fq, Fq2};
use ark_ff::Field;

#[cfg(target_arch = "x86_64")]
mod ifma;
#[cfg(target_arch = "x86_64")]
pub(super) use ifma::Ifma;

/// The most lanes any implementation has.
pub(super) const LANES_MAX: usize = 8;

/// A field's arithmetic on [`Lanes::COUNT`] elements at once.
pub(super) trait Lanes: Copy + Send + Sync {
    /// The field.
    type Exact: Field;
    /// An element in memory.
    type Stored: Copy + Default + Send + Sync;
    /// `COUNT` elements in registers.
    type Wide: Copy;
    /// How many at once, at most [`LANES_MAX`].
    const COUNT: usize;

    /// An element as it is kept in memory.
    fn store(self, exact: &Self::Exact) -> Self::Stored;
    /// The element that is kept.
    fn exact(self, stored: &Self::Stored) -> Self::Exact;
    /// Takes one element a lane.
    fn load(self, of_lane: impl Fn(usize) -> Self::Stored) -> Self::Wide;
    /// The lanes' elements, which must come out of `mul`, `square` or `reduce`. Only the first
    /// `COUNT` mean something.
    fn unload(self, wide: &Self::Wide) -> [Self::Stored; LANES_MAX];
    /// Negates in some lanes. The result may only be subtracted from or with.
    fn flip(self, wide: &Self::Wide, in_lane: impl Fn(usize) -> bool) -> Self::Wide;
    /// a - b, of a loaded, flipped, multiplied or once subtracted a and a loaded, flipped,
    /// multiplied or reduced b.
    fn sub(self, a: &Self::Wide, b: &Self::Wide) -> Self::Wide;
    /// a · b, of whatever `sub` takes or gives but is not flipped.
    fn mul(self, a: &Self::Wide, b: &Self::Wide) -> Self::Wide;
    /// a · a.
    fn square(self, a: &Self::Wide) -> Self::Wide;
    /// Makes the result of `sub` fit for `unload`.
    fn reduce(self, a: &Self::Wide) -> Self::Wide;
    /// Runs work with the machine instructions that this implementation is made of.
    fn run<W: Work>(self, work: W) -> W::Output;
}

/// What [`Lanes::run`] runs. `call` and what it uses of `Lanes` must be `inline(always)`.
pub(super) trait Work {
    /// What comes of it.
    type Output;
    /// Does it.
    fn call(self) -> Self::Output;
}

/// arkworks' arithmetic.
pub(super) struct Plain<F>(PhantomData<F>);

impl<F> Plain<F> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<F> Clone for Plain<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Plain<F> {}

impl<F: Field> Lanes for Plain<F> {
    type Exact = F;
    type Stored = F;
    type Wide = F;
    const COUNT: usize = 1;

    fn store(self, exact: &F) -> F {
        *exact
    }
    fn exact(self, stored: &F) -> F {
        *stored
    }
    #[inline(always)]
    fn load(self, of_lane: impl Fn(usize) -> F) -> F {
        of_lane(0)
    }
    #[inline(always)]
    fn unload(self, wide: &F) -> [F; LANES_MAX] {
        [*wide; LANES_MAX]
    }
    #[inline(always)]
    fn flip(self, wide: &F, in_lane: impl Fn(usize) -> bool) -> F {
        if in_lane(0) { -*wide } else { *wide }
    }
    #[inline(always)]
    fn sub(self, a: &F, b: &F) -> F {
        *a - b
    }
    #[inline(always)]
    fn mul(self, a: &F, b: &F) -> F {
        *a * b
    }
    #[inline(always)]
    fn square(self, a: &F) -> F {
        Field::square(a)
    }
    #[inline(always)]
    fn reduce(self, a: &F) -> F {
        *a
    }
    fn run<W: Work>(self, work: W) -> W::Output {
        work.call()
    }
}

/// The field of G2, Fq[u] / (u^2 + 1), over lanes of Fq that lend it three more operations.
#[derive(Clone, Copy)]
pub(super) struct Quadratic<L>(pub(super) L);

/// What a quadratic extension needs beyond [`Lanes`].
pub(super) trait Base: Lanes<Exact = Fq> {
    /// a + b, under `mul`'s conditions for both and fit only for `mul`.
    fn add(self, a: &Self::Wide, b: &Self::Wide) -> Self::Wide;
}

impl<L: Base> Lanes for Quadratic<L> {
    type Exact = Fq2;
    type Stored = (L::Stored, L::Stored);
    type Wide = (L::Wide, L::Wide);
    const COUNT: usize = L::COUNT;

    fn store(self, exact: &Fq2) -> Self::Stored {
        (self.0.store(&exact.c0), self.0.store(&exact.c1))
    }
    fn exact(self, stored: &Self::Stored) -> Fq2 {
        Fq2::new(self.0.exact(&stored.0), self.0.exact(&stored.1))
    }
    #[inline(always)]
    fn load(self, of_lane: impl Fn(usize) -> Self::Stored) -> Self::Wide {
        (self.0.load(|lane| of_lane(lane).0), self.0.load(|lane| of_lane(lane).1))
    }
    #[inline(always)]
    fn unload(self, wide: &Self::Wide) -> [Self::Stored; LANES_MAX] {
        let (mut c0, mut c1) = (self.0.unload(&wide.0).into_iter(), self.0.unload(&wide.1).into_iter());
        std::array::from_fn(|_| (c0.next().unwrap_or_default(), c1.next().unwrap_or_default()))
    }
    #[inline(always)]
    fn flip(self, wide: &Self::Wide, in_lane: impl Fn(usize) -> bool) -> Self::Wide {
        (self.0.flip(&wide.0, &in_lane), self.0.flip(&wide.1, &in_lane))
    }
    #[inline(always)]
    fn sub(self, a: &Self::Wide, b: &Self::Wide) -> Self::Wide {
        (self.0.sub(&a.0, &b.0), self.0.sub(&a.1, &b.1))
    }
    #[inline(always)]
    fn mul(self, a: &Self::Wide, b: &Self::Wide) -> Self::Wide {
        // Karatsuba: three products.
        let l = self.0;
        let (low, high) = (l.mul(&a.0, &b.0), l.mul(&a.1, &b.1));
        let cross = l.mul(&l.add(&a.0, &a.1), &l.add(&b.0, &b.1));
        (l.reduce(&l.sub(&low, &high)), l.reduce(&l.sub(&l.sub(&cross, &low), &high)))
    }
    #[inline(always)]
    fn square(self, a: &Self::Wide) -> Self::Wide {
        // (a0 + a1)(a0 - a1) and 2 a0 a1.
        let l = self.0;
        let real = l.mul(&l.add(&a.0, &a.1), &l.sub(&a.0, &a.1));
        (real, l.mul(&l.add(&a.0, &a.0), &a.1))
    }
    #[inline(always)]
    fn reduce(self, a: &Self::Wide) -> Self::Wide {
        (self.0.reduce(&a.0), self.0.reduce(&a.1))
    }
    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Output {
        self.0.run(work)
    }
}

impl Base for Plain<Fq> {
    #[inline(always)]
    fn add(self, a: &Fq, b: &Fq) -> Fq {
        *a + b
    }
}
