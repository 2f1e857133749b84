//! Sums of many points, bucket by bucket, with affine additions that share their inversions.
//!
//! All buckets are halved together, pair by pair, round after round; a round's additions do not
//! depend on each other, so one inversion serves thousands (P. Montgomery, "Speeding the Pollard
//! and Elliptic Curve Methods of Factorization", Math. Comp. 48, 1987, section 10.3.1). An
//! addition then costs 6 multiplications instead of 11 or more.

use std::marker::PhantomData;

use ark_ec::AffineRepr as _;
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{AdditiveGroup, Field};
use rayon::prelude::*;

use super::lanes::{LANES_MAX, Lanes, Work};

/// Additions that share an inversion: enough to forget it, few enough to stay in the cache.
const BATCH: usize = 4096;
/// Points that one task sums, about.
const SHARD: usize = 24_576;

/// A point other than the identity, as it is kept.
#[derive(Clone, Copy, Default)]
pub(super) struct Point<S> {
    x: S,
    y: S,
}

impl<S: Copy + Default> Point<S> {
    pub(super) fn store<P: SWCurveConfig, L: Lanes<Exact = P::BaseField, Stored = S>>(
        lanes: L,
        point: &Affine<P>,
    ) -> Option<Self> {
        (!point.is_zero()).then(|| Self { x: lanes.store(&point.x), y: lanes.store(&point.y) })
    }

    pub(super) fn exact<P: SWCurveConfig, L: Lanes<Exact = P::BaseField, Stored = S>>(&self, lanes: L) -> Affine<P> {
        Affine::new_unchecked(lanes.exact(&self.x), lanes.exact(&self.y))
    }
}

/// A point of a list by its place, or its negative.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(u32);

impl Entry {
    pub(super) fn new(place: u32, negative: bool) -> Self {
        Self(place << 1 | u32::from(negative))
    }
    fn place(self) -> usize {
        (self.0 >> 1) as usize
    }
    fn negative(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Buckets: lists of entries, one behind the other.
#[derive(Default)]
pub(super) struct Buckets {
    entries: Vec<Entry>,
    /// Where each bucket ends.
    ends: Vec<usize>,
}

impl Buckets {
    /// Sorts entries into `count` buckets.
    #[expect(clippy::indexing_slicing, reason = "the caller's numbers are below `count`; positions are sums of counts")]
    pub(super) fn sort(count: usize, numbered: &[(u32, Entry)]) -> Self {
        let mut ends = vec![0; count];
        for (bucket, _) in numbered {
            ends[*bucket as usize] += 1;
        }
        let mut total = 0;
        for end in &mut ends {
            total += *end;
            *end = total;
        }
        let mut entries = vec![Entry(0); total];
        // Filled from the back, so that each end moves to its bucket's start.
        for (bucket, entry) in numbered.iter().rev() {
            let place = &mut ends[*bucket as usize];
            *place -= 1;
            entries[*place] = *entry;
        }
        ends.push(total);
        ends.remove(0);
        Self { entries, ends }
    }

    /// Puts other buckets behind these.
    pub(super) fn append(&mut self, other: Self) {
        let before = self.entries.len();
        self.entries.extend(other.entries);
        self.ends.extend(other.ends.iter().map(|end| before + end));
    }

    /// How many buckets there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// These without the entries at places that vanished, which ascend.
    fn without(&self, vanished: &[usize]) -> Self {
        let mut left = Self::default();
        for list in self.lists() {
            let stays = |entry: &&Entry| vanished.binary_search(&entry.place()).is_err();
            left.entries.extend(list.iter().filter(stays));
            left.ends.push(left.entries.len());
        }
        left
    }

    fn lists(&self) -> impl Iterator<Item = &[Entry]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.entries.get(start..*end).unwrap_or_default())
    }
}

/// A bucket's sum: a point or its negative, or `None` for the identity.
pub(super) type Sum<S> = Option<(Point<S>, bool)>;

/// The sum of each bucket: of the points that its entries name.
pub(super) fn sums<P: SWCurveConfig, L: Lanes<Exact = P::BaseField>>(
    lanes: L,
    points: &[Point<L::Stored>],
    buckets: &Buckets,
) -> Vec<Sum<L::Stored>> {
    // Tasks of about the same number of points, whatever the buckets' sizes.
    let mut shards = vec![Buckets::default()];
    for list in buckets.lists() {
        if let Some(shard) = shards.last_mut() {
            shard.entries.extend_from_slice(list);
            shard.ends.push(shard.entries.len());
            if shard.entries.len() >= SHARD {
                shards.push(Buckets::default());
            }
        }
    }
    let sums = |buckets: Buckets| {
        lanes.run(Task::<P, L> { shard: Shard { lanes, points, made: Vec::new() }, buckets, curve: PhantomData })
    };
    shards.into_par_iter().map(sums).collect::<Vec<_>>().concat()
}

/// One shard's sums, as work for its lanes.
struct Task<'a, P, L: Lanes> {
    shard: Shard<'a, L>,
    buckets: Buckets,
    curve: PhantomData<P>,
}

impl<P: SWCurveConfig, L: Lanes<Exact = P::BaseField>> Work for Task<'_, P, L> {
    type Output = Vec<Sum<L::Stored>>;
    #[inline(always)]
    fn call(self) -> Self::Output {
        self.shard.sums::<P>(self.buckets)
    }
}

struct Shard<'a, L: Lanes> {
    lanes: L,
    points: &'a [Point<L::Stored>],
    /// Sums made so far; their places follow those of `points`.
    made: Vec<Point<L::Stored>>,
}

impl<L: Lanes> Shard<'_, L> {
    #[inline(always)]
    fn sums<P: SWCurveConfig<BaseField = L::Exact>>(mut self, mut buckets: Buckets) -> Vec<Sum<L::Stored>> {
        self.made.reserve(buckets.entries.len());
        let mut scratch = Vec::with_capacity(BATCH.div_ceil(L::COUNT));
        let mut pairs = Vec::new();
        // As long as some bucket holds more than one point:
        while buckets.entries.len() > buckets.lists().filter(|list| !list.is_empty()).count() {
            pairs.clear();
            let base = self.points.len() + self.made.len();
            let mut next = Buckets::default();
            for list in buckets.lists() {
                let first = base + pairs.len();
                let (halves, single) = list.as_chunks::<2>();
                pairs.extend(halves.iter().map(|[left, right]| (*left, *right)));
                let sums = first..base + pairs.len();
                next.entries.extend(sums.map(|place| Entry::new(place as u32, false)));
                next.entries.extend_from_slice(single);
                next.ends.push(next.entries.len());
            }
            let mut vanished = Vec::new();
            for batch in pairs.chunks(BATCH) {
                self.add::<P>(batch, &mut scratch, &mut vanished);
            }
            buckets = if vanished.is_empty() { next } else { next.without(&vanished) };
        }
        let sum = |list: &[Entry]| list.first().map(|entry| (*self.at(*entry), entry.negative()));
        buckets.lists().map(sum).collect()
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "places are given out by `sums` and by the table's builder")]
    fn at(&self, entry: Entry) -> &Point<L::Stored> {
        let place = entry.place();
        if place < self.points.len() { &self.points[place] } else { &self.made[place - self.points.len()] }
    }

    /// Adds the pairs and appends their sums; the places of sums that vanish go to `vanished`.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "lanes beyond a batch's end repeat its last pair")]
    fn add<P: SWCurveConfig<BaseField = L::Exact>>(
        &mut self,
        pairs: &[(Entry, Entry)],
        scratch: &mut Vec<(L::Wide, L::Wide)>,
        vanished: &mut Vec<usize>,
    ) {
        let lanes = self.lanes;
        let start = self.made.len();
        let one = lanes.store(&L::Exact::ONE);
        let mut product = lanes.load(|_| one);
        scratch.clear();
        for group in pairs.chunks(L::COUNT) {
            let pair = |lane: usize| group[lane.min(group.len() - 1)];
            let x1 = lanes.load(|lane| self.at(pair(lane).0).x);
            let x2 = lanes.load(|lane| self.at(pair(lane).1).x);
            let dx = lanes.sub(&x2, &x1);
            scratch.push((dx, product));
            product = lanes.mul(&product, &dx);
        }
        let mut inverses: Vec<L::Exact> =
            lanes.unload(&product).iter().take(L::COUNT).map(|stored| lanes.exact(stored)).collect();
        if inverses.contains(&L::Exact::ZERO) {
            // Somewhere x1 = x2: the formula below does not hold there.
            return self.add_exactly::<P>(pairs, vanished);
        }
        invert(&mut inverses);
        let mut stored = [one; LANES_MAX];
        for (to, from) in stored.iter_mut().zip(&inverses) {
            *to = lanes.store(from);
        }
        let mut inverse = lanes.load(|lane| stored[lane]);
        self.made.resize(start + pairs.len(), Point::default());
        for (number, group) in pairs.chunks(L::COUNT).enumerate().rev() {
            let (dx, before) = scratch[number];
            let of_dx = lanes.mul(&inverse, &before);
            inverse = lanes.mul(&inverse, &dx);
            let pair = |lane: usize| group[lane.min(group.len() - 1)];
            let x1 = lanes.load(|lane| self.at(pair(lane).0).x);
            let x2 = lanes.load(|lane| self.at(pair(lane).1).x);
            let y1 = lanes.load(|lane| self.at(pair(lane).0).y);
            let y2 = lanes.load(|lane| self.at(pair(lane).1).y);
            let y1 = lanes.flip(&y1, |lane| pair(lane).0.negative());
            let y2 = lanes.flip(&y2, |lane| pair(lane).1.negative());
            // The slope; x3 = slope^2 - x1 - x2; y3 = slope (x1 - x3) - y1.
            let slope = lanes.mul(&lanes.sub(&y2, &y1), &of_dx);
            let x3 = lanes.reduce(&lanes.sub(&lanes.sub(&lanes.square(&slope), &x1), &x2));
            let y3 = lanes.reduce(&lanes.sub(&lanes.mul(&slope, &lanes.sub(&x1, &x3)), &y1));
            let (x3, y3) = (lanes.unload(&x3), lanes.unload(&y3));
            let at = start + number * L::COUNT;
            for (lane, made) in self.made[at..].iter_mut().take(group.len()).enumerate() {
                *made = Point { x: x3[lane], y: y3[lane] };
            }
        }
    }

    /// The same where points are equal or opposite, which happens in real keys, and rarely.
    #[inline(never)]
    fn add_exactly<P: SWCurveConfig<BaseField = L::Exact>>(
        &mut self,
        pairs: &[(Entry, Entry)],
        vanished: &mut Vec<usize>,
    ) {
        let exact = |entry: Entry| -> Affine<P> {
            let point = self.at(entry).exact(self.lanes);
            if entry.negative() { -point } else { point }
        };
        let sums: Vec<_> = pairs.iter().map(|(left, right)| exact(*left) + exact(*right)).collect();
        for sum in ark_ec::CurveGroup::normalize_batch(&sums) {
            let stored = Point::store(self.lanes, &sum);
            if stored.is_none() {
                vanished.push(self.points.len() + self.made.len());
            }
            self.made.push(stored.unwrap_or_default());
        }
    }
}

/// Inverts a handful of elements other than zero, with one inversion. arkworks' own would share
/// them out to threads, an inversion each.
fn invert<F: Field>(elements: &mut [F]) {
    let mut product = F::ONE;
    let mut before = Vec::with_capacity(elements.len());
    for element in elements.iter() {
        before.push(product);
        product *= element;
    }
    let mut inverse = product.inverse().unwrap_or_default();
    for (element, before) in elements.iter_mut().zip(before).rev() {
        let this = inverse * before;
        inverse *= *element;
        *element = this;
    }
}
