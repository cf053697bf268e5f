//! What the node's newest block was, at which time: read off the write sets.

use std::{collections::BTreeMap, time::Duration};

use lockstep_io::store::Change;
use lockstep_store::{ChainView, StoreFault, codec::decode, tables};
use lockstep_types::{BlockHeader, L2BlockHash, L2BlockNumber};

use super::{Observation, Place, branch_of};
use crate::model::{Branch, Chain};

/// Keys of the table of cursors.
const HEAD_KEY: &[u8] = b"head";

/// The newest block at every time.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    blocks: BTreeMap<u32, L2BlockHash>,
    /// From which time on which block was the newest.
    heads: Vec<(Duration, u32, Option<L2BlockHash>)>,
    /// A write failed: what is on disk since then is not known.
    is_doubtful: bool,
}

impl Heads {
    pub(super) fn see(&mut self, now: Duration, what: &Observation<'_>) {
        let Observation::Written { set, result, .. } = what else { return };
        self.is_doubtful |= result.is_err();
        let mut head = None;
        for change in &set.changes {
            match change {
                Change::Put { table, key, value } if *table == tables::BLOCKS => {
                    if let Ok(header) = decode::<BlockHeader>(value) {
                        self.blocks.insert(header.params.number.0, header.hash);
                    } else {
                        debug_assert!(key.is_empty(), "a block that was just written is readable");
                    }
                }
                Change::Put { table, key, value }
                    if *table == tables::CURSORS && key == HEAD_KEY =>
                {
                    head = decode::<L2BlockNumber>(value).ok();
                }
                Change::Put { .. } | Change::Delete { .. } | Change::DeleteRange { .. } => {}
            }
        }
        if let Some(head) = head {
            self.blocks.retain(|number, _| *number <= head.0);
            self.heads.push((now, head.0, self.blocks.get(&head.0).copied()));
        }
    }

    /// What is on disk counts, whatever was seen.
    pub(super) fn resync(&mut self, now: Duration, view: &ChainView) -> Result<(), StoreFault> {
        self.blocks.clear();
        self.is_doubtful = false;
        let Some(head) = view.head()? else { return Ok(()) };
        for number in 1..=head.0 {
            if let Some(header) = view.block(L2BlockNumber(number))? {
                self.blocks.insert(number, header.hash);
            }
        }
        self.heads.push((now, head.0, self.blocks.get(&head.0).copied()));
        Ok(())
    }

    /// Whether the chain was shorter than `number` at some time from `from` to `until`, or may have
    /// been.
    pub(crate) fn was_below(&self, number: u32, from: Duration, until: Duration) -> bool {
        let before = self.heads.partition_point(|(at, _, _)| *at < from).saturating_sub(1);
        let meanwhile = self.heads.iter().skip(before).take_while(|(at, _, _)| *at <= until);
        self.is_doubtful || meanwhile.into_iter().any(|(_, head, _)| *head < number)
    }

    /// Every chain that the disk had from `from` to `until`; none if that is not known.
    pub(crate) fn between(&self, chain: &Chain, from: Duration, until: Duration) -> Vec<Place> {
        if self.is_doubtful {
            return Vec::new();
        }
        let before = self.heads.partition_point(|(at, _, _)| *at < from).saturating_sub(1);
        let mut places: Vec<Place> = Vec::new();
        for (at, head, hash) in self.heads.iter().skip(before) {
            if *at > until {
                break;
            }
            let branch = match hash {
                None => Branch::new(),
                Some(_genesis) if *head == 0 => Branch::new(),
                Some(hash) => {
                    let Some((id, _)) = chain.block_by_hash(hash) else { continue };
                    branch_of(chain, id)
                }
            };
            let place = Place { branch, head: *head };
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
        places
    }
}
