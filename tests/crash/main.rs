//! Power loss at every sync of a whole database: what is recovered is exactly the last acknowledged commit, or the
//! one in flight; keys, vectors, payloads, graph and ordinary tables together.
//!
//! `REDKNOT_IMAGES=100000 cargo test --release --test crash -- --nocapture` checks more images than the default,
//! `REDKNOT_SEED=n` others.
#![allow(clippy::unwrap_used, reason = "a failed call fails the test")]

mod harness;
mod script;
#[path = "../support/mod.rs"]
mod support;

use std::sync::atomic::Ordering::Relaxed;

use harness::{Report, Trial};
use support::setting;

const IMAGES: u64 = 1_000;

fn first_seed() -> u64 {
    setting("REDKNOT_SEED", 1_000)
}

fn assert_clean(report: &Report) {
    println!("{report}");
    assert!(report.failures.lock().unwrap().is_empty(), "{report}");
}

#[test]
fn every_power_loss_leaves_the_last_commit_or_the_one_in_flight() {
    let report = harness::run(first_seed(), setting("REDKNOT_IMAGES", IMAGES), Trial::Reopen, true);
    assert_clean(&report);
    for seen in [&report.recovered_last, &report.recovered_in_flight, &report.not_created] {
        assert!(seen.load(Relaxed) > 0, "a case that should be common did not occur: {report}");
    }
}

#[test]
fn power_loss_during_recovery_loses_nothing_more() {
    let images = setting("REDKNOT_IMAGES", IMAGES).div_ceil(4);
    let report = harness::run(first_seed(), images, Trial::CrashInRecovery, true);
    assert_clean(&report);
    assert!(report.crashed_in_recovery.load(Relaxed) > images / 4, "{report}");
}

#[test]
fn a_disk_that_ignores_syncs_is_caught() {
    let report = harness::run(first_seed(), 200, Trial::Reopen, false);
    let failures = report.failures.lock().unwrap().len();
    println!("control: {failures} of {} images fail", report.images.load(Relaxed));
    assert!(failures > 30, "{report}");
}
