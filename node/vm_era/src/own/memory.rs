//! What the operator writes to the bootloader's memory, kept so that it can be committed to.

use std::collections::BTreeMap;

use lockstep_types::{InteropRoot, SettlementLayer, U256};
use lockstep_vm::{BatchEnv, BlockEnv};
use zksync_types::U256 as Word;

use super::{
    encode::{Compressed, EncodedTx},
    layout::{BLOCK_INFO_WORDS, INTEROP_ROOT_WORDS, Layout, META_WORDS, batch},
    words::{number_of, u256_of, word_of, word_of_address},
};

/// Words to write, with their positions.
pub(crate) type Writes = Vec<(usize, Word)>;

/// How a batch is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Price of a unit of gas, wei.
    pub(crate) base_fee: u64,
    /// Whether the batch begins; only bootloaders for simulations know it otherwise.
    pub(crate) is_new: bool,
}

/// How a transaction is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TxMode {
    /// Validated, paid for and executed.
    #[default]
    Full,
    /// Executed only; bootloaders for calls know it.
    Call,
}

impl TxMode {
    fn word(self) -> Word {
        match self {
            Self::Full => Word::one(),
            Self::Call => (Word::from(2) << 248) | Word::one(),
        }
    }
}

/// How much has been written.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    /// Transactions.
    txs: usize,
    /// Words of encoded transactions.
    tx_words: usize,
    /// Words of compressed bytecodes.
    compressed_words: usize,
    interop_roots: usize,
    /// Whether the current block has a transaction.
    block_has_txs: bool,
}

/// The operator's part of the memory.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    layout: Layout,
    words: BTreeMap<usize, Word>,
    marks: Marks,
    /// How it was before the last transaction, and what that wrote.
    before_tx: Marks,
    tx_positions: Vec<usize>,
    /// Blocks so far, the current one included.
    block_count: usize,
    block: BlockEnv,
}

impl Memory {
    pub(crate) fn new(layout: Layout, first_block: BlockEnv) -> Self {
        Self {
            layout,
            words: BTreeMap::new(),
            marks: Marks::default(),
            before_tx: Marks::default(),
            tx_positions: Vec::new(),
            block_count: 1,
            block: first_block,
        }
    }

    /// Number of transactions so far.
    pub(crate) fn tx_count(&self) -> usize {
        self.marks.txs
    }

    /// Whether another transaction of this many words fits.
    pub(crate) fn has_room_for(&self, words: usize) -> bool {
        self.marks.tx_words + words <= self.layout.tx_words()
    }

    /// Parameters of the batch.
    pub(crate) fn open(&mut self, env: &BatchEnv, terms: Terms) -> Writes {
        let Terms { base_fee, is_new } = terms;
        let fees = &env.fee_input;
        let mut writes = vec![
            (batch::OPERATOR, word_of_address(env.fee_account)),
            (
                batch::PREVIOUS_ROOT,
                if is_new { u256_of(env.previous_root.0) } else { Word::zero() },
            ),
            (batch::TIMESTAMP, env.timestamp.0.into()),
            (batch::NUMBER, env.number.0.into()),
            (batch::FAIR_PUBDATA_PRICE, fees.fair_pubdata_price.unwrap_or(0).into()),
            (batch::FAIR_L2_GAS_PRICE, fees.fair_l2_gas_price.into()),
            (batch::BASE_FEE, base_fee.into()),
            (batch::IS_NEW, u8::from(is_new).into()),
        ];
        if let Some(settlement) = self.layout.interop.and_then(|interop| interop.settlement) {
            let chain = settlement_chain(env);
            writes.push((settlement, chain.into()));
            writes.push((settlement + 1, word_of(env.interop_fee)));
        }
        self.note(writes)
    }

    pub(crate) fn start_block(&mut self, block: BlockEnv) {
        self.block = block;
        self.marks.block_has_txs = false;
        self.block_count += 1;
    }

    /// Adds a transaction to the current block.
    pub(crate) fn push_tx(
        &mut self,
        tx: &EncodedTx,
        mode: TxMode,
        compressed: &[Compressed],
    ) -> Writes {
        let layout = self.layout;
        let index = self.marks.txs;
        self.before_tx = self.marks;
        let meta = layout.metas + META_WORDS * index;
        let start = layout.txs + self.marks.tx_words;
        let mut writes = vec![
            (meta, mode.word()),
            (meta + 1, (start * 32).into()),
            (layout.refunds + index, Word::zero()),
            (layout.overheads + index, tx.overhead.into()),
            (layout.compute_gas + index, tx.compute_gas),
        ];
        writes.extend((start..).zip(tx.words.iter().copied()));
        self.push_block_info(&mut writes);
        // The first word of the area is the bootloader's own.
        let compressed_start = layout.compressed + 1 + self.marks.compressed_words;
        let words = compressed.iter().flat_map(|bytecode| bytecode.words().iter().copied());
        writes.extend((compressed_start..).zip(words));

        self.marks.tx_words += tx.words.len();
        self.marks.compressed_words +=
            compressed.iter().map(|bytecode| bytecode.words().len()).sum::<usize>();
        self.marks.block_has_txs = true;
        self.marks.txs += 1;
        self.tx_positions = writes.iter().map(|(position, _)| *position).collect();
        self.note(writes)
    }

    /// Takes back what the last transaction wrote. The machine's own memory must go back too.
    pub(crate) fn undo_tx(&mut self) {
        for position in self.tx_positions.drain(..) {
            self.words.remove(&position);
        }
        self.marks = self.before_tx;
    }

    /// Says where the current block goes on without transactions: the end of the batch.
    pub(crate) fn end_block(&mut self) -> Writes {
        // The bootloader looks at no roots there.
        self.block.interop_roots.clear();
        let mut writes = Vec::new();
        self.push_block_info(&mut writes);
        self.note(writes)
    }

    fn push_block_info(&mut self, writes: &mut Writes) {
        let is_new = !self.marks.block_has_txs;
        let at = self.layout.block_infos + BLOCK_INFO_WORDS * self.marks.txs;
        let block = &self.block;
        let virtual_blocks = if is_new { block.virtual_block_count } else { 0 };
        writes.extend([
            (at, block.number.0.into()),
            (at + 1, block.timestamp.0.into()),
            (at + 2, u256_of(block.parent.0)),
            (at + 3, virtual_blocks.into()),
        ]);
        let Some(interop) = self.layout.interop.filter(|_| is_new) else { return };
        for root in &block.interop_roots {
            let start = interop.roots + INTEROP_ROOT_WORDS * self.marks.interop_roots;
            writes.extend((start..).zip(interop_root_words(block, root)));
            self.marks.interop_roots += 1;
        }
        let count = block.interop_roots.len() + 1;
        writes.push((interop.counts + self.block_count - 1, count.into()));
    }

    /// The operator's refund for the transaction that runs.
    pub(crate) fn suggest_refund(&mut self, refund: u64) -> Writes {
        let index = self.marks.txs.saturating_sub(1);
        self.note(vec![(self.layout.refunds + index, refund.into())])
    }

    /// What the operator hands to the L1 messenger, from the first word that is not the
    /// bootloader's own.
    pub(crate) fn hand_pubdata(&mut self, words: impl IntoIterator<Item = Word>) -> Writes {
        let start = self.layout.pubdata + self.layout.pubdata_form.own_words();
        let writes = (start..).zip(words).collect();
        self.note(writes)
    }

    fn note(&mut self, writes: Writes) -> Writes {
        self.words.extend(writes.iter().copied());
        writes
    }

    /// Words that are not zero, by position in ascending order.
    pub(crate) fn nonzero_words(&self) -> Vec<(u32, U256)> {
        let words = self.words.iter().filter(|(_position, word)| !word.is_zero());
        let position = |position: usize| u32::try_from(position).expect("memory is below 64 MB");
        words.map(|(at, word)| (position(*at), number_of(*word))).collect()
    }
}

fn settlement_chain(env: &BatchEnv) -> u64 {
    match env.settlement_layer {
        Some(SettlementLayer::L1(chain) | SettlementLayer::Gateway(chain)) => chain.0,
        None => 0,
    }
}

fn interop_root_words(block: &BlockEnv, root: &InteropRoot) -> Vec<Word> {
    let mut words: Vec<Word> = vec![
        block.number.0.into(),
        root.chain_id.into(),
        root.block_number.into(),
        root.sides.len().into(),
    ];
    words.extend(root.sides.iter().map(|side| u256_of(*side)));
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lockstep_types::{
        B256, BytecodeHash, Bytes, ChainId, FeeInput, L1BatchNumber, L2BlockHash, L2BlockNumber,
        ProtocolVersion, PubdataParams, StateRoot, UnixSeconds,
    };
    use lockstep_vm::{BaseContracts, Contract};

    use super::*;

    fn env(version: u16) -> BatchEnv {
        let contract = || Contract { hash: BytecodeHash::default(), code: Bytes::new() };
        BatchEnv {
            chain_id: ChainId(1),
            version: ProtocolVersion(version),
            number: L1BatchNumber(2),
            timestamp: UnixSeconds(3),
            previous_root: StateRoot(B256::with_last_byte(4)),
            fee_input: FeeInput {
                l1_gas_price: 5,
                fair_l2_gas_price: 6,
                fair_pubdata_price: Some(7),
            },
            fee_account: lockstep_types::Address::with_last_byte(8),
            base_contracts: Arc::new(BaseContracts {
                bootloader: contract(),
                default_account: contract(),
                evm_emulator: None,
            }),
            pubdata_params: PubdataParams::default(),
            settlement_layer: Some(SettlementLayer::Gateway(ChainId(9))),
            interop_fee: U256::from(10),
        }
    }

    fn block(number: u32, roots: u8) -> BlockEnv {
        let root = |index: u8| InteropRoot {
            chain_id: 100 + u32::from(index),
            block_number: 200 + u32::from(index),
            sides: vec![B256::with_last_byte(index)],
        };
        BlockEnv {
            number: L2BlockNumber(number),
            timestamp: UnixSeconds(u64::from(number)),
            parent: L2BlockHash::default(),
            virtual_block_count: 1,
            interop_roots: (0..roots).map(root).collect(),
        }
    }

    fn written(version: u16, blocks: &[BlockEnv]) -> BTreeMap<u32, u64> {
        let layout = Layout::of(ProtocolVersion(version)).unwrap();
        let mut memory = Memory::new(layout, blocks[0].clone());
        memory.open(&env(version), Terms { base_fee: 11, is_new: true });
        for (index, block) in blocks.iter().enumerate() {
            if index > 0 {
                memory.start_block(block.clone());
            }
            let tx = EncodedTx {
                words: Vec::new(),
                overhead: 0,
                compute_gas: Word::zero(),
                gas_limit: U256::ZERO,
            };
            memory.push_tx(&tx, TxMode::Full, &[]);
        }
        let words = memory.nonzero_words().into_iter();
        words.map(|(at, word)| (at, word.try_into().unwrap())).collect()
    }

    #[test]
    fn a_batch_begins_with_its_parameters() {
        for version in [24, 26, 29, 31] {
            let words = written(version, &[block(1, 0)]);
            let front: Vec<_> = (0..8).map(|at| words[&at]).collect();
            assert_eq!(front, [8, 4, 3, 2, 7, 6, 11, 1], "{version}");
        }
    }

    #[test]
    fn from_version_31_on_the_settlement_layer_and_the_interop_fee_are_there() {
        let words = written(31, &[block(1, 0)]);
        assert_eq!((words[&80_656], words[&80_657]), (9, 10));
        let words = written(29, &[block(1, 0)]);
        assert!(!words.contains_key(&80_656) && !words.contains_key(&80_657));
    }

    #[test]
    fn interop_roots_lie_one_after_the_other_with_a_count_for_each_block() {
        for version in [29, 31] {
            let words = written(version, &[block(1, 2), block(2, 0), block(3, 1)]);
            assert_eq!([70_150, 70_151, 70_152].map(|at| words[&at]), [3, 1, 2]);
            let root = |index: u32| -> Vec<u64> {
                let start = 80_150 + 5 * index;
                (start..start + 5).map(|at| words.get(&at).copied().unwrap_or(0)).collect()
            };
            assert_eq!(root(0), [1, 100, 200, 1, 0]);
            assert_eq!(root(1), [1, 101, 201, 1, 1]);
            assert_eq!(root(2), [3, 100, 200, 1, 0]);
        }
        let words = written(28, &[block(1, 2)]);
        assert!(words.range(70_150..90_000).next().is_none());
    }

    #[test]
    fn what_a_transaction_wrote_can_be_taken_back() {
        let layout = Layout::of(ProtocolVersion(29)).unwrap();
        let mut memory = Memory::new(layout, block(1, 1));
        memory.open(&env(29), Terms { base_fee: 11, is_new: true });
        let before = memory.nonzero_words();
        let tx = EncodedTx {
            words: vec![Word::one(); 3],
            overhead: 1,
            compute_gas: Word::one(),
            gas_limit: U256::ZERO,
        };
        let first = memory.push_tx(&tx, TxMode::Full, &[]);
        memory.suggest_refund(5);
        memory.undo_tx();
        assert_eq!(memory.nonzero_words(), before);
        assert_eq!(memory.push_tx(&tx, TxMode::Full, &[]), first);
    }
}
