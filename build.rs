//! Names the commit that the command line was built from, for the reports of `redknot bench`.

use std::process::Command;

fn main() {
    // The log of HEAD changes with every commit; without a repository there is neither log nor commit to name.
    println!("cargo:rerun-if-changed=.git/logs/HEAD");
    println!("cargo:rerun-if-env-changed=REDKNOT_COMMIT");
    if std::env::var_os("REDKNOT_COMMIT").is_some() {
        return;
    }
    let commit = Command::new("git").args(["rev-parse", "HEAD"]).output();
    if let Some(commit) = commit.ok().filter(|output| output.status.success()) {
        println!("cargo:rustc-env=REDKNOT_COMMIT={}", String::from_utf8_lossy(&commit.stdout).trim());
    }
}
