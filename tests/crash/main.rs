//! Power loss at every sync of a whole database: what is recovered is exactly the last acknowledged commit, or the
//! one in flight; keys, vectors, payloads, graph and ordinary tables together.
//!
//! `REDKNOT_IMAGES=100000 cargo test --release --test crash -- --nocapture` checks more images than the default,
//! `REDKNOT_SEED=n` others.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod script;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use redknot_storage::test_disk::{PowerLosses, Report, Trial};
use script::Transactions;
use support::setting;

const IMAGES: u64 = 1_000;

fn run(images: u64, trial: Trial, honest_disk: bool) -> Report {
    let first_seed = setting("REDKNOT_SEED", 1_000);
    // Where cargo keeps what tests leave.
    let kept_in = Path::new(env!("CARGO_TARGET_TMPDIR"));
    PowerLosses { first_seed, images, trial, honest_disk, kept_in }.run::<Transactions>().unwrap()
}

fn assert_clean(report: &Report) {
    println!("{report}");
    assert!(report.failures.is_empty(), "{report}");
}

#[test]
fn every_power_loss_leaves_the_last_commit_or_the_one_in_flight() {
    let report = run(setting("REDKNOT_IMAGES", IMAGES), Trial::Reopen, true);
    assert_clean(&report);
    for seen in [report.recovered_last, report.recovered_in_flight, report.not_created] {
        assert!(seen > 0, "a case that should be common did not occur: {report}");
    }
}

#[test]
fn power_loss_during_recovery_loses_nothing_more() {
    let images = setting("REDKNOT_IMAGES", IMAGES).div_ceil(4);
    let report = run(images, Trial::CrashInRecovery, true);
    assert_clean(&report);
    assert!(report.crashed_in_recovery > images / 4, "{report}");
}

#[test]
fn a_disk_that_ignores_syncs_is_caught() {
    let report = run(200, Trial::Reopen, false);
    println!("control: {} of {} images fail", report.failures.len(), report.images);
    assert!(report.failures.len() > 30, "{report}");
}
