//! Precompiled contracts of the machine.
//!
//! Keccak-256 is most of what runs at the end of a batch, where the L1 messenger hashes a tree of
//! thousands of leaves that are nearly all empty, so most hashes are those of the input before.

use std::cell::RefCell;

use lockstep_types::keccak256;
use zksync_vm2::precompiles::{
    KECCAK256_ROUND_FUNCTION_PRECOMPILE_ADDRESS, LegacyPrecompiles, PrecompileMemoryReader,
    PrecompileOutput, Precompiles,
};

use super::words::u256_of;

/// Longest input whose hash is kept, bytes.
const KEPT_BYTES_MAX: usize = 64;

/// An input with its hash.
#[derive(Clone, Debug, Default)]
struct Hashed {
    input: Vec<u8>,
    hash: zksync_types::U256,
}

/// Precompiled contracts. The hash function is native, the others are those of the crate.
#[derive(Clone, Debug, Default)]
pub(crate) struct NativePrecompiles {
    last: RefCell<Option<Hashed>>,
}

impl NativePrecompiles {
    fn keccak256(&self, memory: PrecompileMemoryReader<'_>) -> PrecompileOutput {
        let length = memory.len();
        if length > KEPT_BYTES_MAX {
            let input: Vec<u8> = memory.collect();
            return u256_of(keccak256(&input)).into();
        }
        let mut buffer = [0; KEPT_BYTES_MAX];
        for (place, byte) in buffer.iter_mut().zip(memory) {
            *place = byte;
        }
        let input = &buffer[..length];
        let mut last = self.last.borrow_mut();
        if let Some(last) = last.as_ref().filter(|last| last.input == input) {
            return last.hash.into();
        }
        let hash = u256_of(keccak256(input));
        *last = Some(Hashed { input: input.to_vec(), hash });
        hash.into()
    }
}

impl Precompiles for NativePrecompiles {
    fn call_precompile(
        &self,
        address_low: u16,
        memory: PrecompileMemoryReader<'_>,
        aux_input: u64,
    ) -> PrecompileOutput {
        if address_low == KECCAK256_ROUND_FUNCTION_PRECOMPILE_ADDRESS {
            self.keccak256(memory)
        } else {
            LegacyPrecompiles.call_precompile(address_low, memory, aux_input)
        }
    }
}
