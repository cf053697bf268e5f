//! Running a call or a transaction that is in no block.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use lockstep_types::{
    Address, B256, BytecodeHash, Bytes, ChainId, Event, FeeInput, L1BatchNumber, L2BlockHash,
    L2BlockNumber, PaymasterParams, ProtocolVersion, SettlementLayer, StorageWrite, Transaction,
    U256, UnixSeconds,
};

use crate::{BaseContracts, StepRules, Steps, Trace, VmError, VmStorage};

/// Where a simulation takes place: the block that contracts see, on top of the given state.
#[derive(Clone, Debug)]
pub struct SimulationEnv {
    /// The chain.
    pub chain_id: ChainId,
    /// Rules.
    pub version: ProtocolVersion,
    /// Batch that contracts see.
    pub batch: L1BatchNumber,
    /// Timestamp of that batch.
    pub batch_timestamp: UnixSeconds,
    /// Block that contracts see.
    pub block: L2BlockNumber,
    /// Timestamp of that block.
    pub block_timestamp: UnixSeconds,
    /// Hash of the block before.
    pub parent: L2BlockHash,
    /// What the state says of the current block (slots 9 and 10 of the system context) if that is
    /// to be taken back, because the state already is that of `block` itself.
    pub block_info_before: Option<[B256; 2]>,
    /// Prices.
    pub fee_input: FeeInput,
    /// Base fee that contracts see, wei; `None` derives it from the prices.
    pub base_fee_per_gas: Option<u64>,
    /// Bytecodes.
    pub base_contracts: Arc<BaseContracts>,
    /// Where the chain settles (from v31 on).
    pub settlement_layer: Option<SettlementLayer>,
    /// Fee for interop calls (from v31 on).
    pub interop_fee: U256,
}

/// A transaction that nobody has signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimulatedTx {
    /// Envelope.
    pub kind: SimulatedKind,
    /// Who sends it.
    pub from: Address,
    /// Target; `None` deploys EVM code.
    pub to: Option<Address>,
    /// Nonce; `None` takes the sender's next.
    pub nonce: Option<u32>,
    /// Gas it may use; `None` gives it all there is.
    pub gas_limit: Option<u64>,
    /// Price of a unit of gas, wei; `None` if the request names none.
    pub gas_price: Option<U256>,
    /// Highest gas for a byte of pubdata.
    pub gas_per_pubdata_limit: u64,
    /// Base token sent along.
    pub value: U256,
    /// Input.
    pub input: Bytes,
    /// Bytecodes that come with it.
    pub factory_deps: Vec<Bytes>,
    /// Who pays.
    pub paymaster: PaymasterParams,
    /// Signature for accounts that look at it; `None` gives one of 65 bytes that fits nobody.
    pub signature: Option<Bytes>,
}

/// Envelope of a simulated transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimulatedKind {
    /// Type 0x00.
    #[default]
    Legacy,
    /// Type 0x01.
    Eip2930,
    /// Type 0x02.
    Eip1559,
    /// Type 0x71.
    Eip712,
    /// Requested on L1, type 0xff. The value is minted for it.
    Priority,
}

/// How a simulation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimulationEnd {
    /// It did what it was asked to.
    Success {
        /// What it returned.
        output: Bytes,
    },
    /// It was undone by a contract.
    Reverted {
        /// Why, in the reference node's words; `None` where those add nothing to the data.
        reason: Option<String>,
        /// What it returned.
        data: Bytes,
    },
    /// It could not be run at all: no block could include it.
    Refused {
        /// Why, as the reference node tells its users.
        message: String,
    },
    /// It took too long and was stopped; see [`Stop`].
    Stopped,
}

/// What a simulation gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// How it ended.
    pub end: SimulationEnd,
    /// Gas it used.
    pub gas_used: u64,
    /// Bytes of pubdata it would publish; negative if it takes back what others publish.
    pub pubdata: i64,
    /// Events, in order of emission.
    pub events: Vec<Event>,
    /// What changed, one write a slot, in canonical order.
    pub writes: Vec<StorageWrite>,
    /// Bytecodes that it made, as they are stored; those that came with it are not among them.
    pub made_bytecodes: Vec<(BytecodeHash, Bytes)>,
    /// What was seen, if that was asked for.
    pub trace: Option<Trace>,
}

/// How gas is estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EstimateRules {
    /// The answer may be this much above the least gas that works, before scaling.
    pub acceptable_overestimation: u64,
    /// The least gas that works is multiplied by this, in thousandths: 1300 is 1.3.
    pub scale_per_mille: u64,
}

/// What a transaction needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GasEstimate {
    /// Gas limit with which it works.
    pub gas_limit: u64,
    /// Price of a unit of gas, wei.
    pub base_fee_per_gas: u64,
    /// Gas that a byte of pubdata costs.
    pub gas_per_pubdata: u64,
}

/// How an estimate ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Estimated {
    /// The transaction works with this.
    Gas(GasEstimate),
    /// It works with no gas at all that it may use, for this reason. Never
    /// [`SimulationEnd::Success`].
    Fails(SimulationEnd),
}

/// Tells a simulation to stop, from another thread. A simulation looks at it at calls and storage
/// accesses.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Stops every simulation that was given this.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub fn is_due(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs what is in no block. Like a [`Vm`](crate::Vm) it computes and nothing else.
pub trait Simulator: fmt::Debug + Send + Sync {
    /// Whether this build can simulate at blocks of `version`.
    fn can_simulate(&self, version: ProtocolVersion) -> bool;

    /// Calls a contract in the name of `tx.from`, without nonce, signature and fees. An account
    /// with code of its own is called from, not asked.
    ///
    /// # Errors
    ///
    /// [`VmError::UnknownVersion`], [`VmError::BadInput`] or [`VmError::Storage`]. What contracts
    /// answer is no error.
    fn call(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError>;

    /// As [`call`](Self::call) without a trace, and tells the instructions of the call, if this VM
    /// shows any.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    fn call_stepped(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        _rules: &StepRules,
        stop: &Stop,
    ) -> Result<(Simulated, Option<Steps>), VmError> {
        Ok((self.call(env, tx, storage, false, stop)?, None))
    }

    /// Runs a signed transaction as the next block would: its account looks at the signature and
    /// pays. What keeps blocks from including it is [`SimulationEnd::Refused`]. The prices of `env`
    /// must be such that `tx` pays the base fee.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    fn check(
        &self,
        env: &SimulationEnv,
        tx: &Transaction,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError>;

    /// Runs a whole transaction as a block would, as if it were signed: validation, payment,
    /// execution, refund. The base fee of `env` must be one that `tx` pays.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    fn run_unsigned(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError>;

    /// The gas limit with which a block would run `tx` to its end. `tx.gas_limit` is an upper
    /// bound for the search if given; price and balance are made to fit.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    fn estimate(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        rules: &EstimateRules,
        stop: &Stop,
    ) -> Result<Estimated, VmError>;
}
