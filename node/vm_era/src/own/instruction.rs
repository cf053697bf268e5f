//! Instructions as they are encoded.

use zksync_multivm::zk_evm_latest::zkevm_opcode_defs::{
    DecodedOpcode,
    decoding::{EncodingModeProduction, VmEncodingMode},
};
use zksync_vm2::interface::CallframeInterface;

/// Instructions in a word of code.
pub(super) const IN_WORD: u16 = 4;

/// The instruction that `frame` is at: eight bytes, the first of a word in its highest ones. The
/// program must not be at its end. `None` after one that panicked.
pub(super) fn current(frame: &impl CallframeInterface) -> Option<u64> {
    let position = frame.program_counter()?;
    let word = frame.read_contract_code(position / IN_WORD);
    Some(word.0[usize::from(IN_WORD - 1 - position % IN_WORD)])
}

/// What it says.
pub(super) fn decode(instruction: u64) -> DecodedOpcode<8, EncodingModeProduction> {
    EncodingModeProduction::parse_preliminary_variant_and_absolute_number(instruction).0
}
