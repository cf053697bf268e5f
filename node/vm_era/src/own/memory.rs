//! What the operator writes to the bootloader's memory, kept so that it can be committed to.

use std::collections::BTreeMap;

use lockstep_types::{InteropRoot, SettlementLayer, U256};
use lockstep_vm::{BatchEnv, BlockEnv};
use zksync_types::U256 as Word;

use super::{
    encode::{Compressed, EncodedTx},
    layout::{BLOCK_INFO_WORDS, INTEROP_ROOT_WORDS, Layout, META_WORDS, PubdataForm, batch},
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
        let own_words = match self.layout.pubdata_form {
            PubdataForm::Bytes => 2,
            PubdataForm::WithValidator | PubdataForm::WithScheme => 1,
        };
        let writes = (self.layout.pubdata + own_words..).zip(words).collect();
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
