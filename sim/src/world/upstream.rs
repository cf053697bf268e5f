//! What is upstream: the model, or a recorded chain; and the VM that runs its blocks.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lockstep_io::{EndpointId, HttpRequest};
use lockstep_io_memory::MemoryStores;
use lockstep_replica::ReplicaConfig;
use lockstep_vm::{Simulator, Vm};
use lockstep_vm_toy::ToyVm;

use super::lock;
use crate::{
    era::{self, EraChain},
    judge,
    model::{Answer, ExpectedEnd, Model, ModelEvent, SharedModel},
    net::Server,
    scenario::{ExecMode, Scenario},
};

/// What is upstream. Clones are the same.
#[derive(Clone, Debug)]
pub(super) enum Upstream {
    /// Toy transactions, and everything may happen.
    Model(SharedModel),
    /// Real ones, and everything but on the chain.
    Era(EraChain),
}

/// The model behind the network.
struct ModelServer(SharedModel);

impl Server for ModelServer {
    fn answer(&self, now: Duration, endpoint: EndpointId, request: &HttpRequest) -> Answer {
        lock(&self.0).answer(now, endpoint, request)
    }
}

impl Upstream {
    /// As `scenario` says. Without a recording, EraVM scenarios run with the toy: callers ask
    /// [`EraChain::shared`] first.
    pub(super) fn new(scenario: &Scenario) -> Self {
        if scenario.exec == ExecMode::Era
            && let Some(chain) = EraChain::shared()
        {
            return Self::Era(chain);
        }
        let model = Model::new(&scenario.model, scenario.seed.0);
        Self::Model(Arc::new(Mutex::new(model)))
    }

    pub(super) fn model(&self) -> Option<SharedModel> {
        match self {
            Self::Model(model) => Some(model.clone()),
            Self::Era(_) => None,
        }
    }

    pub(super) fn server(&self) -> Box<dyn Server> {
        match self {
            Self::Model(model) => Box::new(ModelServer(model.clone())),
            Self::Era(chain) => Box::new(chain.clone()),
        }
    }

    pub(super) fn vm(&self) -> (Arc<dyn Vm>, Arc<dyn Simulator>) {
        match self {
            Self::Model(_) => {
                let vm = Arc::new(ToyVm::default());
                (vm.clone(), vm)
            }
            Self::Era(chain) => {
                let vm = Arc::new(chain.vm());
                (vm.clone(), vm)
            }
        }
    }

    /// Settings that fit, otherwise defaults.
    pub(super) fn replica_config(&self, seed: u64) -> ReplicaConfig {
        match self {
            Self::Model(model) => {
                let model = lock(model);
                let (main_nodes, l1_nodes) = (model.main_nodes(), model.l1_nodes());
                let mut config = ReplicaConfig::new(model.l2_chain_id(), main_nodes, l1_nodes);
                if !model.has_commitments() {
                    config.commitments = None;
                    config.l1_commits = None;
                }
                config
            }
            Self::Era(chain) => {
                let (main_nodes, l1_nodes) = (vec![era::MAIN_NODE], vec![era::L1_NODE]);
                let mut config = ReplicaConfig::new(chain.chain_id(), main_nodes, l1_nodes);
                config.commitment_rule = chain.commitment_rule(seed);
                config
            }
        }
    }

    pub(super) fn expected_end(&self) -> ExpectedEnd {
        match self {
            Self::Model(model) => lock(model).expected_end(),
            Self::Era(chain) => {
                ExpectedEnd::Healthy { block: chain.head(), batch: chain.newest_batch() }
            }
        }
    }

    /// What the API says of the newest batch in the end; `None`: that depends.
    pub(super) fn last_status(&self) -> Option<String> {
        match self {
            Self::Model(_) => None,
            Self::Era(chain) => Some(chain.newest_status()),
        }
    }

    /// Whether `disk` holds everything that the end of the world has, as far as the model can
    /// tell.
    pub(super) fn is_at_end(&self, disk: &MemoryStores) -> bool {
        match self {
            Self::Model(model) => judge::is_at_end(&lock(model), disk).unwrap_or(false),
            Self::Era(_) => true,
        }
    }

    /// Whether halting with `code` was right, given what was said.
    pub(super) fn may_halt(&self, code: &str) -> bool {
        match self {
            Self::Model(model) => lock(model).halts().contains(code),
            Self::Era(_) => false,
        }
    }

    pub(super) fn apply(&self, now: Duration, event: &ModelEvent) {
        match self {
            Self::Model(model) => lock(model).apply(now, event),
            // What is recorded has happened.
            Self::Era(_) => {}
        }
    }

    pub(super) fn heal(&self, now: Duration) {
        match self {
            Self::Model(model) => lock(model).heal(now),
            Self::Era(_) => {}
        }
    }

    /// The run is over: what is compared now stays as it is.
    pub(super) fn end(&self, now: Duration) {
        match self {
            Self::Model(model) => lock(model).end(now),
            Self::Era(_) => {}
        }
    }
}
