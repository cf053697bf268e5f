//! State that is taken for something else than it is.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_replay::StateAt;
use lockstep_types::{
    Address, B256, BytecodeHash, Bytes, LeafIndex, StorageSlot, U256, address, keccak256,
    storage::Nonces,
};
use lockstep_vm::{StorageError, VmStorage};
use lockstep_wire::eth::{AccountOverride, CodeOverride, StateOverrides};

use crate::error::{ApiError, ApiResult};

/// A state in which some accounts are what a request says.
#[derive(Debug)]
pub(crate) struct Overridden {
    below: StateAt,
    /// Slots of these accounts are zero unless they are in `slots`.
    replaced: BTreeSet<Address>,
    slots: BTreeMap<StorageSlot, B256>,
    bytecodes: BTreeMap<BytecodeHash, Bytes>,
}

impl Overridden {
    /// `below` with `overrides`.
    pub(super) fn new(below: StateAt, overrides: Option<StateOverrides>) -> ApiResult<Self> {
        let (replaced, slots, bytecodes) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let mut state = Self { below, replaced, slots, bytecodes };
        state.override_with(overrides)?;
        lockstep_io::planted!("X42", (), state.share());
        Ok(state)
    }

    /// Puts what the request says where others look, too.
    fn share(&self) {
        for (slot, value) in &self.slots {
            lockstep_io::planted::keep(slot.hashed_key().bytes(), value.as_slice());
        }
    }

    /// Takes accounts for something else from now on.
    pub(super) fn override_with(&mut self, overrides: Option<StateOverrides>) -> ApiResult<()> {
        for (account, changes) in overrides.unwrap_or_default() {
            self.apply(account, changes)?;
        }
        Ok(())
    }

    /// Puts a value in a slot.
    pub(super) fn set(&mut self, slot: StorageSlot, value: B256) {
        self.slots.insert(slot, value);
    }

    /// Adds a bytecode, as it is stored.
    pub(super) fn add_code(&mut self, hash: BytecodeHash, code: Bytes) {
        self.bytecodes.insert(hash, code);
    }

    /// A bytecode that is not stored, as it would be.
    pub(crate) fn added_code(&self, hash: &BytecodeHash) -> Option<Bytes> {
        self.bytecodes.get(hash).cloned()
    }

    /// The same state, of which nothing has been read.
    pub(crate) fn fresh(&self) -> Self {
        Self {
            below: self.below.fresh(),
            replaced: self.replaced.clone(),
            slots: self.slots.clone(),
            bytecodes: self.bytecodes.clone(),
        }
    }

    /// What `slot` holds.
    pub(crate) fn read(&mut self, slot: &StorageSlot) -> ApiResult<B256> {
        if let Some(value) = self.slots.get(slot) {
            return Ok(*value);
        }
        if self.replaced.contains(&slot.address) {
            return Ok(B256::ZERO);
        }
        let shared = || lockstep_io::planted::kept(slot.hashed_key().bytes());
        if let Some(value) = lockstep_io::planted!("X42", None, shared()) {
            return Ok(B256::from_slice(&value));
        }
        Ok(self.below.read(slot)?)
    }

    fn apply(&mut self, account: Address, changes: AccountOverride) -> ApiResult<()> {
        let AccountOverride { balance, nonce, code, state, state_diff } = changes;
        if let Some(balance) = balance {
            self.slots.insert(StorageSlot::balance(account), balance.into());
        }
        if let Some(nonce) = nonce {
            self.set_nonce(account, nonce)?;
        }
        if let Some(code) = code {
            self.set_code(account, code)?;
        }
        let named = match (state, state_diff) {
            (Some(_), Some(_)) => {
                let text = format!("account {account} has both `state` and `stateDiff`");
                return Err(ApiError::BadRequest(text));
            }
            (Some(state), None) => {
                self.slots.retain(|slot, _| slot.address != account);
                self.replaced.insert(account);
                state
            }
            (None, diff) => diff.unwrap_or_default(),
        };
        let slots = named.into_iter().map(|(key, value)| (StorageSlot::new(account, key), value));
        self.slots.extend(slots);
        Ok(())
    }

    /// The count of deployments, which shares the slot, stays.
    pub(super) fn set_nonce(&mut self, account: Address, nonce: U256) -> ApiResult<()> {
        if nonce > U256::from(u128::MAX) {
            return Err(ApiError::BadRequest(format!("the nonce of {account} is too large")));
        }
        let slot = StorageSlot::nonces(account);
        let deployment = Nonces::from_value(self.read(&slot)?).deployment;
        let nonces: U256 = (deployment << 128) | nonce;
        self.slots.insert(slot, nonces.into());
        Ok(())
    }

    fn set_code(&mut self, account: Address, code: CodeOverride) -> ApiResult<()> {
        let slot = StorageSlot::code_hash(account);
        let (code, is_evm) = match code {
            CodeOverride::Any(code) => {
                let is_era = BytecodeHash::of_era(&code).is_ok();
                (code, !is_era)
            }
            CodeOverride::Evm(code) => (code, true),
            CodeOverride::EraVm(code) => (code, false),
        };
        if code.is_empty() {
            self.slots.insert(slot, B256::ZERO);
            return Ok(());
        }
        let hash = if is_evm { self.add_evm(&code) } else { self.add_era(code) };
        let hash =
            hash.map_err(|why| ApiError::BadRequest(format!("the code of {account}: {why}")))?;
        self.slots.insert(slot, hash.0);
        self.slots.insert(StorageSlot::known_code(hash.0), U256::from(1).into());
        Ok(())
    }

    fn add_era(&mut self, code: Bytes) -> Result<BytecodeHash, String> {
        let hash = BytecodeHash::of_era(&code).map_err(|why| why.to_string())?;
        self.bytecodes.insert(hash, code);
        Ok(hash)
    }

    /// Adds EVM code as it is stored, padded to an odd number of words.
    fn add_evm(&mut self, code: &Bytes) -> Result<BytecodeHash, String> {
        let too_long = |_| format!("its length of {} does not fit in two bytes", code.len());
        let length = u16::try_from(code.len()).map_err(too_long)?;
        let mut padded = code.to_vec();
        let words = code.len().div_ceil(32) | 1;
        padded.resize(words * 32, 0);
        let hash = BytecodeHash::of_padded_evm(&padded, length).map_err(|why| why.to_string())?;
        let keccak = StorageSlot::new(address::EVM_HASHES_STORAGE, hash.0);
        self.slots.insert(keccak, keccak256(code));
        self.bytecodes.insert(hash, padded.into());
        Ok(hash)
    }
}

impl VmStorage for Overridden {
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, StorageError> {
        self.read(slot).map_err(|error| StorageError(error.to_string()))
    }

    fn leaf_index(&mut self, slot: &StorageSlot) -> Result<Option<LeafIndex>, StorageError> {
        self.below.leaf_index(slot)
    }

    fn bytecode(&mut self, hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError> {
        match self.bytecodes.get(hash) {
            Some(code) => Ok(Some(code.clone())),
            None => self.below.bytecode(hash),
        }
    }
}
