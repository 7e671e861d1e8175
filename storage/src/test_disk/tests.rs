use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::sync::mpsc;

use super::*;

const SEED: u64 = 20_260_511;
const IMAGES: u64 = 400;

fn kind(result: io::Result<()>) -> ErrorKind {
    result.expect_err("the call should fail").kind()
}

/// Two durable sectors of `a`; unsynced: `b` over the first, `c` over both, then growth by a write of `d`.
fn three_writes() -> Window {
    let disk = TestDisk::unmapped(vec![b'a'; 1024]);
    disk.write(0, &[b'b'; 512]).unwrap();
    disk.write(0, &[b'c'; 1024]).unwrap();
    disk.write(1024, &[b'd'; 512]).unwrap();
    disk.window()
}

/// The sectors as letters, `?` for one that holds several; `-` where the file ends before the third.
fn letters(bytes: &[u8]) -> String {
    let mut letters: String = bytes
        .chunks(512)
        .map(|s| if s.iter().all(|b| *b == s[0]) { s[0] as char } else { '?' })
        .map(|c| if c == '\0' { '0' } else { c })
        .collect();
    letters.push_str(&"-".repeat(3 - letters.len()));
    letters
}

fn outcomes(window: &Window, loss: Loss) -> Vec<String> {
    let mut all: Vec<String> =
        (0..IMAGES).map(|n| letters(&window.image_after(loss, SEED, n).bytes)).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn each_loss_leaves_exactly_what_it_says() {
    let w = three_writes();
    assert_eq!(outcomes(&w, Loss::Nothing), ["ccd"]);
    assert_eq!(outcomes(&w, Loss::Everything), ["aa-"]);
    assert_eq!(outcomes(&w, Loss::Prefix), ["aa-", "ba-", "cc-", "ccd"]);
    assert_eq!(outcomes(&w, Loss::OnlyOne), ["aad", "ba-", "cc-"]);
    assert_eq!(outcomes(&w, Loss::AllButOne), ["bad", "cc-", "ccd"]);
    assert_eq!(outcomes(&w, Loss::Reorder), ["aa-", "aad", "ba-", "bad", "cc-", "ccd"]);
    assert_eq!(outcomes(&w, Loss::Length), ["cc-", "ccd"]);
    let dropped = outcomes(&w, Loss::Drop);
    // First sector a, b or c; second a or c; third zeros or d, the length kept.
    assert_eq!(dropped.len(), 3 * 2 * 2, "{dropped:?}");
    assert!(dropped.iter().all(|s| !s.contains(['?', '-'])), "{dropped:?}");
}

#[test]
fn a_torn_sector_is_new_on_one_side_and_old_on_the_other() {
    let disk = TestDisk::unmapped(vec![b'o'; 700]);
    disk.write(100, &[b'n'; 600]).unwrap();
    let window = disk.window();
    let (mut heads, mut tails) = (0, 0);
    for n in 0..IMAGES {
        let image = window.image_after(Loss::Tear, SEED, n);
        assert!(image.bytes[..100].iter().all(|b| *b == b'o'), "{image}: bytes nobody wrote have changed");
        for part in [&image.bytes[100..512], &image.bytes[512..]] {
            let changes = part.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(changes <= 1, "{image}: torn in more than one place");
            heads += usize::from(changes == 1 && part[0] == b'n');
            tails += usize::from(changes == 1 && part[0] == b'o');
        }
    }
    assert!(heads > 20 && tails > 20, "torn after the head {heads} times, before the tail {tails} times");
}

#[test]
fn a_lost_length_change_loses_the_bytes_beyond_it() {
    let disk = TestDisk::unmapped(vec![b'a'; 512]);
    disk.set_len(1536).unwrap();
    disk.write(1024, &[b'x'; 512]).unwrap();
    let w = disk.window();
    assert_eq!(w.pending(), [Op::SetLen(1536), Op::Write { offset: 1024, data: [b'x'; 512].into() }]);
    // The write too finds the file too short, and may bring the length along.
    assert_eq!(outcomes(&w, Loss::Length), ["a--", "a0x"]);

    let disk = TestDisk::unmapped(vec![b'a'; 512]);
    disk.write(512, &[b'x'; 512]).unwrap();
    disk.set_len(1536).unwrap();
    let all = outcomes(&disk.window(), Loss::Length);
    assert_eq!(all, ["a--", "ax-", "ax0"], "a later length brings in the bytes that an earlier one lost");

    let disk = TestDisk::unmapped(vec![b'a'; 1536]);
    disk.set_len(512).unwrap();
    assert_eq!(outcomes(&disk.window(), Loss::Length), ["a--", "aaa"], "a lost cut keeps the bytes");
    disk.set_len(1536).unwrap();
    assert_eq!(letters(&disk.live()), "a00");
    assert_eq!(outcomes(&disk.window(), Loss::Nothing), ["a00"], "what was cut off stays gone");
}

#[test]
fn images_are_functions_of_seed_window_and_number() {
    let w = three_writes();
    for n in 0..20 {
        assert_eq!(w.image(SEED, n), w.image(SEED, n));
        assert_eq!(w.image(SEED, n).loss, Loss::ALL[n as usize % Loss::ALL.len()]);
    }
    let draw = |seed| (0..IMAGES).map(|n| w.image(seed, n).bytes).collect::<Vec<_>>();
    assert_ne!(draw(1), draw(2));
    assert_eq!(w.image(SEED, 1).to_string(), format!("image 1 of window 3, seed {SEED} (Drop, 1536 bytes)"));
}

#[test]
fn windows_come_at_the_asked_moments_with_their_marks() {
    let disk = TestDisk::unmapped(Vec::new());
    let (windows, seen) = mpsc::channel();
    let sink = windows.clone();
    disk.capture(Capture::Syncs { every: 2 }, move |w| sink.send(w).unwrap());
    for commit in 1..=4u8 {
        disk.write(0, &[commit]).unwrap();
        disk.sync().unwrap();
        disk.mark(commit.into());
    }
    let at: Vec<_> = seen.try_iter().map(|w| (w.sync(), w.mark(), w.durable().to_vec())).collect();
    assert_eq!(at, [(2, 1, vec![1]), (4, 3, vec![3])], "a window shows the disk before its sync");

    disk.capture(Capture::Changes { every: 3 }, move |w| windows.send(w).unwrap());
    disk.write(1, b"x").unwrap(); // change 9
    disk.set_len(5).unwrap();
    disk.read(0, &mut [0; 5]).unwrap();
    disk.stop_capture();
    disk.sync().unwrap();
    let at: Vec<_> = seen.try_iter().map(|w| (w.operation(), w.pending().len())).collect();
    assert_eq!(at, [(9, 1)]);
}

#[test]
fn the_mapped_file_shows_the_live_bytes() {
    let disk = TestDisk::from_image(b"durable".to_vec()).unwrap();
    disk.write(4, b"!longer").unwrap();
    disk.set_len(10).unwrap();
    let mut bytes = Vec::new();
    let mut file = disk.file().expect("a mapped disk has a file");
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"dura!longe");
    assert_eq!(bytes, disk.live());
    assert!(TestDisk::unmapped(Vec::new()).file().is_none());
}

#[test]
fn reads_end_at_the_end_of_the_file() {
    let disk = TestDisk::unmapped(vec![7; 10]);
    let mut out = [0; 4];
    disk.read(6, &mut out).unwrap();
    assert_eq!(out, [7; 4]);
    for offset in [7, 10, 11, u64::MAX - 1, u64::MAX] {
        assert_eq!(kind(disk.read(offset, &mut out)), ErrorKind::UnexpectedEof);
    }
}

#[test]
fn after_a_crash_every_call_fails_and_the_last_one_may_have_arrived() {
    let disk = TestDisk::unmapped(vec![b'a'; 512]);
    disk.crash_after(1);
    disk.write(0, &[b'b'; 512]).unwrap();
    disk.read(0, &mut [0]).unwrap(); // reads pass and are not counted
    assert!(!disk.lost_power());
    assert_eq!(disk.write(512, &[b'c'; 512]).unwrap_err().to_string(), "the test disk lost power");
    assert!(disk.lost_power());
    let before = disk.operations();
    for result in
        [disk.len().map(drop), disk.read(0, &mut [0]), disk.write(0, b"x"), disk.set_len(0), disk.sync()]
    {
        assert_eq!(result.unwrap_err().to_string(), "the test disk lost power");
    }
    assert_eq!(disk.operations(), before);
    assert_eq!(outcomes(&disk.window(), Loss::Prefix), ["a--", "b--", "bc-"]);

    let disk = TestDisk::unmapped(vec![b'a'; 512]);
    disk.write(0, &[b'b'; 512]).unwrap();
    disk.crash_after(0);
    disk.sync().unwrap_err();
    assert_eq!(
        outcomes(&disk.window(), Loss::Reorder),
        ["a--", "b--"],
        "a sync that crashed promised nothing"
    );
}

#[test]
fn faults_fire_at_the_nth_call_once_or_for_ever() {
    let disk = TestDisk::unmapped(vec![0; 8]);
    disk.fail(Fault { kind: ErrorKind::PermissionDenied, ..Fault::at(Operation::Write, 2) });
    disk.fail(Fault { persistent: true, ..Fault::at(Operation::Read, 1) });
    disk.write(0, b"ab").unwrap();
    assert_eq!(kind(disk.write(0, b"cd")), ErrorKind::PermissionDenied);
    disk.write(2, b"ef").unwrap();
    for _ in 0..3 {
        assert_eq!(kind(disk.read(0, &mut [0])), ErrorKind::Other);
    }
    disk.heal();
    disk.read(0, &mut [0]).unwrap();
    assert_eq!(disk.live(), b"abef\0\0\0\0", "the failed write wrote nothing");

    disk.fail(Fault::at_any(3));
    disk.read(0, &mut [0]).unwrap();
    disk.set_len(4).unwrap();
    assert_eq!(disk.sync().unwrap_err().to_string(), "injected fault at Sync 1");
    disk.sync().unwrap();
    let counted = disk.operations();
    assert_eq!((counted.reads, counted.writes, counted.set_lens, counted.syncs), (5, 3, 1, 2));
    assert_eq!((counted.total(), counted.changes()), (11, 6));
    assert_eq!(Operation::ALL.map(|o| counted.of(o)).iter().sum::<u64>(), counted.total());
}

#[test]
fn a_short_write_leaves_half_of_its_bytes_unsynced() {
    let disk = TestDisk::unmapped(Vec::new());
    disk.fail(Fault { short_write: true, ..Fault::at(Operation::Write, 1) });
    disk.write(0, b"abcdef").unwrap_err();
    assert_eq!(disk.live(), b"abc");
    assert_eq!(disk.window().durable(), b"");
    assert_eq!(disk.window().pending().len(), 1);
}

#[test]
fn a_failed_sync_makes_some_sectors_durable_and_no_retry_saves_the_others() {
    let disk = TestDisk::unmapped(vec![b'o'; 64 * 512]);
    disk.write(0, &[b'n'; 64 * 512]).unwrap();
    disk.fail(Fault::at(Operation::Sync, 1));
    disk.sync().unwrap_err();
    disk.sync().unwrap();
    let durable = disk.window().durable().to_vec();
    assert!(durable.contains(&b'n') && durable.contains(&b'o'), "some sectors of each");
    assert!(disk.live().iter().all(|b| *b == b'n'), "readers see what was written");
    disk.write(0, &[b'n'; 64 * 512]).unwrap();
    disk.sync().unwrap();
    assert!(disk.window().durable().iter().all(|b| *b == b'n'), "writing again does save them");
}

#[test]
fn a_full_disk_refuses_growth_and_nothing_else() {
    let disk = TestDisk::unmapped(vec![b'a'; 6]);
    disk.set_capacity(Capacity::of(8));
    assert_eq!(kind(disk.write(5, b"xxxx")), ErrorKind::StorageFull);
    assert_eq!(kind(disk.set_len(9)), ErrorKind::StorageFull);
    assert_eq!(disk.live(), b"aaaaaa");
    disk.set_capacity(Capacity { bytes: 8, short_write: true });
    assert_eq!(kind(disk.write(5, b"xxxx")), ErrorKind::StorageFull);
    assert_eq!(disk.live(), b"aaaaaxxx");
    disk.set_capacity(Capacity::of(2));
    disk.write(0, b"b").unwrap();
    disk.set_len(7).unwrap();
    disk.sync().unwrap();
    disk.set_capacity(Capacity::default());
    disk.set_len(20).unwrap();
    for end in [Capacity::LARGEST, u64::MAX] {
        assert_eq!(kind(disk.write(end, b"x")), ErrorKind::StorageFull);
    }
    assert_eq!(kind(disk.set_len(u64::MAX)), ErrorKind::StorageFull);
}

/// A toy commit: the record first, then the count of records that are valid.
fn commit(disk: &TestDisk, number: u8, sync_between: bool) {
    disk.write(512 * u64::from(number), &[number; 512]).unwrap();
    if sync_between {
        disk.sync().unwrap();
    }
    disk.write(0, &[number]).unwrap();
    disk.sync().unwrap();
    disk.mark(number.into());
}

/// Runs the toy and counts the images that lost an acknowledged record or show one that is not whole.
fn broken_images(sync_between: bool, honest: bool) -> usize {
    let disk = TestDisk::unmapped(vec![0; 512]);
    if !honest {
        disk.ignore_syncs();
    }
    let (windows, seen) = mpsc::channel();
    disk.capture(Capture::Changes { every: 1 }, move |w| windows.send(w).unwrap());
    (1..=9).for_each(|number| commit(&disk, number, sync_between));
    disk.stop_capture();
    let images = seen.iter().flat_map(|w| (0..40).map(move |n| (w.mark() as usize, w.image(SEED, n))));
    images
        .filter(|(acknowledged, image)| {
            let valid = image.bytes[0] as usize;
            let whole = |n: usize| image.bytes.get(n * 512..).is_some_and(|b| b.starts_with(&[n as u8; 512]));
            valid < *acknowledged || !(1..=valid).all(whole)
        })
        .count()
}

#[test]
fn a_commit_protocol_is_caught_when_it_or_the_disk_skips_a_sync() {
    assert_eq!(broken_images(true, true), 0);
    assert!(broken_images(false, true) > 20, "a header written together with its record");
    assert!(broken_images(true, false) > 100, "a disk that lies about syncs");
}
