//! A clean replay: a fresh node in a world where nothing goes wrong and everything has happened.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lockstep_io::Clock;
use lockstep_io_memory::{Answer, MemoryIo};
use lockstep_replica::{Replica, ReplicaConfig};
use lockstep_types::L1BatchNumber;
use lockstep_vm_toy::ToyVm;

use super::{Tables, found::Found};
use crate::model::{ExpectedEnd, Model};

/// Longest time that a node takes to follow a chain when nothing is in its way.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is stored after following the chain of `model` as it is now to its end.
///
/// # Errors
///
/// How the node failed to.
pub(crate) fn clean(model: &Model) -> Result<Tables, String> {
    let model = Arc::new(Mutex::new(model.frozen()));
    let memory = MemoryIo::new(1);
    let (server, clock) = (model.clone(), memory.clock.clone());
    memory.http.set_script(move |endpoint, request| {
        let now = Duration::from_nanos(clock.mono().0);
        let mut model = server.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = model.answer(now, endpoint, request);
        Ok(Answer { status: answer.status, headers: answer.headers, body: answer.body })
    });
    let (main_nodes, l1_nodes, chain_id, end) = {
        let model = model.lock().unwrap_or_else(PoisonError::into_inner);
        (model.main_nodes(), model.l1_nodes(), model.l2_chain_id(), model.expected_end())
    };
    let ExpectedEnd::Healthy { block: _, batch } = end else {
        return Err("the chain has no healthy end".to_owned());
    };
    let mut config = ReplicaConfig::new(chain_id, main_nodes, l1_nodes);
    config.commitments = None;
    config.l1_commits = None;
    let vm = Arc::new(ToyVm::default());
    let opening = Replica::open(config, memory.io(), vm.clone(), vm);
    let replica = memory.block_on(Box::pin(opening)).map_err(|error| error.to_string())?;
    let (status, io) = (replica.status(), memory.io());
    let stop = io.tasks.shutdown();
    let running = async move { drop(Box::pin(replica.run(stop)).await) };
    drop(io.tasks.spawn("replica", Box::pin(running)));
    let clock: Arc<dyn Clock> = Arc::new(memory.clock.clone());
    let begin = clock.mono();
    loop {
        memory.block_on(clock.sleep(Duration::from_secs(2)));
        let shared = model.lock().unwrap_or_else(PoisonError::into_inner);
        let image = memory.stores.image();
        let found = Found::open(&image).map_err(|fault| fault.to_string())?;
        if is_settled(&shared, &found, batch).map_err(|fault| fault.to_string())? {
            return found.rows().map_err(|fault| fault.to_string());
        }
        if clock.mono().since(begin) > PATIENCE {
            return Err(format!("it is not there after {PATIENCE:?}: {:?}", *status.borrow()));
        }
    }
}

/// Whether everything that L1 holds of the chain is known to be final.
fn is_settled(
    model: &Model,
    found: &Found,
    batch: u32,
) -> Result<bool, lockstep_store::StoreFault> {
    let agreed = found.view.agreed_batch()?.unwrap_or_default();
    if agreed.0 < batch {
        return Ok(false);
    }
    for number in 1..=batch {
        let steps = found.view.steps(L1BatchNumber(number))?;
        let claim = found.view.claim(L1BatchNumber(number))?;
        let has_commitment = claim.is_some_and(|claim| claim.commitment.is_some());
        if !has_commitment || !(model.settles_elsewhere(number) || steps.is_whole()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// As [`is_settled`], for whoever runs a world.
///
/// # Errors
///
/// [`StoreFault`](lockstep_store::StoreFault): the disk cannot be read.
pub(crate) fn is_at_end(
    model: &Model,
    disk: &lockstep_io_memory::MemoryStores,
) -> Result<bool, lockstep_store::StoreFault> {
    let ExpectedEnd::Healthy { block, batch } = model.expected_end() else { return Ok(false) };
    let found = Found::open(disk)?;
    let head = found.view.head()?.unwrap_or_default();
    // A chain that is left behind may have as many blocks.
    let ours = found.view.block(head)?.map(|header| header.hash);
    let theirs = model.chain().block(&model.view().branch, block).map(|(_, block)| block.hash);
    let is_there = head.0 == block && (block == 0 || ours == theirs);
    Ok(is_there && is_settled(model, &found, batch)?)
}
