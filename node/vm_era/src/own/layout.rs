//! Where things lie in the bootloader's memory, by protocol version. All positions are in words of
//! 32 bytes from the start of its heap.

use lockstep_types::ProtocolVersion;
use zksync_types::U256 as Word;

use super::words::words_of;

/// Gas of a batch, as APIs show it.
pub(crate) const BATCH_GAS_LIMIT: u64 = 1 << 50;

/// First version that the machine runs.
pub(crate) const OLDEST: ProtocolVersion = ProtocolVersion(24);
/// Last version that the machine runs.
pub(crate) const NEWEST: ProtocolVersion = ProtocolVersion(31);

/// Transactions in a batch, at most.
pub(crate) const TXS_MAX: usize = 10_000;
/// Interop roots in a batch, at most (from v29 on).
pub(crate) const INTEROP_ROOTS_MAX: usize = 100;
/// Words of what the operator hands to the L1 messenger, at most.
pub(crate) const PUBDATA_WORDS: usize = 1_360_000;

/// Memory of the bootloader, bytes.
const HEAP_BYTES: usize = 63_800_000;
/// What comes first: 8 words of batch parameters, 32 for debugging, 33 for the paymaster's context,
/// 2 hashes of the current transaction.
const FRONT_WORDS: usize = 8 + 32 + 33 + 2;
/// Words before each encoded transaction that the bootloader writes to.
const POSTOP_WORDS: usize = 33 + 7;
/// Words of an interop root: block, chain, block there, number of sides, one side.
pub(crate) const INTEROP_ROOT_WORDS: usize = 5;
/// Words for compressed bytecodes.
const COMPRESSED_WORDS: usize = 196_608;
/// Words that say how a transaction is to be run.
pub(crate) const META_WORDS: usize = 2;
/// Words that say which block a transaction is in.
pub(crate) const BLOCK_INFO_WORDS: usize = 4;

/// Parameters of the batch.
pub(crate) mod batch {
    pub(crate) const OPERATOR: usize = 0;
    pub(crate) const PREVIOUS_ROOT: usize = 1;
    pub(crate) const TIMESTAMP: usize = 2;
    pub(crate) const NUMBER: usize = 3;
    pub(crate) const FAIR_PUBDATA_PRICE: usize = 4;
    pub(crate) const FAIR_L2_GAS_PRICE: usize = 5;
    pub(crate) const BASE_FEE: usize = 6;
    pub(crate) const IS_NEW: usize = 7;
}

/// How the operator hands pubdata over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PubdataForm {
    /// Length and bytes (before v26).
    Bytes,
    /// Validator's address and bytes (v26 to v30).
    WithValidator,
    /// Commitment scheme and bytes (from v31 on).
    WithScheme,
}

impl PubdataForm {
    /// What the operator writes, from the first word that is not the bootloader's own. `checker` is
    /// the validator or the commitment scheme.
    pub(crate) fn words(self, checker: Word, handed: &[u8]) -> Vec<Word> {
        let mut words = match self {
            Self::Bytes => Vec::new(),
            // The bytes begin after these two words.
            Self::WithValidator | Self::WithScheme => vec![checker, Word::from(64)],
        };
        words.push(Word::from(handed.len()));
        words.extend(words_of(handed));
        words
    }

    /// Words before that, which the bootloader fills.
    pub(crate) fn own_words(self) -> usize {
        match self {
            Self::Bytes => 2,
            Self::WithValidator | Self::WithScheme => 1,
        }
    }
}

/// Memory from v29 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InteropLayout {
    /// By block of the batch: number of its roots plus one.
    pub(crate) counts: usize,
    /// The roots.
    pub(crate) roots: usize,
    /// The settlement layer's chain id, then the interop fee (from v31 on).
    pub(crate) settlement: Option<usize>,
}

/// Positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Factory deps of a transaction, at most.
    pub(crate) factory_deps_max: usize,
    /// By transaction: the refund that the operator suggests.
    pub(crate) refunds: usize,
    /// By transaction: gas for its share of the batch.
    pub(crate) overheads: usize,
    /// By transaction: gas that it may compute with.
    pub(crate) compute_gas: usize,
    /// By transaction: its block.
    pub(crate) block_infos: usize,
    pub(crate) interop: Option<InteropLayout>,
    /// Compressed bytecodes; the first word is the bootloader's own.
    pub(crate) compressed: usize,
    /// What the operator hands to the L1 messenger; its first words are the bootloader's own.
    pub(crate) pubdata: usize,
    pub(crate) pubdata_form: PubdataForm,
    /// By transaction: how to run it.
    pub(crate) metas: usize,
    /// The encoded transactions, one after the other.
    pub(crate) txs: usize,
    /// By transaction: whether it succeeded.
    pub(crate) results: usize,
    /// The word that calls the operator, after three parameters.
    pub(crate) hook: usize,
}

impl Layout {
    /// Layout of a version; `None` if the machine does not run it.
    pub(crate) fn of(version: ProtocolVersion) -> Option<Self> {
        if !(OLDEST..=NEWEST).contains(&version) {
            return None;
        }
        let has_gateway = version >= ProtocolVersion::GATEWAY;
        let has_interop = version >= ProtocolVersion::INTEROP;
        let has_settlement = version >= NEWEST;

        let factory_deps_max = if has_gateway { 64 } else { 32 };
        let refunds = FRONT_WORDS + factory_deps_max + 4;
        let overheads = refunds + TXS_MAX;
        let compute_gas = overheads + TXS_MAX;
        let block_infos = compute_gas + TXS_MAX;
        let after_blocks = block_infos + (TXS_MAX + 1) * BLOCK_INFO_WORDS;
        let (interop, compressed) = if has_interop {
            // Three words of the bootloader's own come first.
            let counts = after_blocks + 3;
            let roots = counts + TXS_MAX;
            let rolling_hash = roots + (INTEROP_ROOTS_MAX + 1) * INTEROP_ROOT_WORDS;
            let settlement = has_settlement.then_some(rolling_hash + 1);
            let compressed = rolling_hash + if has_settlement { 3 } else { 1 };
            (Some(InteropLayout { counts, roots, settlement }), compressed)
        } else {
            (None, after_blocks)
        };
        // Count and hash of priority operations, and from v29 on a hash over all outcomes.
        let own_words = if has_interop { 3 } else { 2 };
        let pubdata = compressed + COMPRESSED_WORDS + own_words;
        let metas = pubdata + PUBDATA_WORDS;
        let txs = metas + META_WORDS * TXS_MAX + POSTOP_WORDS;
        let results = HEAP_BYTES / 32 - TXS_MAX;
        let pubdata_form = if has_settlement {
            PubdataForm::WithScheme
        } else if has_gateway {
            PubdataForm::WithValidator
        } else {
            PubdataForm::Bytes
        };
        Some(Self {
            factory_deps_max,
            refunds,
            overheads,
            compute_gas,
            block_infos,
            interop,
            compressed,
            pubdata,
            pubdata_form,
            metas,
            txs,
            results,
            hook: results - 1,
        })
    }

    /// Words for encoded transactions.
    pub(crate) fn tx_words(&self) -> usize {
        HEAP_BYTES / 32 - self.txs - TXS_MAX
    }

    /// Interop roots in a batch, at most.
    pub(crate) fn interop_roots_max(&self) -> usize {
        if self.interop.is_some() { INTEROP_ROOTS_MAX } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use zksync_multivm::{
        VmVersion,
        utils::{
            get_bootloader_encoding_space, get_bootloader_max_interop_roots_in_batch,
            get_bootloader_max_txs_in_batch, get_max_new_factory_deps,
            get_used_bootloader_memory_bytes,
        },
    };
    use zksync_types::ProtocolVersionId;

    use super::*;

    #[test]
    fn sizes_are_those_of_the_crates() {
        for number in 24..=29 {
            let layout = Layout::of(ProtocolVersion(number)).unwrap();
            let version = VmVersion::from(ProtocolVersionId::try_from(number).unwrap());
            assert_eq!(layout.factory_deps_max, get_max_new_factory_deps(version), "{number}");
            let roots_max = get_bootloader_max_interop_roots_in_batch(version);
            assert_eq!(layout.interop_roots_max(), roots_max, "{number}");
            assert_eq!(TXS_MAX, get_bootloader_max_txs_in_batch(version), "{number}");
            assert_eq!(HEAP_BYTES, get_used_bootloader_memory_bytes(version), "{number}");
            let space = get_bootloader_encoding_space(version);
            assert_eq!(layout.tx_words(), usize::try_from(space).unwrap(), "{number}");
        }
    }

    #[test]
    fn version_31_has_two_words_more_before_compressed_bytecodes() {
        let before = Layout::of(ProtocolVersion(29)).unwrap();
        let after = Layout::of(ProtocolVersion(31)).unwrap();
        assert_eq!(after.compressed, before.compressed + 2);
        assert_eq!(after.txs, before.txs + 2);
        assert_eq!(after.results, before.results);
        let settlement = after.interop.unwrap().settlement.unwrap();
        assert_eq!(settlement + 2, after.compressed);
    }

    /// Positions that follow from the sizes in the sources of the bootloaders.
    #[test]
    fn everything_lies_where_the_bootloaders_look() {
        let positions = |version| {
            let layout = Layout::of(ProtocolVersion(version)).unwrap();
            let Layout { refunds, overheads, compute_gas, block_infos, .. } = layout;
            assert_eq!((overheads, compute_gas), (refunds + 10_000, refunds + 20_000));
            assert_eq!(block_infos, refunds + 30_000);
            assert_eq!((layout.results, layout.hook), (1_983_750, 1_983_749));
            [refunds, layout.compressed, layout.pubdata, layout.metas, layout.txs]
        };
        for version in [24, 25] {
            let expected = [111, 70_115, 266_725, 1_626_725, 1_646_765];
            assert_eq!(positions(version), expected, "{version}");
        }
        for version in [26, 27, 28] {
            let expected = [143, 70_147, 266_757, 1_626_757, 1_646_797];
            assert_eq!(positions(version), expected, "{version}");
        }
        for version in [29, 30] {
            let expected = [143, 80_656, 277_267, 1_637_267, 1_657_307];
            assert_eq!(positions(version), expected, "{version}");
        }
        assert_eq!(positions(31), [143, 80_658, 277_269, 1_637_269, 1_657_309]);
        let interop = |version| Layout::of(ProtocolVersion(version)).unwrap().interop;
        assert_eq!(interop(28), None);
        let of_29 = InteropLayout { counts: 70_150, roots: 80_150, settlement: None };
        assert_eq!(interop(29), Some(of_29));
        assert_eq!(interop(31), Some(InteropLayout { settlement: Some(80_656), ..of_29 }));
    }

    #[test]
    fn pubdata_is_handed_over_in_the_form_of_the_version() {
        let form = |version| Layout::of(ProtocolVersion(version)).unwrap().pubdata_form;
        assert_eq!([24, 25].map(form), [PubdataForm::Bytes; 2]);
        assert_eq!([26, 27, 28, 29, 30].map(form), [PubdataForm::WithValidator; 5]);
        assert_eq!(form(31), PubdataForm::WithScheme);
        let number = Word::from;
        let mut handed = [0; 33];
        (handed[31], handed[32]) = (7, 8);
        let words = PubdataForm::Bytes.words(number(9), &handed);
        assert_eq!(words, [number(33), number(7), number(8) << 248]);
        for form in [PubdataForm::WithValidator, PubdataForm::WithScheme] {
            let with_head = form.words(number(9), &handed);
            assert_eq!(with_head[..2], [number(9), number(64)]);
            assert_eq!(with_head[2..], words);
        }
    }

    #[test]
    fn other_versions_have_no_layout() {
        for version in [0, 23, 32, u16::MAX] {
            assert_eq!(Layout::of(ProtocolVersion(version)), None);
        }
    }
}
