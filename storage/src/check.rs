//! Verifying a file before redb reads it.
//!
//! Every page of redb's trees carries a checksum in its parent, up to the commit slot in the header; redb verifies
//! them after a crash and otherwise trusts them. This walk verifies the pages that redb will read: the table tree,
//! redb's own tables, every ordinary table, and the branches of the blocks table. Its leaves are the blocks, which
//! are verified by their own checksums when they are first read.

use xxhash_rust::xxh3::xxh3_128;

use crate::btree::{BRANCH, LEAF};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::header::{
    self, Closing, Geometry, HEADER_BYTES, PageRef, SYSTEM_ROOT, USER_ROOT, u16_at, u64_at, usize_at,
};
use crate::tables::BLOCKS;

/// Trees deeper than this do not exist; a file that was made to look deeper is refused.
const MAX_DEPTH: usize = 64;

/// Verifies what redb is going to read of the file on `disk`, unless it was left so that redb verifies it itself.
pub(crate) fn before_open(disk: &dyn Disk) -> Result<()> {
    let file_bytes = disk.len().map_err(Error::io("reading the length of the file"))?;
    if file_bytes < HEADER_BYTES as u64 {
        return Err(Error::corrupt(format!("{file_bytes} bytes are too few for a header")));
    }
    let mut header = [0u8; HEADER_BYTES];
    disk.read(0, &mut header).map_err(Error::io("reading the file header"))?;
    if !header::has_usual_regions(&header) {
        return Err(Error::corrupt("the header does not describe the regions of a redknot file"));
    }
    if header::closing(&header) == Closing::Unknown {
        return Ok(());
    }
    let (Some(slot), Some(geometry)) = (header::whole_slot(&header), Geometry::parse(&header)) else {
        return Err(Error::corrupt("the commit slot in the header fails its checksum"));
    };
    let mut walk = Walk { disk, geometry, file_bytes, pages_left: file_bytes / 4096, todo: Vec::new() };
    for (present, root) in [(slot[1], USER_ROOT), (slot[2], SYSTEM_ROOT)] {
        if present != 0 {
            let root = Child::at(slot, root, root + 8).ok_or_else(unreadable)?;
            walk.todo.push(Task { page: root, content: Content::Tables, depth: 0 });
        }
    }
    walk.run()
}

/// Widths of keys and values; `None` where they vary.
#[derive(Clone, Copy)]
struct Widths {
    key: Option<usize>,
    value: Option<usize>,
}

/// What a tree holds.
#[derive(Clone, Copy)]
enum Content {
    /// Definitions of tables, by name.
    Tables,
    Pairs(Widths),
    /// Sets of values, some of them trees of their own.
    Sets(Widths),
    /// The blocks of arrays, of which only the branches are walked.
    Blocks {
        widths: Widths,
        blocks: u64,
    },
}

impl Content {
    fn widths(self) -> Widths {
        match self {
            Content::Tables => Widths { key: None, value: None },
            Content::Pairs(widths) | Content::Blocks { widths, .. } => widths,
            Content::Sets(widths) => Widths { key: widths.key, value: None },
        }
    }
}

/// A page as its parent names it.
#[derive(Clone, Copy)]
struct Child {
    number: u64,
    checksum: u128,
}

impl Child {
    fn at(bytes: &[u8], number: usize, checksum: usize) -> Option<Child> {
        let checksum = bytes.get(checksum..checksum + 16)?.try_into().ok()?;
        Some(Child { number: u64_at(bytes, number)?, checksum: u128::from_le_bytes(checksum) })
    }
}

struct Task {
    page: Child,
    content: Content,
    depth: usize,
}

struct Walk<'a> {
    disk: &'a dyn Disk,
    geometry: Geometry,
    file_bytes: u64,
    /// A tree has no more pages than the file: ends the walk of one that was made to look endless.
    pages_left: u64,
    todo: Vec<Task>,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<()> {
        while let Some(task) = self.todo.pop() {
            if let Content::Blocks { widths, blocks } = task.content {
                self.visit_blocks(task.page, widths, blocks)?;
                continue;
            }
            let (page, bytes) = self.read_whole(task.page, task.content.widths())?;
            let found = match bytes[0] {
                LEAF => self.visit_leaf(&bytes, &task),
                _ => self.visit_branch(&bytes, &task),
            };
            found.ok_or_else(|| damaged(page))?;
        }
        Ok(())
    }

    /// Puts the children of a branch on the list.
    fn visit_branch(&mut self, bytes: &[u8], task: &Task) -> Option<()> {
        let depth = task.depth + 1;
        let children = children(bytes).filter(|_| depth <= MAX_DEPTH)?;
        self.todo.extend(children.into_iter().map(|page| Task { page, content: task.content, depth }));
        Some(())
    }

    /// Verifies the branches of the blocks table, level by level, down to the leaves.
    fn visit_blocks(&mut self, root: Child, widths: Widths, blocks: u64) -> Result<()> {
        let mut level = vec![root];
        for _ in 0..MAX_DEPTH {
            // A leaf for each block: this is how it is, and it can be told from the count alone.
            if level.len() as u64 == blocks || self.are_leaves(&level, widths)? {
                return Ok(());
            }
            let mut below = Vec::new();
            for branch in level {
                let (page, bytes) = self.read_whole(branch, widths)?;
                let children = children(&bytes).filter(|_| bytes[0] == BRANCH);
                below.extend(children.ok_or_else(|| damaged(page))?);
            }
            level = below;
        }
        Err(unreadable())
    }

    /// Whether the pages of a level are leaves. The first whole one tells.
    fn are_leaves(&self, level: &[Child], widths: Widths) -> Result<bool> {
        for child in level {
            let bytes = self.read(self.locate(*child)?)?;
            if is_whole(&bytes, widths, child.checksum) {
                return Ok(bytes[0] == LEAF);
            }
        }
        Err(Error::corrupt("a level of the blocks table has no whole page"))
    }

    /// Puts the trees that a leaf names on the list.
    fn visit_leaf(&mut self, bytes: &[u8], task: &Task) -> Option<()> {
        match task.content {
            Content::Tables => {
                for (name, definition) in pairs(bytes, task.content.widths())? {
                    let root = table(name, definition)?;
                    self.todo.extend(root.map(|(page, content)| Task { page, content, depth: 0 }));
                }
            }
            Content::Sets(widths) => {
                for (_, set) in pairs(bytes, task.content.widths())? {
                    if *set.first()? == SET_IS_TREE {
                        let page = Child::at(set, 1, 9)?;
                        let content = Content::Pairs(Widths { key: widths.value, value: Some(0) });
                        self.todo.push(Task { page, content, depth: 0 });
                    }
                }
            }
            Content::Pairs(_) | Content::Blocks { .. } => {}
        }
        Some(())
    }

    fn read_whole(&mut self, child: Child, widths: Widths) -> Result<(PageRef, Vec<u8>)> {
        self.pages_left = self.pages_left.checked_sub(1).ok_or_else(unreadable)?;
        let page = self.locate(child)?;
        let bytes = self.read(page)?;
        if is_whole(&bytes, widths, child.checksum) { Ok((page, bytes)) } else { Err(damaged(page)) }
    }

    fn locate(&self, child: Child) -> Result<PageRef> {
        let page = self.geometry.page(child.number).ok_or_else(unreadable)?;
        let ends = page.offset.checked_add(page.bytes as u64);
        if ends.is_none_or(|end| end > self.file_bytes) {
            return Err(Error::corrupt(format!(
                "a page of {} bytes at byte {} is named, the file has {}",
                page.bytes, page.offset, self.file_bytes
            )));
        }
        Ok(page)
    }

    fn read(&self, page: PageRef) -> Result<Vec<u8>> {
        let mut bytes = vec![0; page.bytes];
        self.disk.read(page.offset, &mut bytes).map_err(Error::io("reading the database file"))?;
        Ok(bytes)
    }
}

/// Type byte of a set that is a tree of its own.
const SET_IS_TREE: u8 = 3;
/// Type bytes of a table definition.
const PLAIN_TABLE: u8 = 3;
const MULTIMAP_TABLE: u8 = 4;

/// Root and content of the table that `definition` describes: type (1), length (8), root (1 + 8 + 16 + 8), width of
/// the keys (1 + 4) and of the values (1 + 4). The inner `None` is a table without a page to walk.
fn table(name: &[u8], definition: &[u8]) -> Option<Option<(Child, Content)>> {
    let width = |at: usize| {
        let width = usize_at(definition, at + 1)?;
        Some((*definition.get(at)? != 0).then_some(width))
    };
    let widths = Widths { key: width(42)?, value: width(47)? };
    let content = match *definition.first()? {
        PLAIN_TABLE if name == redb::TableHandle::name(&BLOCKS).as_bytes() => {
            Content::Blocks { widths, blocks: u64_at(definition, 1)? }
        }
        PLAIN_TABLE => Content::Pairs(widths),
        MULTIMAP_TABLE => Content::Sets(widths),
        _ => return None,
    };
    if *definition.get(9)? == 0 {
        return Some(None);
    }
    Some(Some((Child::at(definition, 10, 18)?, content)))
}

/// Whether the used bytes of a page have this checksum.
fn is_whole(bytes: &[u8], widths: Widths, checksum: u128) -> bool {
    let used = used_bytes(bytes, widths).and_then(|end| bytes.get(..end));
    used.is_some_and(|used| xxh3_128(used) == checksum)
}

/// Where the used bytes of a page end.
fn used_bytes(bytes: &[u8], widths: Widths) -> Option<usize> {
    let count = usize::from(u16_at(bytes, 2)?);
    let last = count.checked_sub(1)?;
    match *bytes.first()? {
        LEAF => match widths.value {
            None => usize_at(bytes, 4 + if widths.key.is_none() { 4 * count } else { 0 } + 4 * last),
            Some(value) => keys_end(bytes, widths, count)?.checked_add(value.checked_mul(count)?),
        },
        BRANCH => {
            let keys = 8 + 24 * (count + 1);
            match widths.key {
                None => usize_at(bytes, keys + 4 * last),
                Some(key) => keys.checked_add(key.checked_mul(count)?),
            }
        }
        _ => None,
    }
}

/// Where the keys of a leaf end.
fn keys_end(bytes: &[u8], widths: Widths, count: usize) -> Option<usize> {
    match widths.key {
        None => usize_at(bytes, 4 + 4 * count.checked_sub(1)?),
        Some(key) => keys_start(widths, count).checked_add(key.checked_mul(count)?),
    }
}

fn keys_start(widths: Widths, count: usize) -> usize {
    let ends = usize::from(widths.key.is_none()) + usize::from(widths.value.is_none());
    4 + 4 * count * ends
}

/// Keys and values of a leaf whose values vary in width, and whose keys do or are of one width.
fn pairs(bytes: &[u8], widths: Widths) -> Option<Vec<(&[u8], &[u8])>> {
    let count = usize::from(u16_at(bytes, 2)?);
    let mut key_start = keys_start(widths, count);
    let mut value_start = keys_end(bytes, widths, count)?;
    let value_ends = 4 + if widths.key.is_none() { 4 * count } else { 0 };
    (0..count)
        .map(|i| {
            let key_end = match widths.key {
                None => usize_at(bytes, 4 + 4 * i)?,
                Some(width) => key_start.checked_add(width)?,
            };
            let value_end = usize_at(bytes, value_ends + 4 * i)?;
            let pair = (bytes.get(key_start..key_end)?, bytes.get(value_start..value_end)?);
            (key_start, value_start) = (key_end, value_end);
            Some(pair)
        })
        .collect()
}

fn children(bytes: &[u8]) -> Option<Vec<Child>> {
    let count = usize::from(u16_at(bytes, 2)?) + 1;
    (0..count).map(|i| Child::at(bytes, 8 + 16 * count + 8 * i, 8 + 16 * i)).collect()
}

fn damaged(page: PageRef) -> Error {
    Error::corrupt(format!("the page of {} bytes at byte {} fails its checksum", page.bytes, page.offset))
}

fn unreadable() -> Error {
    Error::corrupt("the trees in the file do not end")
}
