//! Whether reading waits for the disk, and how the system reads ahead.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use memmap2::Mmap;
use parking_lot::Mutex;

/// So many questions are answered from one look. A thread that has just begun looks more often.
const QUESTIONS: u32 = 16;
/// After a look that found waiting, so many looks are taken to have found it. Where pages are requested, few are waited for.
const LOOKS: u32 = 4;

/// What a thread knows of its waiting.
#[derive(Clone, Copy, Default)]
struct Waiting {
    /// Pages that it had waited for at the last look.
    pages: u64,
    /// Questions until the next look.
    questions: u32,
    /// Questions between the last two looks.
    spacing: u32,
    /// Looks, the last one included, that are taken to have found waiting.
    looks: u32,
}

impl Waiting {
    /// The state after one more question.
    fn ask(self, pages: impl FnOnce() -> u64) -> Waiting {
        if self.questions > 0 {
            return Waiting { questions: self.questions - 1, ..self };
        }
        let pages = pages();
        let looks = if pages > self.pages { LOOKS } else { self.looks.saturating_sub(1) };
        let spacing = (2 * self.spacing).clamp(1, QUESTIONS);
        Waiting { pages, questions: spacing - 1, spacing, looks }
    }

    fn waits(self) -> bool {
        self.looks > 0
    }
}

thread_local! {
    static WAITING: Cell<Waiting> = Cell::new(Waiting::default());
}

/// Whether this thread lately had to wait for the disk to bring a mapped page. To be asked once a search: the system is
/// looked at every 16 questions, and of a thread's first ones at each that doubles their number.
///
/// Always `false` on systems other than Linux, which do not count by thread.
pub(crate) fn waits_for_disk() -> bool {
    WAITING.with(|waiting| {
        let now = waiting.get().ask(|| system::pages_waited_for(Who::Thread));
        waiting.set(now);
        now.waits()
    })
}

/// Whose waiting is asked for.
#[derive(Clone, Copy)]
enum Who {
    Thread,
    Process,
}

/// How the system reads pages of a map that are not in memory.
///
/// A file that memory has room for is read in pages of 2 MiB: it is in memory soon, and processors find their way in
/// large pages faster. Searches touch rows all over a file, so in one that memory has no room for that would push out
/// what the next search needs, and so would the default of the kernel, which reads up to megabytes around each page; such
/// a file is read by single pages, which [`Rows::request`](crate::Rows::request) asks for together.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    in_large_pages: AtomicBool,
    window: Mutex<Window>,
}

/// Since when waits are counted.
#[derive(Debug)]
struct Window {
    start: Instant,
    /// Pages that the process had waited for then.
    waited: u64,
}

impl Window {
    fn from_now() -> Window {
        Window { start: Instant::now(), waited: system::pages_waited_for(Who::Process) }
    }
}

/// A file is taken to have room in memory if it is at most this part of all there is; whether it has is then seen.
const PART_OF_MEMORY: u64 = 8;
/// Bytes of a large page.
const LARGE_PAGE: u64 = 2 << 20;
/// Waits beyond those that it takes to read a file once in large pages.
const MORE_WAITS: u64 = 64;
/// Waits count together that lie within this time. The process may wait for other files too, now and then.
const WINDOW: Duration = Duration::from_secs(300);

impl ReadAhead {
    /// For a file of so many bytes and its map.
    pub(crate) fn new(map: &Mmap, file_bytes: u64) -> ReadAhead {
        let in_large_pages = is_small(file_bytes) && system::read_in_large_pages(map);
        if !in_large_pages {
            read_at_random(map);
        }
        ReadAhead { in_large_pages: AtomicBool::new(in_large_pages), window: Mutex::new(Window::from_now()) }
    }

    /// Whether the system reads single pages, as it does from now on if the file turns out to have no room in memory: if
    /// the process waited more often than reading all of it takes.
    pub(crate) fn is_by_page(&self, map: &Mmap, file_bytes: u64) -> bool {
        if !self.in_large_pages.load(Relaxed) {
            return true;
        }
        if self.has_room(file_bytes) {
            return false;
        }
        self.in_large_pages.store(false, Relaxed);
        system::read_by_page(map);
        true
    }

    fn has_room(&self, file_bytes: u64) -> bool {
        let mut window = self.window.lock();
        if window.start.elapsed() > WINDOW {
            *window = Window::from_now();
        }
        let waits = system::pages_waited_for(Who::Process).wrapping_sub(window.waited);
        waits <= file_bytes / LARGE_PAGE + MORE_WAITS && is_small(file_bytes)
    }
}

/// Whether memory may have room for a file of so many bytes.
fn is_small(file_bytes: u64) -> bool {
    file_bytes <= system::memory() / PART_OF_MEMORY
}

#[cfg(target_os = "linux")]
mod system {
    use memmap2::{Advice, Mmap};
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::sysinfo::sysinfo;
    use nix::unistd::{SysconfVar, sysconf};

    use super::Who;

    /// Pages that were waited for so far.
    pub(super) fn pages_waited_for(who: Who) -> u64 {
        let who = match who {
            Who::Thread => UsageWho::RUSAGE_THREAD,
            Who::Process => UsageWho::RUSAGE_SELF,
        };
        getrusage(who).map_or(0, |usage| usage.major_page_faults().try_into().unwrap_or(0))
    }

    /// Bytes of memory of the machine.
    pub(super) fn memory() -> u64 {
        sysinfo().map_or(0, |info| info.ram_total())
    }

    /// Whether the kernel does: not where it was built without large pages. Where its small pages are larger than usual, the
    /// large ones have 32 MiB and more, which is too much to read at once.
    pub(super) fn read_in_large_pages(map: &Mmap) -> bool {
        let page_bytes = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        page_bytes == Some(4096) && map.advise(Advice::HugePage).is_ok()
    }

    /// Takes back what [`read_in_large_pages`] asked for.
    pub(super) fn read_by_page(map: &Mmap) {
        if let Err(error) = map.advise(Advice::NoHugePage) {
            tracing::debug!(%error, "the kernel goes on reading the file in large pages");
        }
        super::read_at_random(map);
    }
}

/// Has the system read nothing around the page that it is asked for.
#[cfg(unix)]
fn read_at_random(map: &Mmap) {
    if let Err(error) = map.advise(memmap2::Advice::Random) {
        tracing::debug!(%error, "the kernel takes no advice on how the file is read");
    }
}

#[cfg(not(unix))]
fn read_at_random(_map: &Mmap) {}

/// Systems that do not count waits by thread read single pages.
#[cfg(not(target_os = "linux"))]
mod system {
    use memmap2::Mmap;

    use super::Who;

    pub(super) fn pages_waited_for(_who: Who) -> u64 {
        0
    }

    pub(super) fn memory() -> u64 {
        0
    }

    pub(super) fn read_in_large_pages(_map: &Mmap) -> bool {
        false
    }

    pub(super) fn read_by_page(map: &Mmap) {
        super::read_at_random(map);
    }
}

#[cfg(test)]
mod tests {
    use memmap2::MmapMut;

    use super::*;

    #[test]
    fn a_file_without_room_in_memory_is_read_by_page_from_then_on() {
        let map = MmapMut::map_anon(LARGE_PAGE as usize).unwrap().make_read_only().unwrap();
        let small = ReadAhead::new(&map, LARGE_PAGE);
        let takes_large_pages = cfg!(target_os = "linux") && system::read_in_large_pages(&map);
        assert_eq!(small.is_by_page(&map, LARGE_PAGE), !takes_large_pages);
        assert!(small.is_by_page(&map, u64::MAX), "it has grown");
        assert!(small.is_by_page(&map, LARGE_PAGE), "and is not asked about again");
        assert!(ReadAhead::new(&map, u64::MAX).is_by_page(&map, LARGE_PAGE));
        // Or all of it was waited for, and more.
        let in_large_pages = || AtomicBool::new(takes_large_pages);
        let waited = system::pages_waited_for(Who::Process).wrapping_sub(MORE_WAITS + 2);
        let window = Mutex::new(Window { start: Instant::now(), waited });
        let thrashing = ReadAhead { in_large_pages: in_large_pages(), window };
        assert!(thrashing.is_by_page(&map, LARGE_PAGE));
        // But not within the time that counts.
        if let Some(start) = Instant::now().checked_sub(2 * WINDOW) {
            let window = Mutex::new(Window { start, waited });
            let slow = ReadAhead { in_large_pages: in_large_pages(), window };
            assert_eq!(slow.is_by_page(&map, LARGE_PAGE), !takes_large_pages);
        }
    }

    #[test]
    fn the_answer_is_yes_for_a_while_after_a_wait() {
        let mut waiting = Waiting::default();
        let mut asked = |pages| {
            waiting = waiting.ask(|| pages);
            waiting.waits()
        };
        assert!(!asked(0));
        assert!(asked(1), "a thread that has just begun");
        let mut waiting = Waiting { spacing: QUESTIONS, ..Waiting::default() };
        let mut asked = |pages| {
            waiting = waiting.ask(|| pages);
            waiting.waits()
        };
        assert!((0..QUESTIONS).all(|_| !asked(0)));
        assert!((0..QUESTIONS * LOOKS).all(|_| asked(3)), "seen by the next look, and for so many");
        assert!((0..QUESTIONS).all(|_| !asked(3)));
        assert!((0..QUESTIONS).all(|_| asked(4)));
        assert!((0..QUESTIONS * LOOKS).all(|_| asked(5)), "waiting goes on");
    }
}
