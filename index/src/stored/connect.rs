//! Making sure that every linked node can be reached.
//!
//! Neither insertion (a full node drops links) nor deletion proves that all nodes stay reachable: that takes a walk
//! through the whole base layer. It is made when enough has changed for its cost to be small beside that of the
//! changes, and at every commit of a small index. What the walk does not reach is linked anew; what even that does not
//! connect joins the unlinked nodes, which every search scans.

use redknot_storage::View;

use super::writer::Writer;
use super::{UNLINKED, words};
use crate::Error;
use crate::stored::links::INCOMING;

/// Below this many nodes, every commit that changed the graph walks it.
const SMALL: u32 = 4096;
/// Otherwise the walk is made after this share of the nodes has changed.
const SHARE: u32 = 64;

impl Writer<'_> {
    /// To be called before a commit.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.make_findable()?;
        let unchecked = self.record.unchecked;
        if unchecked == 0 || (self.record.nodes >= SMALL && unchecked < self.record.nodes / SHARE) {
            return Ok(());
        }
        self.reconnect()
    }

    /// Links anew what cannot be reached in the base layer, until nothing is left.
    pub(crate) fn reconnect(&mut self) -> Result<(), Error> {
        self.record.unchecked = 0;
        let strays = self.unreached()?;
        if strays.is_empty() {
            return Ok(());
        }
        for stray in &strays {
            let level = self.level(*stray)?;
            self.unlink(*stray, level)?;
        }
        for stray in &strays {
            self.link(*stray)?;
        }
        for stray in self.unreached()? {
            let level = self.level(stray)?;
            self.unlink(stray, level)?;
            self.record.unlinked.insert(stray);
        }
        self.record.unchecked = 0;
        self.record.epoch += 1;
        Ok(())
    }

    /// Linked nodes that no path of base-layer links leads to from the entry point.
    pub(crate) fn unreached(&self) -> Result<Vec<u32>, Error> {
        unreached(self.txn, self.record)
    }
}

/// Linked nodes that no path of base-layer links leads to from the entry point.
pub(crate) fn unreached(view: &impl View, record: &crate::IndexRecord) -> Result<Vec<u32>, Error> {
    let Some(entry) = record.entry else { return Ok(Vec::new()) };
    let links = view.csr(record.arrays.links)?;
    let levels = view.rows(record.arrays.levels)?;
    let mut reached = vec![false; record.nodes as usize];
    let mut stack = vec![entry];
    reached[entry as usize] = true;
    while let Some(node) = stack.pop() {
        for to in words(links.get(node)?).take_while(|word| word & INCOMING == 0) {
            match reached.get_mut(to as usize) {
                Some(seen) if !*seen => {
                    *seen = true;
                    stack.push(to);
                }
                Some(_) => {}
                None => {
                    return Err(Error::Damaged {
                        what: format!("node {node} links to {to}, which is beyond the last"),
                    });
                }
            }
        }
    }
    let mut strays = Vec::new();
    for node in (0..record.nodes).filter(|node| !reached[*node as usize]) {
        if super::level_of(levels, node)? < UNLINKED {
            strays.push(node);
        }
    }
    Ok(strays)
}
