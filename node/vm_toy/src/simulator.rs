//! Toy programs that are in no block.

use lockstep_types::{
    B256, Execute, Fee, L2Common, PubdataParams, StateRoot, Transaction, TxCommon, TxHash, TxType,
    U256,
};
use lockstep_vm::{
    BatchEnv, BlockEnv, EstimateRules, Estimated, GasEstimate, Simulated, SimulatedKind,
    SimulatedTx, SimulationEnd, SimulationEnv, Simulator, Stop, Vm, VmError, VmStorage,
};

use crate::{
    ToyVm,
    batch::{ToyBatch, simulate},
};

/// Gas of a transaction that names none.
const GAS: u64 = 1 << 50;

/// Gas that a byte of pubdata costs.
const GAS_PER_PUBDATA: u64 = 100;

impl ToyVm {
    fn simulated(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
        counts: bool,
    ) -> Result<Simulated, VmError> {
        self.run(env, &transaction(tx), storage, with_trace, stop, counts)
    }

    fn run(
        &self,
        env: &SimulationEnv,
        tx: &Transaction,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
        counts: bool,
    ) -> Result<Simulated, VmError> {
        if !self.supports(env.version) {
            return Err(VmError::UnknownVersion(env.version));
        }
        let batch = ToyBatch::new(batch_env(env), block_env(env), storage);
        let mut simulated = simulate(batch, tx, counts, stop)?;
        if !with_trace {
            simulated.trace = None;
        }
        Ok(simulated)
    }
}

impl Simulator for ToyVm {
    fn can_simulate(&self, version: lockstep_types::ProtocolVersion) -> bool {
        self.supports(version)
    }

    fn call(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError> {
        self.simulated(env, tx, storage, with_trace, stop, false)
    }

    fn run_unsigned(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError> {
        self.simulated(env, tx, storage, with_trace, stop, true)
    }

    /// The toy has no accounts that look at signatures; everything else is as in a block.
    fn check(
        &self,
        env: &SimulationEnv,
        tx: &Transaction,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError> {
        self.run(env, tx, storage, with_trace, stop, true)
    }

    /// Gas does not depend on how much there is, so one run tells.
    fn estimate(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        rules: &EstimateRules,
        stop: &Stop,
    ) -> Result<Estimated, VmError> {
        let run = self.simulated(env, tx, storage, false, stop, true)?;
        match run.end {
            SimulationEnd::Success { output: _ } => {
                let scaled = run.gas_used.saturating_mul(rules.scale_per_mille) / 1_000;
                let limits = self.limits(env.version, &env.fee_input)?;
                Ok(Estimated::Gas(GasEstimate {
                    gas_limit: scaled,
                    base_fee_per_gas: env.base_fee_per_gas.unwrap_or(limits.base_fee_per_gas),
                    gas_per_pubdata: GAS_PER_PUBDATA,
                }))
            }
            end @ (SimulationEnd::Reverted { .. }
            | SimulationEnd::Refused { .. }
            | SimulationEnd::Stopped) => Ok(Estimated::Fails(end)),
        }
    }
}

fn batch_env(env: &SimulationEnv) -> BatchEnv {
    BatchEnv {
        chain_id: env.chain_id,
        version: env.version,
        number: env.batch,
        timestamp: env.batch_timestamp,
        previous_root: StateRoot::default(),
        fee_input: env.fee_input,
        fee_account: lockstep_types::Address::ZERO,
        base_contracts: env.base_contracts.clone(),
        pubdata_params: PubdataParams::default(),
        settlement_layer: env.settlement_layer,
        interop_fee: env.interop_fee,
    }
}

fn block_env(env: &SimulationEnv) -> BlockEnv {
    BlockEnv {
        number: env.block,
        timestamp: env.block_timestamp,
        parent: env.parent,
        virtual_block_count: 1,
        interop_roots: Vec::new(),
    }
}

fn transaction(tx: &SimulatedTx) -> Transaction {
    let common = L2Common {
        hash: TxHash(B256::ZERO),
        nonce: tx.nonce.unwrap_or(0),
        fee: Fee {
            gas_limit: U256::from(tx.gas_limit.unwrap_or(GAS)),
            max_fee_per_gas: tx.gas_price.unwrap_or_default(),
            max_priority_fee_per_gas: U256::ZERO,
            gas_per_pubdata_limit: U256::from(tx.gas_per_pubdata_limit),
        },
        initiator: tx.from,
        signature: tx.signature.clone().unwrap_or_default(),
        tx_type: match tx.kind {
            SimulatedKind::Legacy => TxType::Legacy,
            SimulatedKind::Eip2930 => TxType::Eip2930,
            SimulatedKind::Eip1559 => TxType::Eip1559,
            SimulatedKind::Eip712 | SimulatedKind::Priority => TxType::Eip712,
        },
        input: None,
        paymaster: tx.paymaster.clone(),
    };
    Transaction {
        common: TxCommon::L2(Box::new(common)),
        execute: Execute {
            to: tx.to,
            calldata: tx.input.clone(),
            value: tx.value,
            factory_deps: tx.factory_deps.clone(),
        },
        received_at_ms: 0,
        raw: None,
    }
}
