//! The reference node's bootloaders for calls and estimates, where an operator has them.
//!
//! They are neither on chain nor in a crate, and calls and estimates do without them. With them, an
//! answer is the reference's to the last unit of gas. They are recognised by their versioned hash.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_types::{B256, BytecodeHash, Bytes, ProtocolVersion, alloy_primitives::b256};
use lockstep_vm::{BaseContracts, Contract};

/// First and last version, bootloader for calls, bootloader for estimates.
type Known = (u16, u16, B256, B256);

const KNOWN: [Known; 6] = [
    (
        24,
        24,
        b256!("01000957420977a293aab097a368f36b123247d87d4695a6cd27ac62598ab171"),
        b256!("01000951968c701c02714779299712d9da6e400e56c78d0d07acd984bfe7242a"),
    ),
    (
        25,
        25,
        b256!("01000933061c23d700f3f647c45068e22f5506ff33bb516ac13f11069b163986"),
        b256!("0100092d9b8ae575bca569f68fe60fbef1dc7d4aad6aa02cc4836f56afcf0a38"),
    ),
    (
        26,
        26,
        b256!("0100090fe1158567db8c08c4b1a7d48a1704a7979109289b91d53808b822404e"),
        b256!("01000909af3bc3eb2495f484e678d464f73dbde0917d9643c3ef5b4c9183c226"),
    ),
    (
        27,
        28,
        b256!("010008e791b10831b7f31015a750adf937e80ed1b60dd62bb487e88925b52161"),
        b256!("010008e388ee6d97ca3f6ae5ed0237ace060dc42ee92c4783b3972516e976243"),
    ),
    (
        29,
        29,
        b256!("01000a1f0746f1dd569db502097030596f8b0b6c498e323f1e6216c47486de96"),
        b256!("01000a19f6278a0256cfa864640ae1c3eab0930251cb4944d68c9b63a020d291"),
    ),
    (
        31,
        31,
        b256!("01000a8d11b6d3302e03c801946d80e694dbb9c3c8ab21f1d0f06c66a193b0f4"),
        b256!("01000a87b05d2e820b3124888ab0e6a4260aa4b510760b170b2ebb7f52b6b84e"),
    ),
];

/// The reference node's bootloaders for calls and estimates, as far as they are at hand.
#[derive(Clone, Debug, Default)]
pub struct Bootloaders(BTreeMap<B256, Arc<Contract>>);

impl Bootloaders {
    /// Keeps `code` if it is a bootloader for calls or estimates of a version that can use it.
    /// Says whether it is.
    pub fn offer(&mut self, code: Bytes) -> bool {
        let Ok(hash) = BytecodeHash::of_era(&code) else { return false };
        let is_known =
            KNOWN.iter().any(|(_, _, calls, estimates)| hash.0 == *calls || hash.0 == *estimates);
        if is_known {
            self.0.insert(hash.0, Arc::new(Contract { hash, code }));
        }
        is_known
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, version: ProtocolVersion, of: fn(&Known) -> B256) -> Option<&Contract> {
        let known = KNOWN.iter().find(|known| (known.0..=known.1).contains(&version.0))?;
        self.0.get(&of(known)).map(|contract| &**contract)
    }

    /// `contracts` with the bootloader for calls, if it is there.
    pub(crate) fn for_calls(
        &self,
        version: ProtocolVersion,
        contracts: &BaseContracts,
    ) -> Option<Arc<BaseContracts>> {
        let bootloader = self.find(version, |known| known.2)?.clone();
        Some(Arc::new(BaseContracts { bootloader, ..contracts.clone() }))
    }

    /// `contracts` with the bootloader for estimates, if it is there.
    pub(crate) fn for_estimates(
        &self,
        version: ProtocolVersion,
        contracts: &BaseContracts,
    ) -> Option<Arc<BaseContracts>> {
        let bootloader = self.find(version, |known| known.3)?.clone();
        Some(Arc::new(BaseContracts { bootloader, ..contracts.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_code_is_not_kept() {
        let mut bootloaders = Bootloaders::default();
        assert!(!bootloaders.offer(vec![0; 32].into()));
        assert!(!bootloaders.offer(vec![0; 31].into()));
        assert!(bootloaders.is_empty());
        let contract = || Contract { hash: BytecodeHash::default(), code: Bytes::new() };
        let contracts = BaseContracts {
            bootloader: contract(),
            default_account: contract(),
            evm_emulator: None,
        };
        assert_eq!(bootloaders.for_calls(ProtocolVersion(29), &contracts), None);
    }

    #[test]
    fn every_version_that_can_be_simulated_has_one_entry() {
        // No chain has v30.
        for version in (24..=29).chain([31]) {
            let entries = KNOWN.iter().filter(|known| (known.0..=known.1).contains(&version));
            assert_eq!(entries.count(), 1, "{version}");
        }
    }
}
