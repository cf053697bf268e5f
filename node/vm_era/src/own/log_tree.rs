//! The tree of L2→L1 logs at the end of a batch, without the machine.
//!
//! The L1 messenger hashes a tree of thousands of leaves, nearly all of them empty, one hash after
//! the other. That is most of what a small batch takes. The leaves lie in the messenger's memory
//! when it asks for the first hash, and every other value that it still needs lies on its stack.
//! So the first hash is answered with the root, and the stack is made what it is at the last hash:
//! the messenger leaves its loop as ever, with the same root in the same place.
//!
//! Nothing but gas that nobody pays and memory that nobody reads differs. Still it is done only for
//! code of the messenger that went all the way once, came to the same root, and had a stack at the
//! last hash that differed from that at the first only in the numbers of nodes. Whether the
//! messenger really goes on with the root is checked each time; if not, the machine goes back and
//! runs the end of the batch in full.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lockstep_types::{B256, address, keccak256};
use zksync_types::U256;
use zksync_vm2::{
    FatPointer,
    interface::{CallframeInterface, HeapId, StateInterface},
};

use super::words::{address_of, b256_of, u256_of};

/// The hash function's contract, by the low bytes of its address.
const KECCAK256_ADDRESS_LOW: [u8; 2] = [0x80, 0x10];
/// Stack slots that are looked at, from the bottom.
const SLOTS_MAX: u16 = 512;
/// Leaves of a tree, at most.
const LEAVES_MAX: u64 = 1 << 16;
/// Where Solidity puts what it allocates first.
const FIRST_IN_MEMORY: u32 = 0x80;
/// Memory in which the leaves are looked for, bytes.
const MEMORY_MAX: u64 = 1 << 26;
/// Hashes that are looked at to find the first one of the tree.
const PATIENCE: u32 = 4_096;
/// Hashes of nodes that may follow the answer: the messenger's own, not the tree's.
const HASHES_AFTER_MAX: u64 = 8;

/// Which codes of the L1 messenger are known to hash the tree like this, and where they keep the
/// numbers of nodes. Shared by all batches.
#[derive(Debug, Default)]
pub(crate) struct KnownMessengers(Mutex<BTreeMap<B256, Verdict>>);

/// What is known of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// It keeps its numbers of nodes in these stack slots, and its root is that of its leaves.
    Hashes(Vec<Counter>),
    /// It does something else.
    Differs,
}

/// A stack slot with a number of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counter {
    slot: u16,
    /// What it holds at the last hash: 1 for the level that is made, 2 for the one below.
    at_last: u8,
}

impl Counter {
    /// What it holds at the first hash of a tree with so many leaves.
    fn at_first(self, leaves: u64) -> U256 {
        U256::from(leaves / 2 * u64::from(self.at_last))
    }
}

/// The counters among stack slots, by what all slots hold at the first and the last hash. `None`
/// if anything else differs.
fn counters(first: &[U256], last: &[U256], leaves: u64) -> Option<Vec<Counter>> {
    let mut counters = Vec::new();
    for (slot, (first, last)) in (0..).zip(first.iter().zip(last)) {
        if first == last {
            continue;
        }
        let at_last = u8::try_from(*last).ok().filter(|last| (1..=2).contains(last))?;
        let counter = Counter { slot, at_last };
        if counter.at_first(leaves) != *first {
            return None;
        }
        counters.push(counter);
    }
    let has_level = counters.iter().any(|counter| counter.at_last == 1);
    has_level.then_some(counters)
}

impl KnownMessengers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<B256, Verdict>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the end of a batch is watched when the messenger has this code.
    pub(crate) fn watch(&self, code: B256) -> LogTree {
        let step = match self.lock().get(&code) {
            None => Step::Learns(None),
            Some(Verdict::Hashes(counters)) => Step::Skips(counters.clone()),
            Some(Verdict::Differs) => Step::Over,
        };
        LogTree { step, patience: PATIENCE }
    }

    /// Keeps what was learned of a code.
    pub(crate) fn learn(&self, code: B256, tree: &LogTree) {
        let verdict = match &tree.step {
            Step::Learned(counters) => Verdict::Hashes(counters.clone()),
            Step::Failed => Verdict::Differs,
            Step::Learns(_) | Step::Skips(_) | Step::Answers(_) | Step::Skipped(_) | Step::Over => {
                return;
            }
        };
        self.lock().insert(code, verdict);
    }

    /// Never tries that code again.
    pub(crate) fn give_up(&self, code: B256) {
        self.lock().insert(code, Verdict::Differs);
    }
}

/// A tree that is hashed in full, to learn from it.
#[derive(Clone, Debug)]
struct Lesson {
    leaves: u64,
    root: B256,
    /// Stack slots at the first hash, and the counters as soon as the last one began.
    first: Vec<U256>,
    counters: Option<Vec<Counter>>,
    hashes_left: u64,
    /// Frames when the hash function was called, while it runs.
    depth: Option<usize>,
}

/// An answer that is due.
#[derive(Clone, Copy, Debug)]
struct Answer {
    root: B256,
    /// Frames when the hash function was called.
    depth: usize,
}

/// An answer that was given.
#[derive(Clone, Copy, Debug)]
struct Skipped {
    root: B256,
    hashes_after: u64,
    was_used: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Learns(Option<Box<Lesson>>),
    Learned(Vec<Counter>),
    Failed,
    Skips(Vec<Counter>),
    Answers(Answer),
    Skipped(Skipped),
    /// There is nothing to do.
    Over,
}

/// Watches the end of a batch for the messenger's tree.
#[derive(Clone, Debug)]
pub(crate) struct LogTree {
    step: Step,
    /// Hashes of two words that the messenger may still ask for before those of the tree: it
    /// chains logs and messages first.
    patience: u32,
}

impl LogTree {
    /// Whether an answer was given that the messenger did not go on with. `logs` are the values of
    /// the batch's system logs.
    pub(crate) fn went_wrong(&self, logs: impl IntoIterator<Item = B256>) -> bool {
        match self.step {
            Step::Skipped(skipped) => {
                let is_used = skipped.was_used || logs.into_iter().any(|log| log == skipped.root);
                !is_used || skipped.hashes_after > HASHES_AFTER_MAX
            }
            Step::Answers(_) => true,
            Step::Learns(_) | Step::Learned(_) | Step::Failed | Step::Skips(_) | Step::Over => {
                false
            }
        }
    }

    /// Looks at a call that has just begun.
    pub(crate) fn call<S: StateInterface>(&mut self, state: &mut S) {
        if matches!(self.step, Step::Over | Step::Learned(_) | Step::Failed) {
            return;
        }
        let Some(children) = hashed_by_messenger(state) else { return };
        match &mut self.step {
            Step::Learns(lesson @ None) => {
                let stack = messenger_stack(state);
                if let Some(found) = Found::new(state, &stack, children) {
                    *lesson = Some(Box::new(Lesson {
                        leaves: found.leaves,
                        root: found.root(state),
                        first: stack,
                        counters: None,
                        hashes_left: found.leaves - 1,
                        depth: Some(state.number_of_callframes()),
                    }));
                } else {
                    self.wait(Step::Failed);
                }
            }
            Step::Skips(known) => {
                let stack = messenger_stack(state);
                let found = Found::new(state, &stack, children).filter(|found| {
                    let holds = |counter: &Counter| {
                        stack.get(usize::from(counter.slot))
                            == Some(&counter.at_first(found.leaves))
                    };
                    known.iter().all(holds)
                });
                if let Some(found) = found {
                    let root = found.root(state);
                    for counter in known {
                        let mut frame = state.callframe(1);
                        frame.write_stack(counter.slot, U256::from(counter.at_last), false);
                    }
                    let depth = state.number_of_callframes();
                    self.step = Step::Answers(Answer { root, depth });
                } else {
                    self.wait(Step::Over);
                }
            }
            Step::Skipped(skipped) => {
                skipped.hashes_after += 1;
                skipped.was_used |= children[0] == skipped.root;
            }
            Step::Learns(Some(lesson)) => {
                lesson.depth = Some(state.number_of_callframes());
                if lesson.hashes_left == 1 {
                    let last = messenger_stack(state);
                    lesson.counters = counters(&lesson.first, &last, lesson.leaves);
                }
            }
            Step::Learned(_) | Step::Failed | Step::Answers(_) | Step::Over => {}
        }
    }

    /// Goes on looking, though not for ever.
    fn wait(&mut self, end: Step) {
        match self.patience.checked_sub(1) {
            Some(patience) => self.patience = patience,
            None => self.step = end,
        }
    }

    /// Looks at a call that has just ended.
    pub(crate) fn ret<S: StateInterface>(&mut self, state: &mut S) {
        match &mut self.step {
            Step::Answers(answer) if state.number_of_callframes() < answer.depth => {
                let root = answer.root;
                let (raw, is_pointer) = state.read_register(1);
                let pointer = FatPointer::from(raw);
                if is_pointer && pointer.offset == 0 && pointer.length == 32 {
                    state.write_heap_u256(pointer.memory_page, pointer.start, u256_of(root));
                    let was_used = false;
                    self.step = Step::Skipped(Skipped { root, hashes_after: 0, was_used });
                }
            }
            Step::Learns(Some(lesson)) => {
                if lesson.depth.is_none_or(|depth| state.number_of_callframes() >= depth) {
                    return;
                }
                lesson.depth = None;
                let pointer = FatPointer::from(state.read_register(1).0);
                lesson.hashes_left -= 1;
                if lesson.hashes_left == 0 {
                    let last = b256_of(state.read_heap_u256(pointer.memory_page, pointer.start));
                    let counters = lesson.counters.take().filter(|_| last == lesson.root);
                    self.step = counters.map_or(Step::Failed, Step::Learned);
                }
            }
            Step::Learns(None)
            | Step::Learned(_)
            | Step::Failed
            | Step::Skips(_)
            | Step::Answers(_)
            | Step::Skipped(_)
            | Step::Over => {}
        }
    }
}

fn is_messenger(code: zksync_types::H160) -> bool {
    address_of(&code) == address::L1_MESSENGER
}

/// The two words that the messenger has just asked the hash of, if it has.
fn hashed_by_messenger<S: StateInterface>(state: &mut S) -> Option<[B256; 2]> {
    let callee = state.current_frame().code_address();
    let is_hash =
        callee.0[..18].iter().all(|byte| *byte == 0) && callee.0[18..] == KECCAK256_ADDRESS_LOW;
    if !is_hash || !is_messenger(state.callframe(1).code_address()) {
        return None;
    }
    let FatPointer { offset, memory_page, start, length } =
        FatPointer::from(state.read_register(1).0);
    if offset != 0 || length != 64 {
        return None;
    }
    Some([start, start.checked_add(32)?].map(|at| b256_of(state.read_heap_u256(memory_page, at))))
}

/// The lower part of the stack of the messenger, which has just called.
fn messenger_stack<S: StateInterface>(state: &mut S) -> Vec<U256> {
    let frame = state.callframe(1);
    (0..SLOTS_MAX).map(|slot| frame.read_stack(slot).0).collect()
}

/// The leaves of the tree in the messenger's memory.
#[derive(Clone, Copy, Debug)]
struct Found {
    heap: HeapId,
    /// Where the first leaf is.
    start: u32,
    leaves: u64,
}

impl Found {
    /// Finds an array whose first two words are `children`, by a pointer on the stack to its length
    /// or its first word or by being the first thing in memory.
    fn new<S: StateInterface>(state: &mut S, stack: &[U256], children: [B256; 2]) -> Option<Self> {
        let heap = state.callframe(1).heap();
        let word_at = |at: u32| state.read_heap_u256(heap, at);
        let leaves_at = |at: u32| {
            let length = word_at(at);
            let is_length = length <= U256::from(LEAVES_MAX) && length >= U256::from(4);
            let leaves = is_length.then(|| length.low_u64()).filter(|n| n.is_power_of_two())?;
            let begins = [at + 32, at + 64].map(|at| b256_of(word_at(at))) == children;
            begins.then_some((at + 32, leaves))
        };
        let pointers = stack.iter().filter(|word| **word < U256::from(MEMORY_MAX));
        let pointers = pointers.map(|word| word.low_u32()).chain([FIRST_IN_MEMORY]);
        let starts = pointers.flat_map(|at| [Some(at), at.checked_sub(32)]).flatten();
        let mut arrays = starts.filter_map(leaves_at);
        let (start, leaves) = arrays.next()?;
        if arrays.any(|other| other != (start, leaves)) {
            return None;
        }
        Some(Self { heap, start, leaves })
    }

    /// Root of the tree over the leaves.
    fn root<S: StateInterface>(&self, state: &S) -> B256 {
        let positions = (0..self.leaves)
            .map(|index| self.start + 32 * u32::try_from(index).expect("at most 2^16"));
        let leaves = positions.map(|at| b256_of(state.read_heap_u256(self.heap, at))).collect();
        root_of(leaves)
    }
}

/// Root of a tree whose number of leaves is a power of two. Equal neighbours are hashed once.
fn root_of(mut nodes: Vec<B256>) -> B256 {
    let mut last = ([0; 64], keccak256([0; 64]));
    while nodes.len() > 1 {
        let (pairs, _) = nodes.as_chunks::<2>();
        nodes = pairs
            .iter()
            .map(|[left, right]| {
                let mut input = [0; 64];
                input[..32].copy_from_slice(left.as_slice());
                input[32..].copy_from_slice(right.as_slice());
                if last.0 != input {
                    last = (input, keccak256(input));
                }
                last.1
            })
            .collect();
    }
    nodes.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_that_of_hashing_every_pair() {
        let leaf = B256::repeat_byte;
        let pair = |left: B256, right: B256| keccak256([left.0, right.0].concat());
        let leaves = [1, 2, 3, 3, 3, 3, 0, 0].map(leaf);
        let level = [
            pair(leaves[0], leaves[1]),
            pair(leaves[2], leaves[3]),
            pair(leaves[4], leaves[5]),
            pair(leaves[6], leaves[7]),
        ];
        let expected = pair(pair(level[0], level[1]), pair(level[2], level[3]));
        assert_eq!(root_of(leaves.to_vec()), expected);
        assert_eq!(root_of(vec![leaf(7)]), leaf(7));
    }

    #[test]
    fn a_code_that_did_something_else_is_never_tried_again() {
        let known = KnownMessengers::default();
        let code = B256::repeat_byte(1);
        assert!(matches!(known.watch(code).step, Step::Learns(None)));
        let counter = Counter { slot: 3, at_last: 1 };
        known.learn(code, &LogTree { step: Step::Learned(vec![counter]), patience: 0 });
        assert!(matches!(known.watch(code).step, Step::Skips(known) if known == [counter]));
        known.give_up(code);
        assert!(matches!(known.watch(code).step, Step::Over));
    }

    #[test]
    fn only_numbers_of_nodes_may_differ_between_the_first_and_the_last_hash() {
        let words = |words: [u64; 4]| words.map(U256::from);
        let first = words([7, 512, 1024, 9]);
        let found = counters(&first, &words([7, 1, 2, 9]), 1024).unwrap();
        assert_eq!(found, [Counter { slot: 1, at_last: 1 }, Counter { slot: 2, at_last: 2 }]);
        assert_eq!(counters(&first, &words([7, 1, 1024, 9]), 1024).unwrap().len(), 1);
        for last in [[7, 512, 2, 9], [7, 1, 2, 10], [7, 2, 2, 9], [7, 1, 1, 9], [7, 0, 2, 9]] {
            assert_eq!(counters(&first, &words(last), 1024), None, "{last:?}");
        }
        assert_eq!(counters(&first, &first, 1024), None);
    }

    #[test]
    fn an_answer_that_is_not_used_went_wrong() {
        let root = B256::repeat_byte(9);
        let skipped = |was_used, hashes_after| LogTree {
            step: Step::Skipped(Skipped { root, hashes_after, was_used }),
            patience: 0,
        };
        assert!(!skipped(true, 1).went_wrong([]));
        assert!(!skipped(false, 1).went_wrong([root]));
        assert!(skipped(false, 1).went_wrong([B256::ZERO]));
        assert!(skipped(true, HASHES_AFTER_MAX + 1).went_wrong([root]));
        assert!(!LogTree { step: Step::Over, patience: 0 }.went_wrong([]));
    }
}
