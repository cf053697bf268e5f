//! `txpool_*`: of the main node's pool only what was handed on from here is known.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_types::{Address, ChainId, Transaction, U256};
use lockstep_wire::eth;
use serde::Serialize;
use serde_json::{Value, json};

use super::pending::{PendingTxs, WaitingTxs};
use crate::{
    call::{Call, Methods},
    error::ApiResult,
    eth::waiting_transaction,
};

/// Transactions by sender and nonce.
type ByNonce<T> = BTreeMap<Address, BTreeMap<String, T>>;

/// What can run next, and what waits for a nonce that is not known here.
#[derive(Debug, Serialize)]
struct Pool<T> {
    pending: T,
    queued: T,
}

pub(crate) fn register(methods: &mut Methods, pending: &Arc<PendingTxs>) {
    let of = Arc::clone(pending);
    methods.add("txpool_status", move |call, _| {
        let pool = pool(&of.all(call)?, |_| ());
        let count =
            |part: &ByNonce<()>| U256::from(part.values().map(BTreeMap::len).sum::<usize>());
        Ok(json!({"pending": count(&pool.pending), "queued": count(&pool.queued)}))
    });
    let of = Arc::clone(pending);
    methods.add("txpool_content", move |call, _| content(call, &of));
    let of = Arc::clone(pending);
    methods.add("txpool_contentFrom", move |call, params| {
        let sender: Address = params.next()?;
        let mut pool = content(call, &of)?;
        let part = |part: &mut ByNonce<eth::Transaction>| part.remove(&sender).unwrap_or_default();
        Ok(Pool { pending: part(&mut pool.pending), queued: part(&mut pool.queued) })
    });
    let of = Arc::clone(pending);
    methods.add("txpool_inspect", move |call, _| Ok(pool(&of.all(call)?, inspected)));
}

fn content(call: &Call, pending: &PendingTxs) -> ApiResult<Pool<ByNonce<eth::Transaction>>> {
    let chain_id: ChainId = call.identity()?.l2_chain_id;
    Ok(pool(&pending.all(call)?, |tx| waiting_transaction(tx, chain_id)))
}

fn pool<T>(waiting: &[WaitingTxs], show: impl Fn(&Transaction) -> T) -> Pool<ByNonce<T>> {
    let mut pool = Pool { pending: ByNonce::new(), queued: ByNonce::new() };
    for WaitingTxs { sender, next, txs } in waiting {
        let mut expected = *next;
        for (nonce, tx) in txs {
            let part = if *nonce == expected { &mut pool.pending } else { &mut pool.queued };
            if *nonce == expected {
                expected = expected.saturating_add(1);
            }
            part.entry(*sender).or_default().insert(nonce.to_string(), show(tx));
        }
    }
    pool
}

/// As geth sums a transaction up.
fn inspected(tx: &Transaction) -> Value {
    let to = tx.execute.to.map_or_else(|| "contract creation".to_owned(), |to| format!("{to:#x}"));
    let (value, gas, price) = (tx.execute.value, tx.gas_limit(), tx.max_fee_per_gas());
    json!(format!("{to}: {value} wei + {gas} gas × {price} wei"))
}
