//! What the machine sees of the chain: the state below, and programs.
//!
//! The machine's traits know no errors. The first thing that goes wrong is kept here, reads give
//! zeros from then on, and whoever ran the machine asks for the problem afterwards and throws away
//! what it did.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use lockstep_types::{Address, B256, BytecodeHash, Bytes, StorageSlot, address};
use lockstep_vm::VmStorage;
use zksync_types::{H160, U256};
use zksync_vm2::{StorageInterface, StorageSlot as Slot, precompiles::Precompiles};

use super::{
    observer::Observer,
    parity::{Entry, NextEntry},
    precompiles::NativePrecompiles,
    programs::{Code, Key, Programs},
    words::{address_of, b256_of, u256_of},
};
use crate::source::Fault;

/// Bytecodes that transactions make while they run (EVM deployments), by versioned hash. Shared
/// between the observer, which finds them, and the world, which runs them.
#[derive(Clone, Debug, Default)]
pub(crate) struct MadeCodes(Arc<Mutex<BTreeMap<BytecodeHash, Bytes>>>);

impl MadeCodes {
    pub(crate) fn insert(&self, hash: BytecodeHash, code: Bytes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, code);
    }

    /// All of them, by hash.
    pub(crate) fn list(&self) -> Vec<(BytecodeHash, Bytes)> {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.iter().map(|(hash, code)| (*hash, code.clone())).collect()
    }

    pub(crate) fn get(&self, hash: &BytecodeHash) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(hash).cloned()
    }
}

/// A slot of the state below, as far as it was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    value: Option<U256>,
    is_initial: Option<bool>,
}

/// The chain below a batch or call.
#[derive(Debug)]
pub(crate) struct World {
    storage: Box<dyn VmStorage>,
    /// Never iterated.
    known: HashMap<(H160, U256), Known>,
    pub(crate) programs: Arc<Programs>,
    /// Programs that this batch or call has run. Never iterated.
    local: HashMap<U256, Code>,
    /// What is known of them, and where the one that is about to be entered is told; `None` if
    /// nobody asks. Never iterated.
    entries: Option<(HashMap<U256, Entry>, NextEntry)>,
    /// Bytecodes that came with transactions.
    pub(crate) brought: BTreeMap<BytecodeHash, Bytes>,
    pub(crate) made: MadeCodes,
    fault: Option<Fault>,
    fee_slot: U256,
    precompiles: NativePrecompiles,
}

impl World {
    pub(crate) fn new(storage: Box<dyn VmStorage>, programs: Arc<Programs>) -> Self {
        let fee_slot = StorageSlot::balance(address::BOOTLOADER);
        Self {
            storage,
            known: HashMap::new(),
            programs,
            local: HashMap::new(),
            entries: None,
            brought: BTreeMap::new(),
            made: MadeCodes::default(),
            fault: None,
            fee_slot: u256_of(fee_slot.key),
            precompiles: NativePrecompiles::default(),
        }
    }

    /// What went wrong first; `None` if everything could be read so far.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.clone()
    }

    fn fail(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// Puts a value over the state below.
    pub(crate) fn set(&mut self, slot: &StorageSlot, value: B256) {
        let key = (H160(slot.address.into_array()), u256_of(slot.key));
        self.known.entry(key).or_default().value = Some(u256_of(value));
    }

    /// What `slot` holds in the state below.
    pub(crate) fn value(&mut self, slot: &StorageSlot) -> U256 {
        self.read(H160(slot.address.into_array()), u256_of(slot.key))
    }

    /// Index of `slot` in the state below; 0 if it has none.
    pub(crate) fn leaf_index(&mut self, slot: &StorageSlot) -> u64 {
        match self.storage.leaf_index(slot) {
            Ok(index) => index.map_or(0, |index| index.0),
            Err(error) => {
                self.fail(Fault::Storage(error));
                0
            }
        }
    }

    /// A bytecode that the chain or the batch knows. A missing one is a fault.
    pub(crate) fn code(&mut self, hash: BytecodeHash) -> Bytes {
        if let Some(code) = self.brought.get(&hash) {
            return code.clone();
        }
        if let Some(code) = self.made.get(&hash) {
            return code;
        }
        let fault = match self.storage.bytecode(&hash) {
            Ok(Some(code)) if !code.is_empty() && code.len().is_multiple_of(32) => return code,
            Ok(Some(code)) => {
                let length = code.len();
                Fault::BadInput(format!("bytecode {hash} of {length} bytes is not in whole words"))
            }
            Ok(None) => Fault::BadInput(format!("bytecode {hash} is run but not known")),
            Err(error) => Fault::Storage(error),
        };
        self.fail(fault);
        // A word of zeros is an invalid instruction.
        Bytes::from_static(&[0; 32])
    }

    /// Tells from now on what is known of a program that is about to be entered.
    pub(crate) fn tell_entries(&mut self) -> NextEntry {
        let next = NextEntry::default();
        self.entries = Some((HashMap::new(), next.clone()));
        next
    }

    /// Programs are found by hash alone. That a hash may be run was checked by the machine against
    /// the state, so code of a deployment that was undone is in the cache but cannot be reached.
    fn program(&mut self, hash: U256) -> Code {
        if let Some(code) = self.local.get(&hash) {
            return code.clone();
        }
        let key = Key::Contract(hash);
        let code = self.programs.get(key).unwrap_or_else(|| {
            let bytes = self.code(BytecodeHash(b256_of(hash)));
            if self.fault.is_some() {
                return zksync_vm2::Program::new(&bytes, false);
            }
            self.programs.decode(key, &bytes)
        });
        if let Some((entries, _)) = &mut self.entries {
            entries.insert(hash, Entry::of(code.code_page()));
        }
        self.local.insert(hash, code.clone());
        code
    }

    fn read(&mut self, contract: H160, key: U256) -> U256 {
        if let Some(Known { value: Some(value), .. }) = self.known.get(&(contract, key)) {
            return *value;
        }
        let slot = StorageSlot::new(Address::new(contract.0), b256_of(key));
        match self.storage.value(&slot) {
            Ok(value) => {
                let value = u256_of(value);
                self.known.entry((contract, key)).or_default().value = Some(value);
                value
            }
            Err(error) => {
                self.fail(Fault::Storage(error));
                U256::zero()
            }
        }
    }

    fn is_initial(&mut self, contract: H160, key: U256) -> bool {
        if let Some(Known { is_initial: Some(is), .. }) = self.known.get(&(contract, key)) {
            return *is;
        }
        let slot = StorageSlot::new(Address::new(contract.0), b256_of(key));
        match self.storage.leaf_index(&slot) {
            Ok(index) => {
                let is_initial = index.is_none();
                self.known.entry((contract, key)).or_default().is_initial = Some(is_initial);
                is_initial
            }
            Err(error) => {
                self.fail(Fault::Storage(error));
                true
            }
        }
    }
}

/// Bytes of the compressed change of a slot's value: a byte of metadata and, whatever is shortest,
/// what was added, what was taken away, the new value, or the new value in full.
pub(crate) fn compressed_len(before: U256, after: U256) -> u32 {
    let bytes = |number: U256| number.bits().div_ceil(8);
    let added = bytes(after.overflowing_sub(before).0);
    let taken = bytes(before.overflowing_sub(after).0);
    let shortest = added.min(taken).min(bytes(after));
    let length = if shortest < 31 { shortest } else { 32 };
    u32::try_from(length).expect("at most 32") + 1
}

/// Bytes that name a slot in pubdata: its hashed key the first time, its index later.
const KEY_BYTES: u32 = 32;
const INDEX_BYTES: u32 = 4;

impl StorageInterface for World {
    fn read_storage(&mut self, contract: H160, key: U256) -> Slot {
        let value = self.read(contract, key);
        Slot { value, is_write_initial: self.is_initial(contract, key) }
    }

    fn read_storage_value(&mut self, contract: H160, key: U256) -> U256 {
        self.read(contract, key)
    }

    fn cost_of_writing_storage(&mut self, slot: Slot, new_value: U256) -> u32 {
        if slot.value == new_value {
            return 0;
        }
        let name = if slot.is_write_initial { KEY_BYTES } else { INDEX_BYTES };
        name + compressed_len(slot.value, new_value)
    }

    fn is_free_storage_slot(&self, contract: &H160, key: &U256) -> bool {
        let contract = address_of(contract);
        contract == address::SYSTEM_CONTEXT
            || contract == address::BASE_TOKEN && *key == self.fee_slot
    }
}

impl zksync_vm2::World<Observer> for World {
    fn decommit(&mut self, hash: U256) -> Code {
        let code = self.program(hash);
        if let Some((entries, next)) = &self.entries
            && let Some(entry) = entries.get(&hash)
        {
            next.set(*entry);
        }
        code
    }

    fn decommit_code(&mut self, hash: U256) -> Vec<u8> {
        let code = self.program(hash);
        let mut bytes = Vec::with_capacity(code.code_page().len() * 32);
        for word in code.code_page() {
            bytes.extend_from_slice(b256_of(*word).as_slice());
        }
        bytes
    }

    fn precompiles(&self) -> &impl Precompiles {
        &self.precompiles
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zksync_types::writes::compression::compress_with_best_strategy;

    use super::*;

    proptest! {
        #[test]
        fn lengths_are_those_of_the_compression(
            before in any::<[u64; 4]>(),
            after in any::<[u64; 4]>(),
            small in any::<(bool, bool, bool)>(),
        ) {
            let before = if small.0 { U256::from(before[0]) } else { U256(before) };
            let mut after = if small.1 { U256::from(after[0]) } else { U256(after) };
            if small.2 {
                after = before.overflowing_add(U256::from(after.0[0] % 1_000)).0;
            }
            let compressed = compress_with_best_strategy(before, after);
            prop_assert_eq!(compressed_len(before, after) as usize, compressed.len());
        }
    }
}
