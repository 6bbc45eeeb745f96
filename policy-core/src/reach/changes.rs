//! Between which kinds two graphs can differ at all, found without asking about every two of them.
//!
//! A graph speaks of few peers of each subject. Where two rows give the same to everyone, only the spots that either
//! speaks of can differ; and what neither end's row says differently is the same in both graphs.

use super::{Reach, Spot};
use crate::flow::Direction;
use rustc_hash::FxHashMap;

/// The pairs of kinds that have to be asked about. All others have the same answer in both graphs.
#[derive(Debug)]
pub struct Changes {
    /// For each kind those that it may reach differently, sorted; `None` for all.
    targets: Vec<Option<Vec<u32>>>,
}

impl Changes {
    /// Compares two answers about the same pods, of which `kinds` has the kind in each. Both used one
    /// [`PortTable`](super::PortTable).
    #[must_use]
    pub fn new([old, new]: [&Reach; 2], kinds: &[[u32; 2]]) -> Self {
        let all: Vec<Option<Faces>> = kinds
            .iter()
            .map(|kind| Faces::new(old, new, *kind))
            .collect();
        let comparison = Comparison::new([old, new], &all);
        let mut targets: Vec<Option<Vec<u32>>> = vec![Some(Vec::new()); kinds.len()];
        // The kinds that everybody may reach differently.
        let mut columns: Vec<u32> = Vec::new();
        let mut known: FxHashMap<[usize; 2], Option<Vec<u32>>> = FxHashMap::default();
        for (kind, faces) in (0..).zip(&all) {
            let Some(faces) = faces else {
                targets[kind as usize] = None;
                columns.push(kind);
                continue;
            };
            for direction in Direction::ALL {
                for rows in faces.rows([old, new], direction) {
                    let peers = known.entry(rows).or_insert_with(|| comparison.peers(rows));
                    match (direction, peers) {
                        (Direction::Egress, None) => targets[kind as usize] = None,
                        (Direction::Egress, Some(peers)) => {
                            targets[kind as usize]
                                .iter_mut()
                                .for_each(|own| own.extend(&*peers));
                        }
                        (Direction::Ingress, None) => columns.push(kind),
                        (Direction::Ingress, Some(peers)) => {
                            for &peer in &*peers {
                                targets[peer as usize]
                                    .iter_mut()
                                    .for_each(|own| own.push(kind));
                            }
                        }
                    }
                }
            }
        }
        for own in targets.iter_mut().flatten() {
            own.extend(&columns);
            own.sort_unstable();
            own.dedup();
        }
        Self { targets }
    }

    /// The kinds that a kind may reach differently, in ascending order.
    pub fn targets(&self, from: usize) -> impl Iterator<Item = usize> {
        let (some, all) = match &self.targets[from] {
            Some(some) => (some.as_slice(), 0..0),
            None => (&[][..], 0..self.targets.len()),
        };
        some.iter().map(|&to| to as usize).chain(all)
    }
}

/// Where pods of a kind are in both graphs: at most one spot for each family, the same families in both.
struct Faces {
    spots: Vec<[u32; 2]>,
}

impl Faces {
    /// `None` where it is not so simple, so that every question has to be asked.
    fn new(old: &Reach, new: &Reach, [before, after]: [u32; 2]) -> Option<Self> {
        let of = |reach: &Reach, kind: u32| {
            let mut spots: [Option<u32>; 2] = [None; 2];
            for &spot in &reach.kinds[kind as usize] {
                let place = &mut spots[usize::from(reach.spots[spot as usize].is_v4)];
                if place.replace(spot).is_some() {
                    return None;
                }
            }
            Some(spots)
        };
        let (before, after) = (of(old, before)?, of(new, after)?);
        let mut spots = Vec::new();
        for family in before.into_iter().zip(after) {
            match family {
                (Some(before), Some(after)) => spots.push([before, after]),
                (None, None) => {}
                _ => return None,
            }
        }
        Some(Self { spots })
    }

    /// The positions of the rows of each spot.
    fn rows(&self, reaches: [&Reach; 2], direction: Direction) -> impl Iterator<Item = [usize; 2]> {
        self.spots.iter().map(move |spots| {
            [0, 1].map(|side| {
                let spot: &Spot = &reaches[side].spots[spots[side] as usize];
                spot.rows[direction as usize]
            })
        })
    }
}

struct Comparison<'r> {
    reaches: [&'r Reach; 2],
    /// For each graph and spot the kinds there, with their spot in the other graph.
    there: [Vec<Vec<(u32, u32)>>; 2],
}

impl<'r> Comparison<'r> {
    fn new(reaches: [&'r Reach; 2], all: &[Option<Faces>]) -> Self {
        let mut there = reaches.map(|reach| vec![Vec::new(); reach.spots.len()]);
        for (kind, faces) in (0..).zip(all) {
            for &[before, after] in faces.iter().flat_map(|faces| &faces.spots) {
                there[0][before as usize].push((kind, after));
                there[1][after as usize].push((kind, before));
            }
        }
        Self { reaches, there }
    }

    /// The kinds of which the two rows say something else; `None` for all.
    fn peers(&self, [before, after]: [usize; 2]) -> Option<Vec<u32>> {
        let rows = [&self.reaches[0].rows[before], &self.reaches[1].rows[after]];
        if rows[0].everyone() != rows[1].everyone() {
            return None;
        }
        let mut found = Vec::new();
        for (side, other) in [(0, 1), (1, 0)] {
            for spot in rows[side].some() {
                let ports = rows[side].at(spot);
                let there = self.there[side][spot as usize].iter();
                let differing = there.filter(|(_, beyond)| rows[other].at(*beyond) != ports);
                found.extend(differing.map(|(kind, _)| *kind));
            }
        }
        Some(found)
    }
}
