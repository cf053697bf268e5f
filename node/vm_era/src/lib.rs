//! [`Vm`] by the EraVM crates of `zksync_multivm` 29.13: batches of protocol versions 0 to 29.
//!
//! The crates hold two machines: a legacy one per range of versions, and a fast one for v24 and
//! later. [`VmMode`] says which of them runs a batch; in shadow mode both do and every output is
//! compared. What the crates answer to unusable input is often a panic; here it is
//! [`VmError::BadInput`], and a batch that failed in any way stays failed.

mod batch;
mod compare;
mod convert;
mod engine;
mod machine;
mod source;

use std::sync::Arc;

use lockstep_types::{FeeInput, ProtocolVersion};
use lockstep_vm::{BatchEnv, BatchLimits, BlockEnv, OpenBatch, Vm, VmError, VmStorage};
use zksync_multivm::{
    VmVersion, is_supported_by_fast_vm,
    utils::{
        derive_base_fee_and_gas_per_pubdata, get_max_batch_gas_limit, get_max_gas_per_pubdata_byte,
    },
};
use zksync_types::ProtocolVersionId;

use crate::{batch::EraBatch, machine::MachineKind};

/// Which machines run a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VmMode {
    /// The fast one where there is one (from v24 on), the legacy one before.
    #[default]
    Fast,
    /// The legacy one.
    Legacy,
    /// Both, with every output compared. Before v24 there is nothing to compare: the legacy one
    /// runs alone.
    Shadow,
}

/// How an [`EraVm`] is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EraVmConfig {
    /// Which machines run a batch.
    pub mode: VmMode,
}

/// Runs batches on the EraVM.
#[derive(Clone, Copy, Debug, Default)]
pub struct EraVm {
    mode: VmMode,
}

impl EraVm {
    /// Newest version whose rules this build has. Number 30 was never given to an EraVM chain.
    pub const NEWEST: ProtocolVersion = ProtocolVersion(29);

    /// A VM. Cheap: machines are made by batch.
    pub fn new(config: EraVmConfig) -> Self {
        Self { mode: config.mode }
    }

    /// A VM behind the seam.
    pub fn shared(config: EraVmConfig) -> Arc<dyn Vm> {
        Arc::new(Self::new(config))
    }

    /// The machine that runs batches of `version`, and the one it is compared with.
    fn machines(&self, version: ProtocolVersionId) -> (MachineKind, Option<MachineKind>) {
        match self.mode {
            VmMode::Fast if is_supported_by_fast_vm(version) => (MachineKind::Fast, None),
            VmMode::Shadow if is_supported_by_fast_vm(version) => {
                (MachineKind::Fast, Some(MachineKind::Legacy))
            }
            VmMode::Fast | VmMode::Legacy | VmMode::Shadow => (MachineKind::Legacy, None),
        }
    }
}

impl Vm for EraVm {
    fn supports(&self, version: ProtocolVersion) -> bool {
        known(version).is_some()
    }

    /// Prices that no batch can have (see [`open_batch`](Self::open_batch)) give some limits too.
    fn limits(
        &self,
        version: ProtocolVersion,
        fee_input: &FeeInput,
    ) -> Result<BatchLimits, VmError> {
        let version = known(version).ok_or(VmError::UnknownVersion(version))?;
        let vm_version = VmVersion::from(version);
        let prices = convert::fee_input_or_nearest(version, fee_input);
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
        let version = known(env.version).ok_or(VmError::UnknownVersion(env.version))?;
        let machines = self.machines(version);
        Ok(Box::new(EraBatch::open(machines, version, &env, &first_block, storage)?))
    }
}

/// The crates' name of a version that this build can run.
fn known(version: ProtocolVersion) -> Option<ProtocolVersionId> {
    (version <= EraVm::NEWEST).then(|| ProtocolVersionId::try_from(version.0).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_up_to_29_can_be_run_and_no_other() {
        let vm = EraVm::default();
        assert!((0..=29).all(|version| vm.supports(ProtocolVersion(version))));
        assert!([30, 31, 32, u16::MAX].iter().all(|&v| !vm.supports(ProtocolVersion(v))));
        let limits = vm.limits(ProtocolVersion(31), &FeeInput::default());
        assert_eq!(limits, Err(VmError::UnknownVersion(ProtocolVersion(31))));
    }

    #[test]
    fn the_fast_machine_runs_from_v24_on() {
        let fast = EraVm::new(EraVmConfig { mode: VmMode::Fast });
        let legacy = EraVm::new(EraVmConfig { mode: VmMode::Legacy });
        let shadow = EraVm::new(EraVmConfig { mode: VmMode::Shadow });
        let v23 = ProtocolVersionId::Version23;
        let v24 = ProtocolVersionId::Version24;
        assert_eq!(fast.machines(v23), (MachineKind::Legacy, None));
        assert_eq!(fast.machines(v24), (MachineKind::Fast, None));
        assert_eq!(legacy.machines(v24), (MachineKind::Legacy, None));
        assert_eq!(shadow.machines(v23), (MachineKind::Legacy, None));
        assert_eq!(shadow.machines(v24), (MachineKind::Fast, Some(MachineKind::Legacy)));
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
        for version in (0..=29).map(ProtocolVersion) {
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
