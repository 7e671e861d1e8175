//! Memory of this process, as the kernel counts it.

#[cfg(feature = "gnn")]
use std::sync::Mutex;
#[cfg(feature = "gnn")]
use std::time::{Duration, Instant};

/// Private memory in bytes: `Anonymous` of `/proc/self/smaps_rollup`. It counts the heap, stacks and copies that
/// were written to; pages of the database file under the shared map are page cache, which the kernel takes back at
/// will, and are not in it. `None` where the system has no such file.
pub(crate) fn private_bytes() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/smaps_rollup").ok()?, "Anonymous:")
}

/// How often a peak is looked for: reading the kernel's count takes about a millisecond.
#[cfg(feature = "gnn")]
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The most private memory that was seen while some work was going on.
#[cfg(feature = "gnn")]
pub(crate) struct Peak {
    state: Mutex<(Option<u64>, Instant)>,
}

#[cfg(feature = "gnn")]
impl Peak {
    pub(crate) fn new() -> Peak {
        Peak { state: Mutex::new((private_bytes(), Instant::now())) }
    }

    /// Looks, unless somebody just did. Called from any thread.
    pub(crate) fn look(&self) {
        if let Ok(mut state) = self.state.try_lock()
            && state.1.elapsed() >= LOOK_EVERY
        {
            *state = (state.0.max(private_bytes()), Instant::now());
        }
    }

    /// The most that was seen, now included; `None` where the system does not tell.
    pub(crate) fn bytes(self) -> Option<u64> {
        let seen = self.state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).0;
        seen.max(private_bytes())
    }
}

fn parse(rollup: &str, field: &str) -> Option<u64> {
    let value = rollup.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_the_rollup_is_read() {
        let rollup =
            "55d0-7ffd ---p 00000000 00:00 0 [rollup]\nRss:  1856 kB\nAnonymous:             124 kB\n";
        assert_eq!(parse(rollup, "Anonymous:"), Some(124 * 1024));
        assert_eq!(parse(rollup, "Swap:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_private_memory() {
        let held = vec![1_u8; 64 << 20];
        let private = private_bytes().unwrap();
        assert!(private >= held.len() as u64, "{private}");
    }
}
