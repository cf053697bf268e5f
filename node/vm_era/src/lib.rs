//! [`Vm`] and [`Simulator`] for EraVM chains: batches of protocol versions 0 to 31.
//!
//! Versions from 24 on run on the machine of `zksync_vm2` with an operator of our own (`own`), which
//! keeps programs decoded from one batch to the next. The crates of `zksync_multivm` 29.13 run the
//! older ones, and are what the own operator is compared with: a legacy machine per range of
//! versions, and a fast one for v24 to v29. [`VmMode`] says which of them runs a batch.
//!
//! What the crates answer to unusable input is often a panic; here it is [`VmError::BadInput`], and
//! a batch that failed in any way stays failed.

mod batch;
mod blocks;
mod convert;
mod engine;
mod facts;
mod machine;
mod own;
mod source;

use std::sync::Arc;

use lockstep_types::{FeeInput, ProtocolVersion, Transaction};
use lockstep_vm::{
    BatchEnv, BatchLimits, BlockEnv, EstimateRules, Estimated, OpenBatch, Simulated, SimulatedTx,
    SimulationEnv, Simulator, StepRules, Steps, Stop, Vm, VmError, VmStorage,
};
use zksync_multivm::{
    VmVersion, is_supported_by_fast_vm,
    utils::{
        derive_base_fee_and_gas_per_pubdata, get_max_batch_gas_limit, get_max_gas_per_pubdata_byte,
    },
};
use zksync_types::ProtocolVersionId;

pub use self::own::{Bootloaders, ProgramCacheStats};
use crate::{
    batch::EraBatch,
    facts::{FactBatch, ShadowBatch},
    machine::MachineKind,
    own::{Idle, KnownMessengers, Layout, OwnBatch, Programs, Shared, Simulation},
};

/// Which machines run a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VmMode {
    /// Our own operator where it can (from v24 on), the crates' legacy machine before.
    #[default]
    Own,
    /// The crates' fast machine where there is one (v24 to v29), the legacy one before. It sees no
    /// calls, so it cannot trace.
    Fast,
    /// The crates' legacy machine, which is what the reference node runs (up to v29).
    Legacy,
    /// Our own operator and the legacy machine, with every output compared (v24 to v29). Where
    /// there is only one of them it runs alone.
    Shadow,
}

/// How an [`EraVm`] is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EraVmConfig {
    /// Which machines run a batch.
    pub mode: VmMode,
    /// Memory for decoded programs, bytes. Shared by all batches and calls.
    pub program_cache_bytes: usize,
}

impl Default for EraVmConfig {
    /// Our own operator, with 256 MiB for programs: some 2 000 contracts of average size.
    fn default() -> Self {
        Self { mode: VmMode::default(), program_cache_bytes: 256 << 20 }
    }
}

/// Runs batches and calls on the EraVM. Clones share one cache of programs.
#[derive(Clone, Debug)]
pub struct EraVm {
    mode: VmMode,
    shared: Shared,
    bootloaders: Arc<Bootloaders>,
}

impl Default for EraVm {
    fn default() -> Self {
        Self::new(EraVmConfig::default())
    }
}

/// How full the caches are that batches and calls share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmCaches {
    /// Decoded programs.
    pub programs: ProgramCacheStats,
    /// Machines that wait for a call or estimate. Each takes 5 MB at most, usually much less.
    pub idle_machines: usize,
}

impl VmCaches {
    /// Bound for `idle_machines`.
    pub const IDLE_MACHINES_MAX: usize = own::IDLE_MAX;
}

/// What runs a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runner {
    Own(Layout),
    Crates(MachineKind, ProtocolVersionId),
}

impl EraVm {
    /// Newest version whose rules this build has. Number 30 was never given to an EraVM chain.
    pub const NEWEST: ProtocolVersion = own::NEWEST;

    /// A VM. Machines are made by batch.
    pub fn new(config: EraVmConfig) -> Self {
        let programs = Arc::new(Programs::new(config.program_cache_bytes));
        let messengers = Arc::new(KnownMessengers::default());
        let shared = Shared { programs, messengers, idle: Arc::new(Idle::default()) };
        Self { mode: config.mode, shared, bootloaders: Arc::default() }
    }

    /// The same, with the reference node's bootloaders for calls and estimates where they are.
    pub fn with_bootloaders(mut self, bootloaders: Bootloaders) -> Self {
        self.bootloaders = Arc::new(bootloaders);
        self
    }

    /// How full the caches are.
    pub fn caches(&self) -> VmCaches {
        let Shared { programs, idle, messengers: _ } = &self.shared;
        VmCaches { programs: programs.stats(), idle_machines: idle.len() }
    }

    /// What runs batches of `version`, and what it is compared with. `None` if nothing can.
    fn runners(&self, version: ProtocolVersion) -> Option<(Runner, Option<Runner>)> {
        let own = Layout::of(version).map(Runner::Own);
        let crates = known_to_crates(version);
        let legacy = crates.map(|id| Runner::Crates(MachineKind::Legacy, id));
        let fast = crates
            .filter(|id| is_supported_by_fast_vm(*id))
            .map(|id| Runner::Crates(MachineKind::Fast, id));
        let alone = |runner: Option<Runner>| runner.map(|runner| (runner, None));
        match (self.mode, own, legacy) {
            (VmMode::Own, ..) => alone(own.or(legacy)),
            (VmMode::Fast, ..) => alone(fast.or(legacy)),
            (VmMode::Legacy, ..) => alone(legacy),
            (VmMode::Shadow, Some(own), Some(legacy)) => Some((own, Some(legacy))),
            (VmMode::Shadow, ..) => alone(own.or(legacy)),
        }
    }

    fn open(
        &self,
        runner: Runner,
        env: &BatchEnv,
        first_block: BlockEnv,
        storage: Box<dyn VmStorage>,
    ) -> Result<Box<dyn FactBatch>, VmError> {
        Ok(match runner {
            Runner::Own(layout) => {
                Box::new(OwnBatch::open(layout, env, first_block, storage, &self.shared)?)
            }
            Runner::Crates(kind, version) => {
                Box::new(EraBatch::open(kind, version, env, &first_block, storage)?)
            }
        })
    }
}

impl Vm for EraVm {
    fn supports(&self, version: ProtocolVersion) -> bool {
        self.runners(version).is_some()
    }

    /// Prices that no batch can have (see [`open_batch`](Self::open_batch)) give some limits too.
    fn limits(
        &self,
        version: ProtocolVersion,
        fee_input: &FeeInput,
    ) -> Result<BatchLimits, VmError> {
        let Some(id) = known_to_crates(version) else {
            if !self.supports(version) {
                return Err(VmError::UnknownVersion(version));
            }
            return Ok(BatchLimits {
                base_fee_per_gas: own::base_fee(fee_input),
                gas_per_pubdata_limit: own::GAS_PER_PUBDATA_MAX,
                gas_limit: own::BATCH_GAS_LIMIT,
            });
        };
        let vm_version = VmVersion::from(id);
        let prices = convert::fee_input_or_nearest(id, fee_input);
        let (base_fee_per_gas, _) = derive_base_fee_and_gas_per_pubdata(prices, vm_version);
        Ok(BatchLimits {
            base_fee_per_gas,
            gas_per_pubdata_limit: get_max_gas_per_pubdata_byte(vm_version),
            gas_limit: get_max_batch_gas_limit(vm_version),
        })
    }

    fn open_batch(
        &self,
        env: BatchEnv,
        first_block: BlockEnv,
        storage: Box<dyn VmStorage>,
    ) -> Result<Box<dyn OpenBatch>, VmError> {
        let version = env.version;
        let (main, second) = self.runners(version).ok_or(VmError::UnknownVersion(version))?;
        let Some(second) = second else {
            return Ok(self.open(main, &env, first_block, storage)?);
        };
        let (storage, copy) = source::shared(storage);
        let main = self.open(main, &env, first_block.clone(), Box::new(storage))?;
        let second = self.open(second, &env, first_block, Box::new(copy))?;
        Ok(Box::new(ShadowBatch::new(env.number, main, second)))
    }
}

impl EraVm {
    fn simulation<'a>(
        &'a self,
        env: &'a SimulationEnv,
        tx: &'a SimulatedTx,
        with_trace: bool,
        stop: &'a Stop,
    ) -> Result<Simulation<'a>, VmError> {
        let layout = Layout::of(env.version).ok_or(VmError::UnknownVersion(env.version))?;
        let (shared, bootloaders) = (&self.shared, &*self.bootloaders);
        Ok(Simulation { layout, env, tx, shared, bootloaders, with_trace, steps: None, stop })
    }
}

impl Simulator for EraVm {
    /// From v24 on, in every mode.
    fn can_simulate(&self, version: ProtocolVersion) -> bool {
        Layout::of(version).is_some()
    }

    fn call(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError> {
        Ok(self.simulation(env, tx, with_trace, stop)?.call(storage)?.0)
    }

    fn call_stepped(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        rules: &StepRules,
        stop: &Stop,
    ) -> Result<(Simulated, Option<Steps>), VmError> {
        let simulation = self.simulation(env, tx, false, stop)?;
        Simulation { steps: Some(rules), ..simulation }.call(storage)
    }

    fn check(
        &self,
        env: &SimulationEnv,
        tx: &Transaction,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError> {
        let unused = SimulatedTx::default();
        self.simulation(env, &unused, with_trace, stop)?.check(tx, storage)
    }

    fn run_unsigned(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError> {
        self.simulation(env, tx, with_trace, stop)?.run_unsigned(storage)
    }

    fn estimate(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        rules: &EstimateRules,
        stop: &Stop,
    ) -> Result<Estimated, VmError> {
        self.simulation(env, tx, false, stop)?.estimate(storage, rules)
    }
}

/// The crates' name of a version that they can run.
fn known_to_crates(version: ProtocolVersion) -> Option<ProtocolVersionId> {
    (version.0 <= 29).then(|| ProtocolVersionId::try_from(version.0).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(mode: VmMode) -> EraVm {
        EraVm::new(EraVmConfig { mode, ..EraVmConfig::default() })
    }

    #[test]
    fn versions_up_to_31_can_be_run_and_no_other() {
        assert!((0..=31).all(|version| EraVm::default().supports(ProtocolVersion(version))));
        assert!((0..=31).all(|version| vm(VmMode::Shadow).supports(ProtocolVersion(version))));
        for mode in [VmMode::Fast, VmMode::Legacy] {
            assert!((0..=29).all(|version| vm(mode).supports(ProtocolVersion(version))));
            assert!(!vm(mode).supports(ProtocolVersion(31)));
        }
        assert!([32, u16::MAX].iter().all(|&v| !EraVm::default().supports(ProtocolVersion(v))));
        let limits = EraVm::default().limits(ProtocolVersion(32), &FeeInput::default());
        assert_eq!(limits, Err(VmError::UnknownVersion(ProtocolVersion(32))));
    }

    #[test]
    fn the_mode_says_which_machines_run_a_version() {
        let legacy = |id| Runner::Crates(MachineKind::Legacy, id);
        let own = |number| Runner::Own(Layout::of(ProtocolVersion(number)).unwrap());
        let v23 = ProtocolVersionId::Version23;
        let v24 = ProtocolVersionId::Version24;
        for mode in [VmMode::Own, VmMode::Fast, VmMode::Legacy, VmMode::Shadow] {
            assert_eq!(vm(mode).runners(ProtocolVersion(23)), Some((legacy(v23), None)));
        }
        let v24_runners = |mode| vm(mode).runners(ProtocolVersion(24)).unwrap();
        assert_eq!(v24_runners(VmMode::Own), (own(24), None));
        assert_eq!(v24_runners(VmMode::Fast), (Runner::Crates(MachineKind::Fast, v24), None));
        assert_eq!(v24_runners(VmMode::Legacy), (legacy(v24), None));
        assert_eq!(v24_runners(VmMode::Shadow), (own(24), Some(legacy(v24))));
        assert_eq!(vm(VmMode::Shadow).runners(ProtocolVersion(31)), Some((own(31), None)));
    }

    #[test]
    fn limits_follow_the_rules_of_the_version() {
        let fees = FeeInput {
            l1_gas_price: 1_000_000_000,
            fair_l2_gas_price: 100_000_000,
            fair_pubdata_price: Some(6_000_000_000_000),
        };
        let limits = |version| EraVm::default().limits(ProtocolVersion(version), &fees).unwrap();
        assert_eq!(
            limits(29),
            BatchLimits {
                base_fee_per_gas: 120_000_000, // Pubdata price by 50 000.
                gas_per_pubdata_limit: 50_000,
                gas_limit: 1 << 50,
            }
        );
        assert_eq!(limits(31), limits(29));
        assert_eq!(
            limits(9),
            BatchLimits {
                base_fee_per_gas: 100_000_000, // 17 · L1 gas price by 20 000 is less.
                gas_per_pubdata_limit: 20_000,
                gas_limit: u64::from(u32::MAX),
            }
        );
    }

    #[test]
    fn limits_never_panic() {
        let extremes = [0, 1, u64::MAX];
        for version in (0..=31).map(ProtocolVersion) {
            for l1_gas_price in extremes {
                for fair_l2_gas_price in extremes {
                    for fair_pubdata_price in [None, Some(0), Some(1), Some(u64::MAX)] {
                        let fees = FeeInput { l1_gas_price, fair_l2_gas_price, fair_pubdata_price };
                        EraVm::default().limits(version, &fees).unwrap();
                    }
                }
            }
        }
    }
}
