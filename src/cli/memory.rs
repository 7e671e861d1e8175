//! Memory of this process, as the kernel counts it.

/// Private memory in bytes: `Anonymous` of `/proc/self/smaps_rollup`. It counts the heap, stacks and copies that
/// were written to; pages of the database file under the shared map are page cache, which the kernel takes back at
/// will, and are not in it. `None` where the system has no such file.
pub(crate) fn private_bytes() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/smaps_rollup").ok()?, "Anonymous:")
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
