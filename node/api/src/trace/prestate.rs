//! Accounts before and after a run, in the shape of geth's `prestateTracer`.
//!
//! Balances, nonces and code hashes are slots of system contracts here: they are shown as fields of
//! the accounts that they belong to, and as slots of the system contracts if the run touched them.

use std::collections::BTreeMap;

use lockstep_replay::{AccountState, TouchedAccount};
use lockstep_types::{Address, B256, BytecodeHash, Bytes, U256, storage::Nonces};
use lockstep_vm::{TouchedSlot, Trace};
use lockstep_wire::eth::{PrestateAccount, PrestateAccounts, PrestateDiff, TracerConfig};

use super::Shown;
use crate::{call::Call, error::ApiResult};

/// Shows all accounts before the run, or what the run changed.
pub(super) fn show(
    call: &Call,
    trace: &Trace,
    accounts: &[TouchedAccount],
    config: TracerConfig,
) -> ApiResult<Shown> {
    let mut slots: BTreeMap<Address, Vec<&TouchedSlot>> = BTreeMap::new();
    if !config.disable_storage {
        for touched in &trace.touched {
            slots.entry(touched.slot.address).or_default().push(touched);
        }
    }
    let code = |hash: B256| if config.disable_code { Ok(None) } else { code(call, hash) };
    let mut all = PrestateAccounts::new();
    let mut diff = PrestateDiff::default();
    for account in accounts {
        let touched = slots.remove(&account.address).unwrap_or_default();
        if config.diff_mode {
            add_changes(account, &touched, code, &mut diff)?;
            continue;
        }
        let before = touched.iter().map(|touched| (touched.slot.key, touched.before));
        let storage = before.collect();
        all.insert(account.address, whole(&account.before, code, storage)?);
    }
    Ok(if config.diff_mode { Shown::Diff(diff) } else { Shown::Prestate(all) })
}

/// An account with all that it held.
fn whole(
    state: &AccountState,
    code: impl Fn(B256) -> ApiResult<Option<Bytes>>,
    storage: BTreeMap<B256, B256>,
) -> ApiResult<PrestateAccount> {
    let nonce = nonce(state);
    Ok(PrestateAccount {
        balance: Some(state.balance.into()),
        code: code(state.code_hash)?,
        nonce: (nonce > 0).then_some(nonce),
        storage,
    })
}

/// Nothing of an account that did not change; before the run nothing of one that was not there.
fn add_changes(
    account: &TouchedAccount,
    touched: &[&TouchedSlot],
    code: impl Fn(B256) -> ApiResult<Option<Bytes>>,
    diff: &mut PrestateDiff,
) -> ApiResult<()> {
    let TouchedAccount { address, before, after } = account;
    let changed = || touched.iter().filter(|touched| touched.before != touched.after);
    if before == after && changed().next().is_none() {
        return Ok(());
    }
    let not_zero = |(_, value): &(B256, B256)| !value.is_zero();
    let slots_before = changed().map(|touched| (touched.slot.key, touched.before));
    let slots_after = changed().map(|touched| (touched.slot.key, touched.after));
    let (nonce_before, nonce_after) = (nonce(before), nonce(after));
    let mut post = PrestateAccount {
        storage: slots_after.filter(not_zero).collect(),
        ..PrestateAccount::default()
    };
    if before.balance != after.balance {
        post.balance = Some(U256::from_be_bytes(after.balance.0));
    }
    if nonce_before != nonce_after {
        post.nonce = Some(nonce_after);
    }
    if before.code_hash != after.code_hash {
        post.code = code(after.code_hash)?;
    }
    diff.post.insert(*address, post);
    let storage: BTreeMap<_, _> = slots_before.filter(not_zero).collect();
    if *before != AccountState::default() || !storage.is_empty() {
        diff.pre.insert(*address, whole(before, code, storage)?);
    }
    Ok(())
}

/// Contracts count their deployments and others their transactions; those that send transactions
/// and have code as well are shown with the latter, once they have sent one.
pub(super) fn nonce(state: &AccountState) -> u64 {
    let Nonces { tx, deployment } = Nonces::from_value(state.nonces);
    let is_contract = !state.code_hash.is_zero() && tx.is_zero();
    if is_contract { deployment.saturating_to() } else { tx.saturating_to() }
}

/// Code as an API shows it; nothing if there is none, or if it is only in the run.
pub(super) fn code(call: &Call, hash: B256) -> ApiResult<Option<Bytes>> {
    if hash.is_zero() {
        return Ok(None);
    }
    // While an account is being constructed its code hash carries a flag in the second byte.
    let mut deployed = BytecodeHash(hash);
    deployed.0[1] = 0;
    let stored = call.view.bytecode(&deployed)?;
    let shown = stored.map(|stored| Bytes::copy_from_slice(deployed.displayed(&stored.code)));
    Ok(shown.filter(|code| !code.is_empty()))
}
