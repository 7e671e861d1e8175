//! Many queries on one thread, in turns.
//!
//! A hop waits for memory again and again: for the links of a node, then for the keys that they lead to. A search of its
//! own guesses what it will read next and fetches that ahead. Here each query fetches just what it needs and leaves the
//! processor to the others until that has come (asynchronous memory access chaining, Kocberber et al. 2015).

use redknot_index::{Reader, ScratchPool};

use super::walk::Walk;
use super::{Keys, Routed, Router, Scratch, Setting, StopReason};
use crate::routing::{Effort, Mode, RouteError};

/// Queries under way at a time.
const LANES: usize = 4;

/// A query under way.
struct Lane<'w, 'v> {
    /// Which query it is.
    place: usize,
    walk: Walk<'w, 'v, ()>,
    next: Step,
}

/// What a query does once what it reads has come.
#[derive(Clone, Copy)]
enum Step {
    /// Find out where the links of this node are.
    Locate(u32),
    /// Look at the links of this node.
    Expand(u32),
    /// Score the first so many of `scratch.links`.
    Score(usize),
    /// Re-rank the shortlist from this place on.
    Rerank(usize, StopReason),
}

impl Lane<'_, '_> {
    /// Goes on until the query has to wait; why it ended, if it did.
    #[inline]
    fn turn(&mut self) -> Result<Option<StopReason>, RouteError> {
        let walk = &mut self.walk;
        match self.next {
            Step::Locate(node) => {
                walk.prefetch_links(node);
                self.next = Step::Expand(node);
            }
            Step::Expand(node) if walk.is_inline() => {
                let fresh = walk.expand(node)?;
                self.next = advance(walk, fresh);
            }
            Step::Expand(node) => {
                let fresh = walk.unvisited(node)?;
                walk.prefetch_keys(fresh);
                self.next = Step::Score(fresh);
            }
            Step::Score(fresh) => {
                walk.score(fresh)?;
                self.next = advance(walk, fresh);
            }
            Step::Rerank(first, stop) => match walk.rerank_some(first)? {
                Some(first) => self.next = Step::Rerank(first, stop),
                None => return Ok(Some(stop)),
            },
        }
        Ok(None)
    }
}

/// Makes candidates of nodes that were scored and takes the next one.
#[inline]
fn advance(walk: &mut Walk<'_, '_, ()>, fresh: usize) -> Step {
    walk.insert_promising(fresh);
    match walk.next_hop(walk.kth_candidate()) {
        Ok(node) if walk.is_inline() => {
            walk.prefetch_links(node);
            Step::Expand(node)
        }
        Ok(node) => {
            walk.prefetch_place(node);
            Step::Locate(node)
        }
        Err(stop) => {
            walk.shortlist_best();
            walk.begin_rerank();
            Step::Rerank(0, stop)
        }
    }
}

/// Scratches of the queries under way.
static SCRATCHES: ScratchPool<[Scratch; LANES]> = ScratchPool::new();

/// The answers so far, each at the place of its query.
type Answers = Vec<Option<Result<Routed, RouteError>>>;

impl Router {
    /// [`Router::search`] for many queries: each gets the answer that it would get alone, in their order. In
    /// [`Mode::Route`] they take turns on this thread, which answers more of them in a second.
    ///
    /// # Errors
    /// Those of [`Router::search`] that no query has a part in; those of a query are its answer.
    pub fn search_many<'q>(
        &self,
        reader: &Reader<'_>,
        keys: Keys<'_>,
        queries: impl ExactSizeIterator<Item = &'q [u8]>,
        k: usize,
        effort: &Effort,
    ) -> Result<Vec<Result<Routed, RouteError>>, RouteError> {
        let setting = self.setting(reader, keys, k, effort)?;
        if effort.mode != Mode::Route || setting.k == 0 {
            return Ok(queries.map(|query| self.search(reader, keys, query, k, effort)).collect());
        }
        let mut answers: Answers = (0..queries.len()).map(|_| None).collect();
        SCRATCHES.with(|scratches| {
            let mut waiting = queries.enumerate();
            let mut lanes: Vec<Lane<'_, '_>> = Vec::with_capacity(LANES);
            lanes.extend(
                scratches.iter_mut().map_while(|scratch| setting.start(scratch, &mut waiting, &mut answers)),
            );
            let mut turn = 0;
            while !lanes.is_empty() {
                turn = if turn < lanes.len() { turn } else { 0 };
                let lane = &mut lanes[turn];
                let answer = match lane.turn() {
                    Ok(None) => {
                        turn += 1;
                        continue;
                    }
                    Ok(Some(stop)) => setting.finish(&lane.walk, stop),
                    Err(error) => Err(error),
                };
                let Lane { place, walk, .. } = lanes.swap_remove(turn);
                answers[place] = Some(answer);
                lanes.extend(setting.start(walk.scratch, &mut waiting, &mut answers));
            }
        });
        Ok(answers.into_iter().flatten().collect())
    }
}

impl<'w, 'v> Setting<'w, 'v> {
    /// Begins with the next query that does not end at once.
    fn start<'q: 'w>(
        &self,
        mut scratch: &'w mut Scratch,
        waiting: &mut impl Iterator<Item = (usize, &'q [u8])>,
        answers: &mut Answers,
    ) -> Option<Lane<'w, 'v>> {
        loop {
            let (place, query) = waiting.next()?;
            let probe = match self.encode(query, scratch) {
                Ok(probe) => probe,
                Err(error) => {
                    answers[place] = Some(Err(error));
                    continue;
                }
            };
            let mut walk = Walk::new(self, probe, scratch, 0, ());
            match walk.enter(&self.router.landmarks) {
                Ok(Some(entry)) => {
                    walk.scratch.pool.insert(entry);
                    let next = advance(&mut walk, 0);
                    return Some(Lane { place, walk, next });
                }
                Ok(None) => answers[place] = Some(self.finish(&walk, StopReason::NoGraph)),
                Err(error) => answers[place] = Some(Err(error)),
            }
            scratch = walk.scratch;
        }
    }
}
