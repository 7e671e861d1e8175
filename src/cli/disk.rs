//! What this process has read from disks, as the kernel counts it.

use serde::Serialize;

/// Reading that could not be spared: pages of the file were not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Reads {
    /// Bytes read from disks, by this process or ahead for it.
    pub(crate) read_bytes: f64,
    /// Times that a thread waited for a page.
    pub(crate) major_faults: f64,
}

impl Reads {
    /// Since the process began; `None` where the system does not tell (Linux does).
    pub(crate) fn now() -> Option<Reads> {
        let read_bytes = read_bytes(&std::fs::read_to_string("/proc/self/io").ok()?)?;
        let major_faults = major_faults(&std::fs::read_to_string("/proc/self/stat").ok()?)?;
        Some(Reads { read_bytes: read_bytes as f64, major_faults: major_faults as f64 })
    }

    /// Each number made from one of these and one of `other`.
    pub(crate) fn with(self, other: Reads, make: impl Fn(f64, f64) -> f64) -> Reads {
        Reads {
            read_bytes: make(self.read_bytes, other.read_bytes),
            major_faults: make(self.major_faults, other.major_faults),
        }
    }
}

fn read_bytes(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("read_bytes:"))?.trim().parse().ok()
}

/// Field 12 of proc(5)'s stat. The second is the name of the program in parentheses, which may hold anything.
fn major_faults(stat: &str) -> Option<u64> {
    let (_, from_third) = stat.rsplit_once(')')?;
    from_third.split_whitespace().nth(9)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_counts_are_read() {
        assert_eq!(read_bytes("rchar: 2012\nread_bytes: 4096\nwrite_bytes: 0\n"), Some(4096));
        assert_eq!(read_bytes("rchar: 2012\n"), None);
        let stat = "1234 (a) b) c) S 1 1234 1234 0 -1 4194560 150 7 12 3 0 1";
        assert_eq!(major_faults(stat), Some(12));
        assert_eq!(major_faults("1234 (a) S 1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_counted() {
        assert!(Reads::now().is_some());
    }
}
