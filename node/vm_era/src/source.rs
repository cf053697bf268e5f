//! The state below a batch, as the machines read it.
//!
//! Their trait knows no errors. The first thing that goes wrong is kept here, reads give zeros from
//! then on, and whoever called the machine asks for the problem afterwards and throws its answer
//! away.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lockstep_types::{B256, BytecodeHash, Bytes, LeafIndex, StorageSlot};
use lockstep_vm::{StorageError, VmStorage};
use zksync_multivm::interface::storage::ReadStorage;
use zksync_types::{H256, StorageKey, StorageValue};

use crate::convert::{b256, h256, slot};

/// Why a machine's answer is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store could not be read.
    Storage(StorageError),
    /// The machine was given something it cannot run.
    BadInput(String),
}

/// State shared by the machines of one batch. Every slot is read once.
#[derive(Clone, Debug)]
pub(crate) struct Source(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    storage: Box<dyn VmStorage>,
    // Never iterated.
    values: HashMap<StorageSlot, B256>,
    indices: HashMap<StorageSlot, Option<LeafIndex>>,
    fault: Option<Fault>,
}

impl Source {
    pub(crate) fn new(storage: Box<dyn VmStorage>) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            storage,
            values: HashMap::new(),
            indices: HashMap::new(),
            fault: None,
        })))
    }

    /// What `slot` holds.
    pub(crate) fn value(&self, slot: StorageSlot) -> B256 {
        self.0.borrow_mut().value(slot)
    }

    /// What went wrong first; `None` if everything could be read so far.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.0.borrow().fault.clone()
    }
}

impl Inner {
    /// The answer of `read`, or a default if it failed or something failed before.
    fn attempt<T: Default>(
        &mut self,
        read: impl FnOnce(&mut dyn VmStorage) -> Result<T, Fault>,
    ) -> T {
        if self.fault.is_some() {
            return T::default();
        }
        match read(self.storage.as_mut()) {
            Ok(answer) => answer,
            Err(fault) => {
                self.fault = Some(fault);
                T::default()
            }
        }
    }

    fn value(&mut self, slot: StorageSlot) -> B256 {
        if let Some(value) = self.values.get(&slot) {
            return *value;
        }
        let value = self.attempt(|storage| storage.value(&slot).map_err(Fault::Storage));
        self.values.insert(slot, value);
        value
    }

    fn leaf_index(&mut self, slot: StorageSlot) -> Option<LeafIndex> {
        if let Some(index) = self.indices.get(&slot) {
            return *index;
        }
        let index = self.attempt(|storage| storage.leaf_index(&slot).map_err(Fault::Storage));
        self.indices.insert(slot, index);
        index
    }

    /// The machines ask only for code that they are about to run, and panic if there is none. So
    /// they get a word of zeros, which is an invalid instruction.
    fn code(&mut self, hash: BytecodeHash) -> Vec<u8> {
        let code = self.attempt(|storage| {
            let code = storage.bytecode(&hash).map_err(Fault::Storage)?;
            let code = code
                .ok_or_else(|| Fault::BadInput(format!("bytecode {hash} is run but not known")))?;
            if code.is_empty() || !code.len().is_multiple_of(32) {
                let length = code.len();
                let reason = format!("bytecode {hash} of {length} bytes is not in whole words");
                return Err(Fault::BadInput(reason));
            }
            Ok(code.to_vec())
        });
        if code.is_empty() { vec![0; 32] } else { code }
    }
}

impl ReadStorage for Source {
    fn read_value(&mut self, key: &StorageKey) -> StorageValue {
        h256(self.0.borrow_mut().value(slot(key)))
    }

    fn is_write_initial(&mut self, key: &StorageKey) -> bool {
        self.0.borrow_mut().leaf_index(slot(key)).is_none()
    }

    fn load_factory_dep(&mut self, hash: H256) -> Option<Vec<u8>> {
        Some(self.0.borrow_mut().code(BytecodeHash(b256(hash))))
    }

    fn get_enumeration_index(&mut self, key: &StorageKey) -> Option<u64> {
        self.0.borrow_mut().leaf_index(slot(key)).map(|index| index.0)
    }
}

/// State that two batches read.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Box<dyn VmStorage>>>);

/// Two handles to the same state.
pub(crate) fn shared(storage: Box<dyn VmStorage>) -> (Shared, Shared) {
    let first = Shared(Arc::new(Mutex::new(storage)));
    (first.clone(), first)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Box<dyn VmStorage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VmStorage for Shared {
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, StorageError> {
        self.lock().value(slot)
    }

    fn leaf_index(&mut self, slot: &StorageSlot) -> Result<Option<LeafIndex>, StorageError> {
        self.lock().leaf_index(slot)
    }

    fn bytecode(&mut self, hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError> {
        self.lock().bytecode(hash)
    }
}

#[cfg(test)]
mod tests {
    use lockstep_types::{Address, Bytes};
    use zksync_types::AccountTreeId;

    use super::*;

    /// Answers each kind of read once and fails from then on.
    #[derive(Debug, Default)]
    struct Once {
        values: u32,
        indices: u32,
        codes: u32,
    }

    fn once<T>(count: &mut u32, answer: T) -> Result<T, StorageError> {
        *count += 1;
        if *count == 1 { Ok(answer) } else { Err(StorageError(format!("read {count}"))) }
    }

    impl VmStorage for Once {
        fn value(&mut self, _slot: &StorageSlot) -> Result<B256, StorageError> {
            once(&mut self.values, B256::repeat_byte(7))
        }

        fn leaf_index(&mut self, _slot: &StorageSlot) -> Result<Option<LeafIndex>, StorageError> {
            once(&mut self.indices, Some(LeafIndex(3)))
        }

        fn bytecode(&mut self, _hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError> {
            once(&mut self.codes, Some(Bytes::from(vec![1; 96])))
        }
    }

    fn key(byte: u8) -> StorageKey {
        let address = zksync_types::Address::from(Address::repeat_byte(byte).into_array());
        StorageKey::new(AccountTreeId::new(address), H256::zero())
    }

    #[test]
    fn every_slot_is_read_once_for_all_machines() {
        let mut first = Source::new(Box::new(Once::default()));
        let mut second = first.clone();
        assert_eq!(first.read_value(&key(1)), H256::repeat_byte(7));
        assert_eq!(second.read_value(&key(1)), H256::repeat_byte(7));
        assert!(!first.is_write_initial(&key(1)));
        assert_eq!(second.get_enumeration_index(&key(1)), Some(3));
        assert_eq!(first.fault(), None);
    }

    #[test]
    fn the_first_error_is_kept_and_seen_through_every_handle() {
        let mut source = Source::new(Box::new(Once::default()));
        let other = source.clone();
        source.read_value(&key(1));
        assert_eq!(source.read_value(&key(2)), H256::zero());
        assert_eq!(source.load_factory_dep(H256::zero()), Some(vec![0; 32]));
        assert_eq!(other.fault(), Some(Fault::Storage(StorageError("read 2".to_owned()))));
    }

    #[test]
    fn missing_and_misshapen_code_is_a_fault() {
        #[derive(Debug)]
        struct Code(Option<Bytes>);

        impl VmStorage for Code {
            fn value(&mut self, _slot: &StorageSlot) -> Result<B256, StorageError> {
                Ok(B256::ZERO)
            }

            fn leaf_index(&mut self, _: &StorageSlot) -> Result<Option<LeafIndex>, StorageError> {
                Ok(None)
            }

            fn bytecode(&mut self, _hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError> {
                Ok(self.0.clone())
            }
        }

        for code in [None, Some(Bytes::new()), Some(Bytes::from(vec![1; 33]))] {
            let mut source = Source::new(Box::new(Code(code)));
            assert_eq!(source.load_factory_dep(H256::zero()), Some(vec![0; 32]));
            assert!(matches!(source.fault(), Some(Fault::BadInput(_))), "{source:?}");
        }
    }
}
