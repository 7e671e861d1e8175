//! Whether reading waits for the disk.

use std::cell::Cell;

/// So many questions are answered from one look.
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
        Waiting { pages, questions: QUESTIONS - 1, looks }
    }

    fn waits(self) -> bool {
        self.looks > 0
    }
}

thread_local! {
    static WAITING: Cell<Waiting> = Cell::new(Waiting::default());
}

/// Whether this thread lately had to wait for the disk to bring a mapped page: where the file does not stay in memory. Then
/// [`Rows::request`](crate::Rows::request) saves most of the waiting; elsewhere it would only cost calls to the system.
/// To be asked once a search: the system is looked at every 16 questions.
///
/// Always `false` on systems other than Linux, which do not count by thread.
pub fn waits_for_disk() -> bool {
    WAITING.with(|waiting| {
        let now = waiting.get().ask(pages_waited_for);
        waiting.set(now);
        now.waits()
    })
}

/// Pages that this thread has waited for so far.
#[cfg(target_os = "linux")]
fn pages_waited_for() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.major_page_faults().try_into().unwrap_or(0))
}

#[cfg(not(target_os = "linux"))]
fn pages_waited_for() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_yes_for_a_while_after_a_wait() {
        let mut waiting = Waiting::default();
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
