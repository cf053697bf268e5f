//! What an operator asks of a replica that runs: JSON-RPC methods for a port of their own, which
//! is never the API's.

use jsonrpsee::{
    RpcModule,
    types::{ErrorObjectOwned, Params},
};
use lockstep_store::{StoreFault, Views};
use lockstep_types::L1BatchNumber;
use tokio::sync::watch;

use crate::{Operator, Replica, RollBackError, Status};

/// The request cannot be met as it is.
const REFUSED: i32 = -32_000;
/// The store failed.
const FAILED: i32 = -32_603;

struct Admin {
    operator: Operator,
    status: watch::Receiver<Status>,
    views: Views,
}

impl Replica {
    /// `admin_status()` and `admin_rollback(batch)`, to be mounted on a server that only the
    /// operator reaches.
    ///
    /// # Panics
    ///
    /// Never: the names of the methods differ.
    pub fn admin(&self) -> RpcModule<()> {
        let (operator, status) = (self.operator(), self.status());
        let mut module = RpcModule::new(Admin { operator, status, views: self.core.views.clone() });
        module
            .register_async_method("admin_rollback", |params, admin, _| async move {
                roll_back(&params, &admin).await
            })
            .expect("the name is free");
        module
            .register_method("admin_status", |_, admin, _| words(admin))
            .expect("the name is free");
        module.remove_context()
    }
}

async fn roll_back(params: &Params<'_>, admin: &Admin) -> Result<Numbers, ErrorObjectOwned> {
    let (batch,): (u32,) = params.parse().map_err(|error| {
        let detail = error.data().map_or_else(String::new, |data| format!(": {data}"));
        refused(format!("admin_rollback takes one batch number, as in [20]{detail}"))
    })?;
    let done = admin.operator.roll_back_to(L1BatchNumber(batch)).await;
    let done = done.map_err(|error| match &error {
        RollBackError::Store(_) | RollBackError::Tree(_) => {
            ErrorObjectOwned::owned(FAILED, error.to_string(), None::<()>)
        }
        RollBackError::NotSealed { .. }
        | RollBackError::BelowFinal { .. }
        | RollBackError::Pruned(_)
        | RollBackError::Empty
        | RollBackError::Stopping => refused(error.to_string()),
    })?;
    Ok([("batch", done.batch.0), ("block", done.block.0)].into())
}

fn refused(message: String) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(REFUSED, message, None::<()>)
}

type Numbers = std::collections::BTreeMap<&'static str, u32>;
type Words = std::collections::BTreeMap<&'static str, String>;

/// Everything as text: it is for people.
fn words(admin: &Admin) -> Result<Words, ErrorObjectOwned> {
    let fault = |fault: StoreFault| ErrorObjectOwned::owned(FAILED, fault.to_string(), None::<()>);
    let mut words = match admin.status.borrow().clone() {
        Status::Running => Words::from([("status", "running".to_owned())]),
        Status::Stopping => Words::from([("status", "stopping".to_owned())]),
        Status::Halted { code, reason } => Words::from([
            ("status", "halted".to_owned()),
            ("code", code.to_owned()),
            ("reason", reason),
        ]),
    };
    let view = admin.views.now();
    let text = |number: Option<u32>| number.map_or_else(|| "none".to_owned(), |n| n.to_string());
    let batch = |batch: Option<L1BatchNumber>| text(batch.map(|batch| batch.0));
    words.insert("head", text(view.head().map_err(fault)?.map(|head| head.0)));
    words.insert("sealedBatch", batch(view.sealed_batch().map_err(fault)?));
    words.insert("agreedBatch", batch(view.agreed_batch().map_err(fault)?));
    words.insert("comparedBatch", batch(view.compared_batch().map_err(fault)?));
    words.insert("newestCommitment", batch(view.newest_commitment().map_err(fault)?));
    words.insert("newestL1Check", batch(view.newest_l1_check().map_err(fault)?));
    words.insert("finalBatch", batch(Some(view.final_batch().map_err(fault)?)));
    Ok(words)
}
