//! What stands in for the router where it is left out of the program: every search is greedy.
//!
//! Writes then leave the keys of a router behind the index, and a program that has it searches greedily until they are
//! made anew.

use redknot_index::{Reader, SearchParams};
use redknot_storage::{Snapshot, View, WriteTxn};

use crate::answer::Answer;
use crate::catalog::{Record, RouterKeys};
use crate::error::{Error, Result};
use crate::query::{Ask, Depth};

#[derive(Debug, Default)]
pub(crate) struct Routers {}

#[derive(Debug, Default)]
pub(crate) struct Guide {}

impl Routers {
    pub(crate) fn keep_keys(&self, _: &mut WriteTxn, _: &str, _: &mut Record, _: RouterKeys) -> Result<()> {
        Ok(())
    }

    pub(crate) fn make_keys_anew(&self, _: &mut WriteTxn, _: &str, _: &mut Record) -> Result<bool> {
        Ok(false)
    }
}

impl Guide {
    pub(crate) fn new(_: &Routers, _: &Snapshot, _: &str, _: &Record) -> Guide {
        Guide {}
    }

    pub(crate) fn search(
        &self,
        _: &impl View,
        reader: &Reader<'_>,
        query: &[u8],
        ask: &Ask,
    ) -> Result<Answer> {
        let found = reader.search(query, SearchParams { k: ask.wanted(), ef: self.greedy_effort(ask)? })?;
        Ok(Answer::unrouted(found))
    }

    pub(crate) fn greedy_effort(&self, ask: &Ask) -> Result<usize> {
        match ask.depth {
            Depth::Recall(recall) => {
                Err(Error::NotCalibrated { name: ask.name.into(), recall, k: ask.k, calibrated: None })
            }
            _ => Ok(ask.greedy_effort()),
        }
    }
}
