//! Training a router, and what it does with queries that it has not seen.

use redknot::Database;
use redknot::routing::{Level, Plan};
use redknot::train::TrainOptions;

use super::data::Data;
use super::{COLLECTION, K, Stage};
use crate::cli::bench::measure::{Calls, Effort, pass};
use crate::cli::error::CliError;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{rate, table};
use crate::cli::router::level_table;
use crate::cli::train::{Source, With, train};

/// Efforts of greedy search to compare with.
const EFFORTS: [usize; 3] = [20, 40, 80];

/// Trains on queries made up from the rows, and answers the bundled ones, which it has not seen, both ways.
pub(super) fn learn(
    database: &Database,
    data: &Data,
    quick: bool,
    stage: &mut Stage,
) -> Result<Vec<Level>, CliError> {
    stage.title("5. Train: the index learns to route, from its own rows");
    let (queries, steps) = if quick { (500, 50) } else { (4_000, 800) };
    let options = TrainOptions { queries, steps, ..TrainOptions::default() };
    let with = With { source: Source::MadeUp, held_out: None, k: K, options, encoders: &[], ablation: false };
    let report = train(database, COLLECTION, with, stage.output, &Interrupt::never())?;
    stage.say(format_args!(
        "  a key of 64 bytes a row, learned from {} made-up queries in {:.1} s; on others of that kind:\n{}",
        report.training.queries,
        report.training.seconds,
        level_table(&report.levels)
    ));
    let read = database.begin_read()?;
    let collection = read.open_collection_named::<u64, &'static str>(COLLECTION)?;
    let (queries, truth) = data.questions(&collection, quick)?;
    let mut shown = table(&["", "recall@10", "queries/s", "distances a query", "keys", "hops"], &[0]);
    let mut measure = |label: String, effort: Effort| -> Result<(f64, f64), CliError> {
        let pass = pass(&collection, &queries, K, effort, Calls::ONE)?;
        let (costs, speed) = (pass.costs(), pass.speed());
        let recall = truth.recall(&collection, &queries, &pass.results)?;
        shown.add_row([
            label,
            format!("{recall:.4}"),
            rate(speed.qps),
            rate(costs.distances),
            rate(costs.key_scores),
            rate(costs.hops),
        ]);
        Ok((recall, costs.distances))
    };
    let mut greedy = Vec::new();
    for ef in EFFORTS {
        greedy.push(measure(format!("  greedy, ef = {ef}"), Effort::Greedy(ef))?);
    }
    let mut routed = Vec::new();
    for level in report.levels.iter().filter(|level| [0.9, 0.95, 0.99].contains(&level.recall)) {
        if let Some(Plan::Routed(effort)) = level.routed.map(|routed| routed.plan) {
            let label = format!("  routed, γ = {:.2}", effort.gamma);
            routed.push(measure(label, Effort::Routed(effort))?);
        }
    }
    stage
        .say(format_args!("the bundled queries, which are definitions like the rows:\n{}", shown.trim_fmt()));
    let cheaper = routed.iter().any(|(recall, distances)| {
        let as_good = greedy.iter().filter(|(found, _)| *found <= recall + 0.01);
        as_good.map(|(_, distances)| *distances).fold(0.0, f64::max) > 2.0 * distances
    });
    stage.check(format_args!("routing finds as much with less than half of the distances"), cheaper);
    Ok(report.levels)
}
