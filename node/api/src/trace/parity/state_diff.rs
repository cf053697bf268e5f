//! What a run changed, account by account. Slots of system contracts are shown as what they are,
//! beside the balances, nonces and code that they hold for others.

use std::collections::BTreeMap;

use lockstep_replay::{AccountState, TouchedAccount};
use lockstep_types::{Address, B256, BytecodeHash, Bytes, U256};
use lockstep_vm::Trace;
use lockstep_wire::eth::{AccountDiff, Delta};

use crate::{
    call::Call,
    error::ApiResult,
    trace::prestate::{code, nonce},
};

/// What changed in a run. `made` tells bytecodes that are not stored.
pub(super) fn of(
    call: &Call,
    trace: &Trace,
    accounts: &[TouchedAccount],
    made: &dyn Fn(&BytecodeHash) -> Option<Bytes>,
) -> ApiResult<BTreeMap<Address, AccountDiff>> {
    let mut slots: BTreeMap<Address, BTreeMap<B256, (B256, B256)>> = BTreeMap::new();
    for touched in trace.touched.iter().filter(|touched| touched.before != touched.after) {
        let of_account = slots.entry(touched.slot.address).or_default();
        of_account.insert(touched.slot.key, (touched.before, touched.after));
    }
    let shown_code = |hash: B256| -> ApiResult<Bytes> {
        if let Some(code) = made(&BytecodeHash(hash)) {
            return Ok(Bytes::copy_from_slice(BytecodeHash(hash).displayed(&code)));
        }
        Ok(code(call, hash)?.unwrap_or_default())
    };
    let mut all = BTreeMap::new();
    for TouchedAccount { address, before, after } in accounts {
        let changed = slots.remove(address).unwrap_or_default();
        if before == after && changed.is_empty() {
            continue;
        }
        let was_there = *before != AccountState::default() || *before == *after;
        let code = if before.code_hash == after.code_hash && was_there {
            Delta::Same
        } else {
            let (from, to) = (shown_code(before.code_hash)?, shown_code(after.code_hash)?);
            Delta::of(from, to, was_there)
        };
        let number = |value: B256| U256::from_be_bytes(value.0);
        let storage = changed
            .into_iter()
            .map(|(key, (from, to))| (key, Delta::of(from, to, was_there || !from.is_zero())));
        let diff = AccountDiff {
            balance: Delta::of(number(before.balance), number(after.balance), was_there),
            code,
            nonce: Delta::of(U256::from(nonce(before)), U256::from(nonce(after)), was_there),
            storage: storage.collect(),
        };
        all.insert(*address, diff);
    }
    Ok(all)
}
