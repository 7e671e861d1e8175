//! What each effort gives and costs on held-out queries, and so which one a recall asks for.

mod bench;
mod cost;

use serde::{Deserialize, Serialize};

use super::Effort;

pub use bench::{Keyed, calibrate, measure, worth_considering};

/// Queries with their true answers, which the model was not trained on.
#[derive(Clone, Copy, Debug)]
pub struct HeldOut<'a> {
    /// The queries, encoded as the rows of the index are.
    pub queries: &'a [Vec<u8>],
    /// For each query the distance of its true k-th neighbour: an answer counts if it is no farther.
    pub kth: &'a [f32],
    /// How many neighbours are asked for.
    pub k: usize,
}

/// What searches give and cost, on average over the queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Share of the true k nearest that were found.
    pub recall: f64,
    /// Standard error of the recall, as that of a sample of all queries that might be asked.
    #[serde(default)]
    pub recall_error: f64,
    /// Microseconds of a query, on one thread, by its counts: what a hop, a distance and a query took was fitted to the
    /// times of all plans of its kind, so that noise does not choose among them.
    pub micros: f64,
    /// Full-precision distances.
    pub distances: f64,
    /// Keys scored.
    pub key_scores: f64,
    /// Nodes whose links were looked at.
    pub hops: f64,
}

/// What half the hops are worth: as many times the time of a query, 2^0.15 = 1.11, may be spent on them.
const WORTH_OF_HOPS: f64 = 0.15;

impl Figures {
    /// What routed plans are compared by: their time, and how often they would wait for the disk where the file is not in
    /// memory. Distances are computed after the last hop, from places that are known then and can be read at once; each hop
    /// waits for the one before.
    fn cost(&self) -> f64 {
        self.micros * (1.0 + self.hops).powf(WORTH_OF_HOPS)
    }
}

/// How a query is answered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Plan {
    /// Best-first by distance, with so many candidates.
    Greedy(usize),
    /// By the keys.
    Routed(Effort),
}

/// A plan with what it gives and costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The plan.
    pub plan: Plan,
    /// What it gives and costs.
    pub figures: Figures,
}

/// The plans worth considering, by rising recall: those that no other one beats in recall and in time, where a plan of half
/// the hops may take a tenth more time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// How many neighbours were asked for; what is said holds for as many and fewer.
    pub k: usize,
    /// Number of queries.
    pub queries: usize,
    /// Greedy search, by rising `ef`.
    pub greedy: Vec<Measured>,
    /// Routed search.
    pub routed: Vec<Measured>,
    /// How far the nearest landmark of a query may be estimated to be. What was measured says nothing of queries that
    /// are much farther away from everything than those it was measured with.
    #[serde(default)]
    pub farthest: Option<f32>,
}

/// A recall level, as greedy and routed search reach it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// The recall.
    pub recall: f64,
    /// Greedy search, interpolated between efforts; `None` where it does not reach the level.
    pub greedy: Option<Figures>,
    /// The routed search that reaches the level at the least cost: time, and hops (see [`Calibration`]).
    pub routed: Option<Measured>,
}

impl Level {
    /// Whether routing is worth its while here: it takes less time and fewer distances.
    pub fn gains(&self) -> bool {
        match (&self.greedy, &self.routed) {
            (Some(greedy), Some(routed)) => {
                routed.figures.micros < greedy.micros && routed.figures.distances < greedy.distances
            }
            (None, Some(_)) => true,
            _ => false,
        }
    }
}

impl Calibration {
    /// Both ways of searching at a recall level.
    pub fn level(&self, recall: f64) -> Level {
        let greedy = self.greedy_at(recall);
        let routed =
            self.cheapest(|point| point.figures.recall >= recall, greedy.map(|greedy| greedy.micros));
        Level { recall, greedy, routed }
    }

    /// The routed plan of least cost; among those that take less than `limit`, if there are any.
    fn cheapest(&self, enough: impl Fn(&Measured) -> bool, limit: Option<f64>) -> Option<Measured> {
        let reaching = || self.routed.iter().filter(|point| enough(point));
        let faster = reaching().filter(|point| limit.is_none_or(|limit| point.figures.micros < limit));
        least_cost(faster).or_else(|| least_cost(reaching())).copied()
    }

    /// Greedy search at a recall level, interpolated between the efforts on both sides of it.
    fn greedy_at(&self, recall: f64) -> Option<Figures> {
        let after = self.greedy.iter().position(|point| point.figures.recall >= recall)?;
        let high = self.greedy[after].figures;
        let Some(low) = after.checked_sub(1).map(|before| self.greedy[before].figures) else {
            return Some(high);
        };
        let share = (recall - low.recall) / (high.recall - low.recall).max(f64::MIN_POSITIVE);
        let between = |of: fn(&Figures) -> f64| of(&low) + share * (of(&high) - of(&low));
        Some(Figures {
            recall,
            recall_error: between(|figures| figures.recall_error),
            micros: between(|figures| figures.micros),
            distances: between(|figures| figures.distances),
            key_scores: 0.0,
            hops: between(|figures| figures.hops),
        })
    }

    /// The fastest plan that reaches `recall`, hops weighed in as [`Calibration`] says, as far as the queries that were
    /// measured with can tell: the one chosen of many is among those that were lucky, so it has to be above by a standard
    /// error. The one of most recall where none is.
    pub fn plan(&self, recall: f64) -> Option<Plan> {
        self.fastest(|point| reaches(point, recall))
    }

    fn fastest(&self, enough: impl Fn(&Measured) -> bool) -> Option<Plan> {
        let greedy = self.greedy.iter().find(|point| enough(point)).copied();
        let routed = self.cheapest(&enough, greedy.map(|greedy| greedy.figures.micros));
        let fastest = greedy.into_iter().chain(routed);
        let fastest = fastest.min_by(|a, b| a.figures.micros.total_cmp(&b.figures.micros));
        let all = self.greedy.iter().chain(&self.routed);
        let best = || all.max_by(|a, b| a.figures.recall.total_cmp(&b.figures.recall)).copied();
        fastest.or_else(best).map(|point| self.within_reach(point.plan))
    }

    /// The plan, but only for queries like those that it was measured with.
    fn within_reach(&self, plan: Plan) -> Plan {
        match plan {
            Plan::Routed(effort) => Plan::Routed(Effort { farthest: self.farthest, ..effort }),
            greedy => greedy,
        }
    }

    /// The least effort of greedy search that reaches `recall`, as [`Calibration::plan`] takes it; the most where none does.
    pub fn greedy_effort(&self, recall: f64) -> usize {
        let reaching = self.greedy.iter().find(|point| reaches(point, recall));
        match reaching.or(self.greedy.last()).map(|point| point.plan) {
            Some(Plan::Greedy(ef)) => ef,
            _ => self.k,
        }
    }

    /// What greedy search was measured to find with the least effort of at least `ef`; with the most where none is.
    pub fn greedy_recall(&self, ef: usize) -> f64 {
        let enough = |point: &&Measured| matches!(point.plan, Plan::Greedy(measured) if measured >= ef);
        let point = self.greedy.iter().find(enough).or(self.greedy.last());
        point.map_or(1.0, |point| point.figures.recall)
    }

    /// The least effort of routed search that was measured to reach `recall`; the most where none did, the default where
    /// none was measured.
    pub fn routed_effort(&self, recall: f64) -> Effort {
        let best = self.level(recall).routed.or(self.routed.last().copied());
        match best.map(|point| point.plan) {
            Some(Plan::Routed(effort)) => effort,
            _ => Effort::default(),
        }
    }

    /// The fastest plan that finds at least as much as greedy search with `ef`.
    pub fn plan_for_ef(&self, ef: usize) -> Plan {
        let greedy = Plan::Greedy(ef);
        let ef_of = |point: &Measured| match point.plan {
            Plan::Greedy(ef) => ef,
            Plan::Routed(_) => usize::MAX,
        };
        // The next effort that was measured, as it finds no less; beyond the last nothing is known.
        match self.greedy.iter().find(|point| ef_of(point) >= ef) {
            // Both were measured with the same queries: luck is no matter.
            Some(point) => match self.fastest(|other| other.figures.recall >= point.figures.recall) {
                Some(Plan::Routed(effort)) => Plan::Routed(effort),
                _ => greedy,
            },
            None => greedy,
        }
    }
}

fn least_cost<'m>(plans: impl Iterator<Item = &'m Measured>) -> Option<&'m Measured> {
    plans.min_by(|a, b| a.figures.cost().total_cmp(&b.figures.cost()))
}

/// Those that no other one of at least the same recall beats by `factor` in what they cost, by rising recall.
fn front(mut measured: Vec<Measured>, factor: f64) -> Vec<Measured> {
    measured.sort_unstable_by(|a, b| {
        let by_cost = || a.figures.cost().total_cmp(&b.figures.cost());
        b.figures.recall.total_cmp(&a.figures.recall).then_with(by_cost)
    });
    let mut least = f64::INFINITY;
    measured.retain(|point| {
        let cost = point.figures.cost();
        let keep = cost < factor * least;
        least = least.min(cost);
        keep
    });
    measured.reverse();
    measured
}

fn reaches(point: &Measured, recall: f64) -> bool {
    point.figures.recall - point.figures.recall_error >= recall
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::Mode;

    fn point(plan: Plan, recall: f64, micros: f64) -> Measured {
        Measured { plan, figures: Figures { recall, micros, distances: micros, ..Figures::default() } }
    }

    fn calibration() -> Calibration {
        let routed = |gamma| Plan::Routed(Effort { gamma, ..Effort::default() });
        Calibration {
            k: 10,
            queries: 100,
            greedy: vec![
                point(Plan::Greedy(10), 0.8, 10.0),
                point(Plan::Greedy(20), 0.9, 20.0),
                point(Plan::Greedy(40), 0.99, 40.0),
            ],
            routed: vec![point(routed(1.1), 0.85, 8.0), point(routed(1.2), 0.95, 12.0)],
            farthest: Some(3.0),
        }
    }

    #[test]
    fn the_fastest_plan_of_enough_recall_is_chosen() {
        let calibration = calibration();
        let gamma = |plan| match plan {
            Some(Plan::Routed(effort)) => {
                assert_eq!(effort.farthest, Some(3.0));
                effort.gamma
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(gamma(calibration.plan(0.8)), 1.1);
        assert_eq!(gamma(calibration.plan(0.86)), 1.2);
        assert_eq!(calibration.plan(0.97), Some(Plan::Greedy(40)));
        assert_eq!(calibration.plan(0.999), Some(Plan::Greedy(40)), "the most that there is");
        assert_eq!(gamma(Some(calibration.plan_for_ef(15))), 1.2);
        assert_eq!(calibration.plan_for_ef(30), Plan::Greedy(30), "nothing else finds as much as ef = 40");
        assert_eq!(calibration.plan_for_ef(100), Plan::Greedy(100), "beyond what was measured");
        assert_eq!(Calibration::default().plan(0.9), None);
        let mut unsure = calibration.clone();
        unsure.routed[0].figures.recall_error = 0.02;
        assert_eq!((gamma(unsure.plan(0.83)), gamma(unsure.plan(0.84))), (1.1, 1.2));
        unsure.greedy[1].figures.recall_error = 0.01;
        assert_eq!((unsure.greedy_effort(0.89), unsure.greedy_effort(0.9)), (20, 40));
        assert_eq!((calibration.greedy_recall(15), calibration.greedy_recall(99)), (0.9, 0.99));
        assert_eq!((calibration.routed_effort(0.9).gamma, calibration.routed_effort(0.99).gamma), (1.2, 1.2));
        assert_eq!(Calibration::default().routed_effort(0.9), Effort::default());
    }

    #[test]
    fn levels_are_interpolated() {
        let level = calibration().level(0.85);
        let greedy = level.greedy.unwrap();
        assert!((greedy.micros - 15.0).abs() < 1e-9, "{greedy:?}");
        assert_eq!(level.routed.unwrap().figures.micros, 8.0);
        assert!(level.gains());
        let level = calibration().level(0.97);
        assert!(level.routed.is_none() && !level.gains());
    }

    #[test]
    fn hops_are_worth_a_little_time_and_no_gain() {
        let routed = |gamma, micros, hops| {
            let mut point = point(Plan::Routed(Effort { gamma, ..Effort::default() }), 0.95, micros);
            point.figures.hops = hops;
            point
        };
        let chosen = |greedy: f64, routed: [Measured; 2]| {
            let greedy = vec![point(Plan::Greedy(30), 0.96, greedy)];
            let calibration =
                Calibration { k: 10, queries: 100, greedy, routed: routed.to_vec(), farthest: None };
            let level = calibration.level(0.94).routed.unwrap().plan;
            match calibration.plan(0.94).unwrap() {
                Plan::Routed(effort) => {
                    assert_eq!(level, Plan::Routed(effort));
                    effort.gamma
                }
                Plan::Greedy(_) => 0.0,
            }
        };
        assert_eq!(chosen(20.0, [routed(1.2, 10.0, 40.0), routed(1.1, 10.9, 19.0)]), 1.1);
        assert_eq!(chosen(20.0, [routed(1.2, 10.0, 40.0), routed(1.1, 11.5, 19.0)]), 1.2);
        assert_eq!(chosen(10.5, [routed(1.2, 10.0, 40.0), routed(1.1, 10.9, 19.0)]), 1.2);
        assert_eq!(chosen(9.0, [routed(1.2, 10.0, 40.0), routed(1.1, 10.9, 19.0)]), 0.0);
    }

    #[test]
    fn a_lucky_time_does_not_keep_the_only_plan_of_its_kind() {
        let measured = |number: usize, mode, recall, luck| {
            let (hops, distances) = (10.0 + number as f64, [20.0, 40.0, 60.0][number % 3]);
            let (micros, key_scores) = ((5.0 + hops / 2.0 + distances / 10.0) * luck, 0.0);
            let gamma = 1.0 + number as f32 / 100.0;
            let plan = Plan::Routed(Effort { mode, gamma, ..Effort::default() });
            Measured {
                plan,
                figures: Figures { recall, recall_error: 0.0, micros, distances, key_scores, hops },
            }
        };
        let mut plans: Vec<Measured> =
            (0..12).map(|number| measured(number, Mode::Route, 0.8 + 0.01 * number as f64, 1.0)).collect();
        plans.push(measured(8, Mode::Lazy, 0.87, 0.5));
        let lazy = |plan: &&Measured| matches!(plan.plan, Plan::Routed(Effort { mode: Mode::Lazy, .. }));
        assert_eq!(front(plans.clone(), 1.0).iter().filter(lazy).count(), 1, "its time alone would keep it");
        assert_eq!(worth_considering(plans).iter().filter(lazy).count(), 0);
    }

    #[test]
    fn beaten_plans_are_left_out() {
        let plan = Plan::Greedy(1);
        let kept = front(vec![point(plan, 0.9, 5.0), point(plan, 0.8, 6.0), point(plan, 0.7, 1.0)], 1.0);
        let recalls: Vec<f64> = kept.iter().map(|point| point.figures.recall).collect();
        assert_eq!(recalls, [0.7, 0.9]);
    }
}
