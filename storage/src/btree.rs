//! Reading redb's B-tree pages in place (redb 4.4.0, file format v3: its `docs/design.md`). Only as much as it
//! takes to find the blocks: header → table tree → root of the blocks table → branches → leaves. Whatever does
//! not parse is `None`: the caller then reads through redb itself.

use crate::header::{self, Closing, Geometry, PageRef, current_slot, u16_at, u32_at, u64_at, usize_at};
use crate::map::PinnedPages;

pub(crate) const LEAF: u8 = 1;
pub(crate) const BRANCH: u8 = 2;
/// Width of a block key: array (8) and block (4).
const KEY_BYTES: usize = 12;
/// Trees deeper than this do not exist: 2^32 pages at a fan-out of 100 are five levels.
const MAX_DEPTH: u32 = 16;

/// Key of a block: array and number.
pub(crate) type Key = (u64, u32);

/// The blocks table as of one commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    geometry: Geometry,
    /// `None` where the table is empty.
    root: Option<PageRef>,
    /// Levels of branch pages above the leaves.
    height: u32,
}

/// What differs between the blocks tables of two commits.
pub(crate) struct Difference<'a> {
    /// Every pair of a leaf that only the later one has.
    pub(crate) new: Vec<Pair<'a>>,
    /// Every pair of a leaf that only the earlier one has.
    pub(crate) old: Vec<Pair<'a>>,
}

/// A pair of a leaf: key and value.
pub(crate) struct Pair<'a> {
    pub(crate) key: Key,
    pub(crate) value: &'a [u8],
}

/// What a file that redb has not opened yet is seen to hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Peeked {
    /// There is no such table.
    NoTable,
    /// The value of the key, if there is one.
    Value(Option<Vec<u8>>),
}

/// The value of `key` in table `name`, whose keys are `&str` and whose values have no fixed width; `None` where that
/// cannot be told, as in a file that was not closed cleanly.
pub(crate) fn peek(
    header: &[u8],
    name: &str,
    key: &str,
    fetch: &mut impl FnMut(PageRef) -> Option<Vec<u8>>,
) -> Option<Peeked> {
    let geometry = Geometry::parse(header)?;
    let slot = current_slot(header)?;
    if header::closing(header) != Closing::Clean {
        return None;
    }
    if slot[1] == 0 {
        return Some(Peeked::NoTable);
    }
    let table_tree = geometry.page(u64_at(slot, 8)?)?;
    // A damaged page number must not ask for gigabytes.
    let mut small = |page: PageRef| (page.bytes <= 1 << 20).then(|| fetch(page)).flatten();
    let Some(definition) = find(&geometry, table_tree, name, &mut small)? else {
        return Some(Peeked::NoTable);
    };
    match table_root(&geometry, &definition)? {
        Some(root) => find(&geometry, root, key, &mut small).map(Peeked::Value),
        None => Some(Peeked::Value(None)),
    }
}

impl Tree {
    /// Finds table `name` of the commit that `header` (the first 320 bytes of the file) names as current.
    pub(crate) fn open(header: &[u8], pages: &PinnedPages, name: &str) -> Option<Tree> {
        let geometry = Geometry::parse(header)?;
        let slot = current_slot(header)?;
        let empty = Tree { geometry, root: None, height: 0 };
        if slot[1] == 0 {
            return Some(empty);
        }
        let table_tree = geometry.page(u64_at(slot, 8)?)?;
        let mut fetch = |page: PageRef| pages.page(page.offset, page.bytes);
        let Some(definition) = find(&geometry, table_tree, name, &mut fetch)? else {
            return Some(empty);
        };
        let Some(root) = table_root(&geometry, &definition)? else {
            return Some(empty);
        };
        let height = height(&geometry, pages, root)?;
        Some(Tree { geometry, root: Some(root), height })
    }

    /// The value of `key`; the outer `None` says that the tree could not be read.
    pub(crate) fn get<'a>(&self, pages: &'a PinnedPages, key: Key) -> Option<Option<&'a [u8]>> {
        let Some(mut page) = self.root else { return Some(None) };
        for _ in 0..self.height {
            let branch = Branch::parse(pages.page(page.offset, page.bytes)?)?;
            page = self.geometry.page(branch.child(branch.position(key)?)?)?;
        }
        let leaf = Leaf::parse(pages.page(page.offset, page.bytes)?)?;
        for pair in leaf.pairs() {
            let pair = pair?;
            if pair.key == key {
                return Some(Some(pair.value));
            }
        }
        Some(None)
    }

    /// The leaves that are not in both `self` and `older`, an earlier commit whose pages are still pinned: redb
    /// is copy-on-write, so a page that both trees have is unchanged.
    pub(crate) fn changed_since<'a>(&self, older: &Tree, pages: &'a PinnedPages) -> Option<Difference<'a>> {
        let mut new: Vec<PageRef> = self.root.into_iter().collect();
        let mut old: Vec<PageRef> = older.root.into_iter().collect();
        for level in (0..=self.height.max(older.height)).rev() {
            if level <= self.height && level <= older.height {
                (new, old) = without_shared(new, old);
            }
            if level == 0 {
                break;
            }
            if level <= self.height {
                new = self.children(pages, &new)?;
            }
            if level <= older.height {
                old = self.children(pages, &old)?;
            }
        }
        Some(Difference { new: pairs_of(pages, &new)?, old: pairs_of(pages, &old)? })
    }

    /// The key at the first or the last leaf; `None` inside where the table is empty or the leaf is damaged.
    pub(crate) fn edge(&self, pages: &PinnedPages, last: bool) -> Option<Option<Key>> {
        let Some(mut page) = self.root else { return Some(None) };
        for _ in 0..self.height {
            let branch = Branch::parse(pages.page(page.offset, page.bytes)?)?;
            page = self.geometry.page(branch.child(if last { branch.keys } else { 0 })?)?;
        }
        let leaf = pages.page(page.offset, page.bytes).filter(|bytes| leaf_is_sound(bytes));
        Some(leaf.and_then(|bytes| Leaf::parse(bytes)?.pairs().next().flatten()).map(|pair| pair.key))
    }

    /// Whether redb can read the leaf that `key` belongs to; with `neighbours`, also those beside it, which it
    /// reads when it removes the key. redb trusts what it reads there, and may panic on damage.
    pub(crate) fn leaf_is_readable(&self, pages: &PinnedPages, key: Key, neighbours: bool) -> bool {
        self.sound_leaves(pages, key, neighbours).unwrap_or(false)
    }

    fn sound_leaves(&self, pages: &PinnedPages, key: Key, neighbours: bool) -> Option<bool> {
        let Some(mut page) = self.root else { return Some(true) };
        for level in (0..self.height).rev() {
            let branch = Branch::parse(pages.page(page.offset, page.bytes)?)?;
            let at = branch.position(key)?;
            if level == 0 && neighbours {
                for beside in at.saturating_sub(1)..=(at + 1).min(branch.keys) {
                    let leaf = self.geometry.page(branch.child(beside)?)?;
                    if !leaf_is_sound(pages.page(leaf.offset, leaf.bytes)?) {
                        return Some(false);
                    }
                }
            }
            page = self.geometry.page(branch.child(at)?)?;
        }
        Some(leaf_is_sound(pages.page(page.offset, page.bytes)?))
    }

    fn children(&self, pages: &PinnedPages, branches: &[PageRef]) -> Option<Vec<PageRef>> {
        let mut children = Vec::new();
        for page in branches {
            let branch = Branch::parse(pages.page(page.offset, page.bytes)?)?;
            for i in 0..=branch.keys {
                children.push(self.geometry.page(branch.child(i)?)?);
            }
        }
        Some(children)
    }
}

fn pairs_of<'a>(pages: &'a PinnedPages, leaves: &[PageRef]) -> Option<Vec<Pair<'a>>> {
    let mut pairs = Vec::with_capacity(leaves.len());
    for page in leaves {
        for pair in Leaf::parse(pages.page(page.offset, page.bytes)?)?.pairs() {
            pairs.push(pair?);
        }
    }
    Some(pairs)
}

/// Both lists without the pages that are in both.
fn without_shared(mut new: Vec<PageRef>, mut old: Vec<PageRef>) -> (Vec<PageRef>, Vec<PageRef>) {
    new.sort_unstable();
    old.sort_unstable();
    let keep = |list: &[PageRef], other: &[PageRef]| {
        list.iter().filter(|page| other.binary_search(page).is_err()).copied().collect::<Vec<_>>()
    };
    (keep(&new, &old), keep(&old, &new))
}

/// Levels of branch pages from `page` down to the first leaf.
fn height(geometry: &Geometry, pages: &PinnedPages, mut page: PageRef) -> Option<u32> {
    for height in 0..MAX_DEPTH {
        let bytes = pages.page(page.offset, page.bytes)?;
        match *bytes.first()? {
            LEAF => return Some(height),
            BRANCH => page = geometry.page(Branch::parse(bytes)?.child(0)?)?,
            _ => return None,
        }
    }
    None
}

/// The value of `name` in a tree from `&str` to values of variable width, such as the one of the tables.
fn find<P: AsRef<[u8]>>(
    geometry: &Geometry,
    mut page: PageRef,
    name: &str,
    fetch: &mut impl FnMut(PageRef) -> Option<P>,
) -> Option<Option<Vec<u8>>> {
    for _ in 0..MAX_DEPTH {
        let fetched = fetch(page)?;
        let bytes = fetched.as_ref();
        match *bytes.first()? {
            LEAF => return find_in_leaf(bytes, name),
            BRANCH => page = geometry.page(child_towards(bytes, name)?)?,
            _ => return None,
        }
    }
    None
}

fn find_in_leaf(bytes: &[u8], name: &str) -> Option<Option<Vec<u8>>> {
    let count = usize::from(u16_at(bytes, 2)?);
    let mut key_start = 4 + 8 * count;
    let mut value_start = if count == 0 { key_start } else { usize_at(bytes, 4 + 4 * (count - 1))? };
    for i in 0..count {
        let key_end = usize_at(bytes, 4 + 4 * i)?;
        let value_end = usize_at(bytes, 4 + 4 * count + 4 * i)?;
        if bytes.get(key_start..key_end)? == name.as_bytes() {
            return Some(Some(bytes.get(value_start..value_end)?.to_vec()));
        }
        (key_start, value_start) = (key_end, value_end);
    }
    Some(None)
}

fn child_towards(bytes: &[u8], name: &str) -> Option<u64> {
    let branch = Branch::parse(bytes)?;
    let ends = 8 + 24 * (branch.keys + 1);
    let mut start = ends + 4 * branch.keys;
    for i in 0..branch.keys {
        let end = usize_at(bytes, ends + 4 * i)?;
        if name.as_bytes() <= bytes.get(start..end)? {
            return branch.child(i);
        }
        start = end;
    }
    branch.child(branch.keys)
}

/// Root page of the table that `definition` describes: type (3 is a plain table), length (8), root present (1),
/// root page number (8).
fn table_root(geometry: &Geometry, definition: &[u8]) -> Option<Option<PageRef>> {
    if *definition.first()? != 3 {
        return None;
    }
    if *definition.get(9)? == 0 {
        return Some(None);
    }
    Some(Some(geometry.page(u64_at(definition, 10)?)?))
}

/// A branch page of the blocks table, whose keys have a fixed width.
struct Branch<'a> {
    bytes: &'a [u8],
    keys: usize,
}

impl<'a> Branch<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Branch<'a>> {
        (*bytes.first()? == BRANCH).then_some(())?;
        Some(Branch { bytes, keys: usize::from(u16_at(bytes, 2)?) })
    }

    fn child(&self, i: usize) -> Option<u64> {
        u64_at(self.bytes, 8 + 16 * (self.keys + 1) + 8 * i)
    }

    /// The child that holds `key`: routing key i is at or above every key in child i.
    fn position(&self, key: Key) -> Option<usize> {
        let (mut low, mut high) = (0, self.keys);
        while low < high {
            let middle = (low + high) / 2;
            if key <= key_at(self.bytes, 8 + 24 * (self.keys + 1) + KEY_BYTES * middle)? {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Some(low)
    }
}

/// A leaf page of the blocks table: keys of a fixed width, values with their ends.
struct Leaf<'a> {
    bytes: &'a [u8],
    pairs: usize,
}

impl<'a> Leaf<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Leaf<'a>> {
        (*bytes.first()? == LEAF).then_some(())?;
        Some(Leaf { bytes, pairs: usize::from(u16_at(bytes, 2)?) })
    }

    fn pairs(self) -> impl Iterator<Item = Option<Pair<'a>>> {
        let keys = 4 + 4 * self.pairs;
        (0..self.pairs).map(move |i| {
            let start = if i == 0 { keys + KEY_BYTES * self.pairs } else { usize_at(self.bytes, 4 * i)? };
            let end = usize_at(self.bytes, 4 + 4 * i)?;
            let key = key_at(self.bytes, keys + KEY_BYTES * i)?;
            Some(Pair { key, value: self.bytes.get(start..end)? })
        })
    }
}

/// Whether the keys of a leaf rise and its values lie behind them, one after the other, in the page.
fn leaf_is_sound(bytes: &[u8]) -> bool {
    let Some(leaf) = Leaf::parse(bytes) else { return false };
    let mut end = 4 + (4 + KEY_BYTES) * leaf.pairs;
    let mut before = None;
    let sound = (0..leaf.pairs).all(|i| {
        let key = key_at(bytes, 4 + 4 * leaf.pairs + KEY_BYTES * i);
        let next = usize_at(bytes, 4 + 4 * i);
        let rises =
            key.is_some() && (before.is_none() || before < key) && next.is_some_and(|next| next >= end);
        before = key;
        end = next.unwrap_or(end);
        rises
    });
    sound && leaf.pairs > 0 && end <= bytes.len()
}

fn key_at(bytes: &[u8], at: usize) -> Option<Key> {
    Some((u64_at(bytes, at)?, u32_at(bytes, at + 8)?))
}
