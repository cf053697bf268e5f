//! The chain as it truly is: the main node, L1, and the lies that are told about it.
//!
//! The model is asked for an answer to each request, at a time, and changes with time and by
//! events of the scenario. It shares no storage, tree or pipeline with the node. Transport faults
//! (latency, loss, cut or garbled bodies, stale or misdirected answers) are the network's; here are
//! only answers that a server would give.

pub mod event;
pub mod plan;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use lockstep_io::{EndpointId, HttpRequest};
use lockstep_types::ChainId;

pub use self::{event::ModelEvent, plan::ModelPlan};

/// The model, as the world, the judge and the clients share it. It is never locked across an
/// await.
pub type SharedModel = Arc<Mutex<Model>>;

/// What a server answers, and whether that is the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Whether it is the truth.
    pub tag: Tag,
}

/// Whether an answer is the truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// It is, of the view that was current.
    Honest,
    /// It is the lie of this kind (an id such as `B1`, and what was changed).
    Lie(String),
}

/// Where the node has to end, given what happens in the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedEnd {
    /// It follows to the tip, and every batch that L1 holds is known to be there.
    Healthy {
        /// The newest block.
        block: u32,
        /// The newest batch that is sealed there, and whose L1 steps are all made; 0: none.
        batch: u32,
    },
    /// Writes are halted with one of these codes; blocks up to this one are served.
    Halted {
        /// Codes of [`Status::Halted`](lockstep_replica::Status::Halted).
        codes: Vec<String>,
        /// The least height.
        block: u32,
    },
    /// [`open`](lockstep_replica::Replica::open) refuses, and its message has one of these words.
    Refused(Vec<String>),
}

/// The main node and L1, with all their endpoints.
#[derive(Debug)]
pub struct Model {
    plan: ModelPlan,
}

impl Model {
    /// The world of `plan`; its content follows from `seed`.
    pub fn new(plan: &ModelPlan, _seed: u64) -> Self {
        Self { plan: plan.clone() }
    }

    /// The chain.
    pub fn l2_chain_id(&self) -> ChainId {
        ChainId(271)
    }

    /// Endpoints of the main node, the preferred one first.
    pub fn main_nodes(&self) -> Vec<EndpointId> {
        (0..self.plan.main_node_count).map(EndpointId).collect()
    }

    /// Endpoints of L1, the preferred one first. Their numbers follow those of the main node.
    pub fn l1_nodes(&self) -> Vec<EndpointId> {
        let first = self.plan.main_node_count;
        (first..first + self.plan.l1_node_count).map(EndpointId).collect()
    }

    /// Whether the commitments that the main node announces are those of the chain, so that the
    /// node can compute and compare them.
    pub fn has_commitments(&self) -> bool {
        false
    }

    /// What `endpoint` answers to `request` when asked at `now`, a time since the world began.
    /// `now` may be before that of an earlier call by up to an hour: then it is a stale answer
    /// that is asked for, of a server that lags.
    pub fn answer(
        &mut self,
        _now: Duration,
        _endpoint: EndpointId,
        _request: &HttpRequest,
    ) -> Answer {
        Answer { status: 503, headers: Vec::new(), body: Bytes::new(), tag: Tag::Honest }
    }

    /// Something happens at `now`.
    pub fn apply(&mut self, _now: Duration, _event: &ModelEvent) {}

    /// From `now` on everybody is honest, except for what is permanent, and the chain grows to its
    /// end and stays.
    pub fn heal(&mut self, _now: Duration) {}

    /// Codes with which writes may have been halted because of what was said before the world was
    /// healed; the operator starts the process again then.
    pub fn halts(&self) -> BTreeSet<&'static str> {
        BTreeSet::new()
    }

    /// Where the node has to end after [`heal`](Self::heal).
    pub fn expected_end(&self) -> ExpectedEnd {
        ExpectedEnd::Healthy { block: 0, batch: 0 }
    }
}
