//! Random programs against a map.

use std::collections::BTreeMap;

use lockstep_types::{B256, StorageSlot, U256};
use lockstep_vm_toy::Op;
use proptest::{collection::vec, prelude::*};

use super::world::{Chain, World, call, slot, word};

/// Target and program of a transaction.
type Call = (u8, Vec<Op>);

const TARGETS: [u8; 2] = [3, 4];
const KEYS: u64 = 4;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..KEYS, 0..3_u64).prop_map(|(key, value)| Op::Write { key, value }),
        4 => (0..KEYS, 0..3_u64).prop_map(|(key, amount)| Op::Add { key, amount }),
        1 => Just(Op::Emit { topic: 1, data: 2 }),
        1 => Just(Op::Revert),
    ]
}

fn program() -> impl Strategy<Value = Call> {
    (prop::sample::select(&TARGETS), vec(op(), 0..5))
}

/// Batches of blocks of transactions.
fn batches() -> impl Strategy<Value = Vec<Vec<Vec<Call>>>> {
    vec(vec(vec(program(), 1..4), 1..4), 1..5)
}

fn slots() -> Vec<StorageSlot> {
    let of = |target| (0..KEYS).map(move |key| slot(target, key));
    TARGETS.into_iter().flat_map(of).collect()
}

type State = BTreeMap<StorageSlot, B256>;

fn run_naively(state: &mut State, (target, ops): &Call) {
    let mut after = state.clone();
    for op in ops {
        match *op {
            Op::Write { key, value } => {
                after.insert(slot(*target, key), word(value));
            }
            Op::Add { key, amount } => {
                let value = after.entry(slot(*target, key)).or_default();
                *value = B256::from(U256::from_be_bytes(value.0) + U256::from(amount));
            }
            Op::Revert => return,
            Op::Emit { .. }
            | Op::Send { .. }
            | Op::Deploy { .. }
            | Op::Burn { .. }
            | Op::Halt
            | Op::Return { .. } => {}
        }
    }
    *state = after;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn values_at_every_block_and_batch_writes_equal_those_of_a_map(
        batches in batches(),
        start in vec((0..8_usize, 1..3_u64), 0..4),
        restarts in vec(any::<bool>(), 32),
    ) {
        let slots = slots();
        let mut state: State = start.iter().map(|(at, value)| (slots[*at], word(*value))).collect();
        let rows: Vec<_> = state.iter().map(|(slot, value)| (*slot, *value)).collect();
        let (mut world, mut chain) = (World::new(&rows), Chain::new());
        let mut history = vec![state.clone()];
        let mut indexed: BTreeMap<_, u32> = rows.iter().map(|(slot, _)| (*slot, 0)).collect();
        let mut restarts = restarts.into_iter();

        for (number, batch) in (1..).zip(&batches) {
            let before = state.clone();
            for calls in batch {
                calls.iter().for_each(|call| run_naively(&mut state, call));
                let txs = calls.iter().map(|(target, ops)| chain.l2(0xaa, call(*target, ops)));
                let txs = txs.collect::<Vec<_>>();
                world.run(chain.block(txs));
                history.push(state.clone());
                if restarts.next() == Some(true) {
                    world = world.restart();
                }
            }
            let sealed = world.seal(chain.end());
            history.push(state.clone());

            let value = |state: &State, slot| state.get(slot).copied().unwrap_or_default();
            let changed = slots.iter().filter(|slot| value(&before, slot) != value(&state, slot));
            let expected: Vec<_> =
                changed.clone().map(|slot| (slot.hashed_key(), value(&state, slot))).collect();
            for slot in changed {
                indexed.entry(*slot).or_insert(number);
            }
            let ours = |key| slots.iter().any(|slot| slot.hashed_key() == key);
            let written: Vec<_> = sealed
                .writes
                .iter()
                .filter(|write| ours(write.hashed_key))
                .map(|write| (write.hashed_key, write.value))
                .collect();
            prop_assert_eq!(written, expected);
        }
        for (block, state) in (0..).zip(&history) {
            for slot in &slots {
                let expected = state.get(slot).copied().unwrap_or_default();
                prop_assert_eq!(world.value(*slot, block), expected, "block {}", block);
            }
        }
        for slot in &slots {
            let first_batch = world.leaf_index(*slot).map(|(_, batch)| batch);
            prop_assert_eq!(first_batch, indexed.get(slot).copied());
        }
    }
}
