//! S5 and S6: what is in one table fits what is in the others, in every state that a crash can
//! leave, and a rollback leaves nothing of what went.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_io::Table;
use lockstep_store::tables;
use lockstep_types::alloy_primitives::hex;

use super::{
    Violation,
    found::{Found, Place, Tables, unreadable},
};
use crate::model::Chain;

/// Without genesis there is nothing.
pub(super) fn before_genesis(found: &Found) -> Result<Vec<Violation>, Violation> {
    let rows = found.rows().map_err(unreadable)?;
    let filled = rows.into_iter().find(|(_, rows)| !rows.is_empty());
    Ok(filled
        .map(|(table, rows)| {
            let detail = format!("there is no head, and {} rows in {table}", rows.len());
            Violation::new("S5", "rows before genesis", detail)
        })
        .into_iter()
        .collect())
}

/// Compares every table with the place that the chain is at. Not while a rollback goes on.
pub(super) fn check(
    found: &Found,
    place: &Place,
    chain: &Chain,
    has_rolled_back: bool,
) -> Result<Vec<Violation>, Violation> {
    let rows = found.rows().map_err(unreadable)?;
    let relations = Relations { rows, place, chain };
    let mut violations = Vec::new();
    let mut note = |what: &str, problem: Problem| {
        // What is too much was left by a rollback, if there was one.
        let invariant = if has_rolled_back && problem.is_too_much { "S6" } else { "S5" };
        violations.push(Violation::new(invariant, what, problem.detail));
    };
    for (table, problem) in relations.by_number() {
        note(table, problem);
    }
    for (table, problem) in relations.by_hash() {
        note(table, problem);
    }
    for problem in relations.state() {
        note("state", problem);
    }
    for (what, problem) in relations.cursors(found)? {
        note(what, problem);
    }
    Ok(violations)
}

#[derive(Debug)]
struct Problem {
    is_too_much: bool,
    detail: String,
}

struct Relations<'a> {
    rows: Tables,
    place: &'a Place,
    chain: &'a Chain,
}

impl Relations<'_> {
    /// Numbers that the keys of a table begin with, each once.
    fn numbers(&self, table: Table) -> BTreeSet<u32> {
        let number = |key: &Vec<u8>| {
            let first = key.first_chunk::<4>().copied().unwrap_or_default();
            u32::from_be_bytes(first)
        };
        self.rows[table.name].iter().map(|(key, _)| number(key)).collect()
    }

    /// Tables by block and by batch have rows for exactly what is there.
    fn by_number(&self) -> Vec<(&'static str, Problem)> {
        let head = self.place.head;
        let sealed = self.place.sealed(self.chain);
        let has_txs = |number: &u32| {
            self.place.block(self.chain, *number).is_some_and(|block| !block.txs.is_empty())
        };
        let has_receipts = |number: &u32| {
            let block = self.place.block(self.chain, *number);
            block.is_none_or(|block| block.params.is_fictive || !block.txs.is_empty())
        };
        let blocks: BTreeSet<u32> = (0..=head).collect();
        let batches: BTreeSet<u32> = (0..=sealed).collect();
        let expected: [(Table, BTreeSet<u32>); 7] = [
            (tables::BLOCKS, blocks.clone()),
            (tables::BLOCK_WRITES, blocks.clone()),
            (tables::TRANSACTIONS, blocks.iter().copied().filter(has_txs).collect()),
            (tables::RECEIPTS, blocks.iter().copied().filter(has_receipts).collect()),
            (tables::BATCHES, batches.clone()),
            (tables::BATCH_WRITES, batches.clone()),
            (tables::COMMITMENT_INPUTS, batches.clone()),
        ];
        let mut problems = Vec::new();
        for (table, expected) in expected {
            let found = self.numbers(table);
            problems.extend(difference(table.name, &found, &expected));
        }
        let rooted = self.numbers(tables::TREE_ROOTS);
        let too_many = rooted.iter().find(|number| **number > sealed);
        if let Some(number) = too_many {
            let detail = format!("batch {number} has a root, {sealed} is sealed");
            problems.push((tables::TREE_ROOTS.name, Problem { is_too_much: true, detail }));
        }
        let precommitted = self.numbers(tables::PRECOMMITS);
        if let Some(number) = precommitted.iter().find(|number| **number > head) {
            let detail = format!("block {number} is precommitted, {head} is the newest");
            problems.push((tables::PRECOMMITS.name, Problem { is_too_much: true, detail }));
        }
        let last = rooted.last().copied().unwrap_or_default();
        problems.extend(difference(tables::TREE_ROOTS.name, &rooted, &(0..=last).collect()));
        problems
    }

    /// Tables by hash lead to what is there, and to nothing else.
    fn by_hash(&self) -> Vec<(&'static str, Problem)> {
        let numbers = 0..=self.place.head;
        let blocks: BTreeSet<Vec<u8>> = numbers
            .clone()
            .filter_map(|number| Some(self.place.hash(self.chain, number)?.to_vec()))
            .collect();
        let txs = numbers.filter_map(|number| self.place.block(self.chain, number));
        let txs: BTreeSet<Vec<u8>> =
            txs.flat_map(|block| &block.txs).map(|tx| tx.hash().0.to_vec()).collect();
        let mut problems = Vec::new();
        for (table, expected) in [(tables::BLOCK_NUMBERS, blocks), (tables::TX_POSITIONS, txs)] {
            let found: BTreeSet<Vec<u8>> =
                self.rows[table.name].iter().map(|(key, _)| key.clone()).collect();
            let found: BTreeSet<String> = found.iter().map(hex::encode).collect();
            let expected: BTreeSet<String> = expected.iter().map(hex::encode).collect();
            problems.extend(difference(table.name, &found, &expected));
        }
        problems
    }

    /// Every version of a slot is of a block that is there and wrote it.
    fn state(&self) -> Vec<Problem> {
        let mut known: BTreeMap<[u8; 32], BTreeSet<u32>> = BTreeMap::new();
        for slot in self.chain.genesis_state.slots.keys() {
            known.entry(slot.hashed_key().0.0).or_default().insert(0);
        }
        for number in 1..=self.place.head {
            let Some(block) = self.place.block(self.chain, number) else { continue };
            for slot in block.writes.keys() {
                known.entry(slot.hashed_key().0.0).or_default().insert(number);
            }
        }
        for (key, _) in &self.rows[tables::STATE.name] {
            let (slot, number) = key.split_at(key.len().saturating_sub(4));
            let number = number.first_chunk::<4>().copied().unwrap_or_default();
            let number = u32::from_be_bytes(number);
            if !known.get(slot).is_some_and(|blocks| blocks.contains(&number)) {
                let detail =
                    format!("a row of block {number}, which is not there or did not write it");
                return vec![Problem { is_too_much: true, detail }];
            }
        }
        Vec::new()
    }

    /// Cursors follow each other.
    fn cursors(&self, found: &Found) -> Result<Vec<(&'static str, Problem)>, Violation> {
        let view = &found.view;
        let (sealed, here) = (self.place.sealed(self.chain), self.place.head);
        let mut problems = Vec::new();
        let mut note =
            |what, is_too_much, detail| problems.push((what, Problem { is_too_much, detail }));
        let stored = view.sealed_batch().map_err(unreadable)?.unwrap_or_default();
        if stored.0 != sealed {
            note(
                "sealed",
                stored.0 > sealed,
                format!("{stored} is sealed, and block {here} says {sealed}"),
            );
        }
        let rooted = self.numbers(tables::TREE_ROOTS).last().copied().unwrap_or_default();
        let agreed = view.agreed_batch().map_err(unreadable)?.unwrap_or_default().0;
        if agreed > rooted {
            note("agreed", true, format!("batch {agreed} is agreed on, {rooted} has a root"));
        }
        let claims = self.numbers(tables::CLAIMS);
        problems.extend(difference(tables::CLAIMS.name, &claims, &(1..=agreed).collect()));
        let steps = self.numbers(tables::STEPS);
        if let Some(number) = steps.iter().find(|number| **number > agreed) {
            let detail = format!("batch {number} has steps on L1, {agreed} is agreed on");
            problems.push((tables::STEPS.name, Problem { is_too_much: true, detail }));
        }
        for table in [tables::COMMITMENTS, tables::L1_CHECKS] {
            if let Some(number) = self.numbers(table).iter().find(|number| **number > sealed) {
                let detail = format!("a row of batch {number}, {sealed} is sealed");
                problems.push((table.name, Problem { is_too_much: true, detail }));
            }
        }
        Ok(problems)
    }
}

fn difference<T: Ord + std::fmt::Display>(
    table: &'static str,
    found: &BTreeSet<T>,
    expected: &BTreeSet<T>,
) -> Option<(&'static str, Problem)> {
    if let Some(more) = found.difference(expected).next() {
        let detail = format!("{table} has a row of {more}, which is not there");
        return Some((table, Problem { is_too_much: true, detail }));
    }
    let fewer = expected.difference(found).next()?;
    let detail = format!("{table} has no row of {fewer}, which is there");
    Some((table, Problem { is_too_much: false, detail }))
}
