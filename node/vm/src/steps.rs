//! What is seen of a run instruction by instruction.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_types::{Address, B256, Bytes, TxOutcome, U256};

/// What is noted of each instruction, and of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRules {
    /// Registers and stack.
    pub has_stack: bool,
    /// Memory.
    pub has_memory: bool,
    /// Storage, at instructions that read or write it.
    pub has_storage: bool,
    /// What the last call returned.
    pub has_return_data: bool,
    /// Instructions after this many are not noted.
    pub steps_max: usize,
    /// About how many characters the notes may take as JSON; with more, there are none.
    pub bytes_max: usize,
}

/// An instruction, and what there was just before it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it is in its contract, in instructions. After one that panics without being told to,
    /// the panic is a step of its own at the same place.
    pub pc: u16,
    /// Name of the instruction; `nop` also where its condition is not met.
    pub op: &'static str,
    /// Whose code it is part of.
    pub code_address: Address,
    /// Calls of contracts around it, from 1; what a contract calls within itself does not count.
    pub depth: u32,
    /// Gas that was left.
    pub gas: u32,
    /// Gas that the contract lost by it; what it gives to a contract that it calls is part of that.
    pub gas_cost: u32,
    /// Registers 1 to 15.
    pub registers: Option<Box<[U256; 15]>>,
    /// Words of the stack, the lowest first.
    pub stack: Vec<U256>,
    /// The contract's memory, without the zeros that it ends with; whole words.
    pub memory: Option<Arc<Vec<u8>>>,
    /// Slots of the contract's storage that were read or written so far, with what they held before
    /// a read and hold after a write. At instructions that do neither there are none.
    pub storage: Option<Arc<BTreeMap<B256, B256>>>,
    /// What the last call that the contract made returned.
    pub return_data: Option<Bytes>,
    /// Whether the contract ended here without meaning to.
    pub is_panic: bool,
}

/// Instructions of a run, in order. The bootloader's own are not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// What was noted.
    pub steps: Vec<Step>,
    /// Whether they would have taken more than [`StepRules::bytes_max`]; then there are none.
    pub are_too_large: bool,
}

impl Steps {
    /// About how many characters they take as JSON.
    pub fn json_bytes(&self) -> usize {
        self.steps.iter().map(Step::json_bytes).sum()
    }
}

/// A transaction of a batch, with its instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteppedTx {
    /// What it left behind.
    pub outcome: TxOutcome,
    /// What its call returned; empty unless it succeeded.
    pub output: Bytes,
    /// What was seen; `None` where the VM does not show instructions.
    pub steps: Option<Steps>,
}

impl Step {
    /// About how many characters it takes as JSON.
    pub fn json_bytes(&self) -> usize {
        const FIELDS: usize = 160;
        const WORD: usize = 68;
        let word = |word: &U256| word.bit_len().div_ceil(4).max(1) + 5;
        let registers = self.registers.iter().flat_map(|registers| registers.iter());
        let words: usize = registers.chain(&self.stack).map(word).sum();
        let memory = self.memory.as_ref().map_or(0, |memory| memory.len().div_ceil(32) * WORD);
        let storage = self.storage.as_ref().map_or(0, |storage| storage.len() * 2 * WORD);
        let returned = self.return_data.as_ref().map_or(0, |returned| 2 * returned.len() + 20);
        FIELDS + words + memory + storage + returned
    }
}
