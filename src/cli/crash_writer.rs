//! `redknot crash-writer`, hidden: the process that is killed.

use std::io::Write;

use redknot::{CollectionDefinition, Metric};

use super::Outcome;
use super::crash_script::{COLLECTION, Change, DIM, transaction};
use super::error::CliError;
use super::open::DatabaseArgs;

/// The collection that is written.
pub(super) const CRASH: CollectionDefinition<u64, &str> =
    CollectionDefinition::new(COLLECTION, DIM, Metric::L2);

/// Arguments of `redknot crash-writer`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Number of the first transaction.
    #[arg(long, default_value_t = 1)]
    from: u64,
}

/// Says `ready` once the file is open, then commits transaction after transaction and says `committed N` after each.
/// Ends when it is killed, or when nobody listens any more.
pub(super) fn run(args: &Args) -> Result<Outcome, CliError> {
    let database = args.database.open_to_write()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    for number in args.from.max(1).. {
        let mut write = database.begin_write()?;
        let mut collection = write.open_collection(CRASH)?;
        for change in transaction(number) {
            match change {
                Change::Put { key, row } => {
                    collection.insert(key, &row.vector, row.payload.as_str())?;
                }
                Change::Remove { key } => {
                    collection.remove(key)?;
                }
            }
        }
        write.commit()?;
        writeln!(out, "committed {number}")?;
        out.flush()?;
    }
    Ok(Outcome::Done)
}
