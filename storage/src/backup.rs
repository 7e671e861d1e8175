//! A copy of one commit, taken while writes go on.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::contain::contain;
use crate::disk::{Disk, FileDisk};
use crate::error::{Error, Result};
use crate::medium::{Backend, Medium};
use crate::storage::{Engine, builder, sync_directory};

const CHUNK: usize = 1 << 20;

/// Copies the current commit to the new file `path`.
///
/// A snapshot pins every page of the commit, so they are copied as they lie in the file, with a header that
/// names this commit alone. What else is in the file at that time (pages of later commits, redb's own tables)
/// is not reachable from that header: redb rebuilds its allocator state when the copy is opened, which is done
/// here, and gives the space back.
pub(crate) fn run(engine: &Engine, path: &Path) -> Result<()> {
    let file = FileDisk::create_new(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.to_path_buf() },
        _ => Error::io("creating the backup file")(error),
    })?;
    let copied = copy(engine, Arc::new(file)).and_then(|()| sync_directory(path));
    if copied.is_err() {
        // Half a copy is worse than none.
        let _ = fs::remove_file(path);
    }
    copied
}

fn copy(engine: &Engine, target: Arc<FileDisk>) -> Result<()> {
    let (snapshot, header, bytes) = engine.pin_for_copy()?;
    let source = &engine.core().medium.disk;
    target.set_len(bytes).map_err(Error::io("sizing the backup file"))?;
    let mut chunk = vec![0u8; CHUNK];
    let mut offset = 0;
    while offset < bytes {
        let len = CHUNK.min((bytes - offset) as usize);
        read_to_end(&**source, offset, &mut chunk[..len])?;
        // Holes stay holes.
        if chunk[..len].iter().any(|byte| *byte != 0) {
            target.write(offset, &chunk[..len]).map_err(Error::io("writing the backup file"))?;
        }
        offset += len as u64;
    }
    target.write(0, &header).map_err(Error::io("writing the backup file"))?;
    target.sync().map_err(Error::io("syncing the backup file"))?;
    drop(snapshot);
    // Opening it checks every checksum and rebuilds what was left out; closing it leaves a clean file.
    let medium = Medium::new(target, 0, false).map_err(Error::io("reading the length of the backup file"))?;
    Ok(contain("verifying the backup", || {
        let mut db = builder(&engine.core().options)
            .create_with_backend(Backend(Arc::new(medium)))
            .map_err(Error::from_redb)?;
        db.compact().map_err(Error::from_redb)?;
        Ok(())
    })?)
}

/// Fills `out`; what lies beyond the end of the file, which only free pages can, is zero.
fn read_to_end(disk: &dyn Disk, offset: u64, out: &mut [u8]) -> Result<()> {
    match disk.read(offset, out) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let end = disk.len().map_err(Error::io("reading the length of the file"))?;
            let have = end.saturating_sub(offset).min(out.len() as u64) as usize;
            out.fill(0);
            disk.read(offset, &mut out[..have]).map_err(Error::io("reading the database file"))
        }
        Err(error) => Err(Error::io("reading the database file")(error)),
    }
}
