//! The contract that a transaction was to deploy, as receipts show it.

use alloy_primitives::b256;
use lockstep_store::StoreFault;
use lockstep_types::{
    Address, B256, Event, StorageSlot, Transaction, TxCommon, U256, address, keccak256,
    storage::Nonces,
};

use crate::changes::Changes;

/// `ContractDeployed(address deployer, bytes32 bytecodeHash, address deployed)`.
const CONTRACT_DEPLOYED: B256 =
    b256!("290afdae231a3fc0bbae8b1af63698b0a1d79b21ad17df0342dfb952fe74f8e5");

const CREATE: [u8; 4] = [0x9c, 0x4d, 0x53, 0x5b];
const CREATE2: [u8; 4] = [0x3c, 0xda, 0x33, 0x51];
const CREATE_ACCOUNT: [u8; 4] = [0xec, 0xf9, 0x5b, 0x8a];
const CREATE2_ACCOUNT: [u8; 4] = [0x5d, 0x38, 0x27, 0x00];

/// Counts deployments in a block, so that the nonce of the next one is known.
#[derive(Debug, Default)]
pub(crate) struct Deployments(Vec<Address>);

impl Deployments {
    /// Notes the deployments among the events of a transaction.
    pub(crate) fn note(&mut self, events: &[Event]) {
        for event in events {
            let deployed = event.address == address::CONTRACT_DEPLOYER
                && event.topics.first() == Some(&CONTRACT_DEPLOYED);
            if let (true, Some(deployer)) = (deployed, event.topics.get(1)) {
                self.0.push(Address::from_word(*deployer));
            }
        }
    }

    fn by(&self, deployer: Address) -> usize {
        self.0.iter().filter(|other| **other == deployer).count()
    }
}

/// The address that `tx` was to deploy to; `None` if it is no plain deployment.
///
/// `changes` must be as they were when the block began, `earlier` hold what the block's earlier
/// transactions deployed.
pub(crate) fn contract_address(
    tx: &Transaction,
    changes: &mut Changes,
    earlier: &Deployments,
) -> Result<Option<Address>, StoreFault> {
    let sender = tx.initiator();
    let Some(target) = tx.execute.to else {
        return Ok(match &tx.common {
            TxCommon::L2(common) => Some(sender.create(u64::from(common.nonce))),
            TxCommon::Priority(_) | TxCommon::Upgrade(_) => None,
        });
    };
    if target != address::CONTRACT_DEPLOYER {
        return Ok(None);
    }
    let Some((selector, arguments)) = tx.execute.calldata.split_first_chunk::<4>() else {
        return Ok(None);
    };
    // The nonces of an account with code of its own may mean something else.
    if matches!(tx.common, TxCommon::L2(_))
        && !changes.value(&StorageSlot::code_hash(sender))?.is_zero()
    {
        return Ok(None);
    }
    match *selector {
        CREATE | CREATE_ACCOUNT => {
            let nonces = Nonces::from_value(changes.value(&StorageSlot::nonces(sender))?);
            Ok(Some(create(sender, nonces.deployment + U256::from(earlier.by(sender)))))
        }
        CREATE2 | CREATE2_ACCOUNT => Ok(create2(sender, arguments)),
        _ => Ok(None),
    }
}

fn create(sender: Address, nonce: U256) -> Address {
    let prefix = keccak256("zksyncCreate");
    let parts = [prefix.0, sender.into_word().0, nonce.to_be_bytes::<32>()];
    Address::from_word(keccak256(parts.concat()))
}

/// `None` if the arguments are not `(bytes32 salt, bytes32 bytecodeHash, bytes input, …)`.
fn create2(sender: Address, arguments: &[u8]) -> Option<Address> {
    let word = |index: usize| arguments.get(index * 32..(index + 1) * 32);
    let (salt, bytecode_hash) = (word(0)?, word(1)?);
    let offset = usize::try_from(U256::from_be_slice(word(2)?)).ok()?;
    let tail = arguments.get(offset..)?;
    let length = usize::try_from(U256::from_be_slice(tail.get(..32)?)).ok()?;
    let input = tail.get(32..)?.get(..length)?;
    let prefix = keccak256("zksyncCreate2");
    let sender = sender.into_word();
    let input_hash = keccak256(input);
    let parts = [&prefix.0[..], &sender.0, salt, bytecode_hash, &input_hash.0];
    Some(Address::from_word(keccak256(parts.concat())))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{address as addr, hex};

    use super::*;

    #[test]
    fn create2_equals_a_deployment_seen_on_chain() {
        // Shape of the arguments; the address follows from them alone.
        let sender = addr!("8002cd98cfb563492a6fb3e7c8243b7b9ad4cc92");
        let arguments = hex!(
            "0000000000000000000000000000000000000000000000000000000000000000"
            "0100046f0197efe36932ff1868ecbbaabead2db717208b4abfbcafe67849d749"
            "0000000000000000000000000000000000000000000000000000000000000060"
            "0000000000000000000000000000000000000000000000000000000000000000"
        );
        let expected = addr!("51512358c5284a37f5a21af8cb349db24d0c3b33");
        assert_eq!(create2(sender, &arguments), Some(expected));
    }

    #[test]
    fn only_deployments_of_the_deployer_count() {
        let (one, other) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let event = |address, signature, deployer: Address| Event {
            address,
            topics: vec![signature, deployer.into_word(), B256::ZERO, one.into_word()],
            data: alloy_primitives::Bytes::new(),
        };
        let deployed = event(address::CONTRACT_DEPLOYER, CONTRACT_DEPLOYED, one);
        let mut deployments = Deployments::default();
        deployments.note(&[
            event(address::CONTRACT_DEPLOYER, CONTRACT_DEPLOYED, other),
            deployed.clone(),
            event(address::CONTRACT_DEPLOYER, B256::ZERO, one),
            event(one, CONTRACT_DEPLOYED, one),
        ]);
        assert_eq!((deployments.by(one), deployments.by(other)), (1, 1));
        deployments
            .note(&[deployed.clone(), Event { topics: vec![CONTRACT_DEPLOYED], ..deployed }]);
        assert_eq!((deployments.by(one), deployments.by(other)), (2, 1));
        assert_eq!(deployments.by(address::CONTRACT_DEPLOYER), 0);
        let signature = keccak256("ContractDeployed(address,bytes32,address)");
        assert_eq!(CONTRACT_DEPLOYED, signature);
    }

    #[test]
    fn selectors_and_signatures_are_those_of_the_system_contracts() {
        let selector = |signature: &str| keccak256(signature)[..4].to_vec();
        assert_eq!(CREATE[..], selector("create(bytes32,bytes32,bytes)"));
        assert_eq!(CREATE2[..], selector("create2(bytes32,bytes32,bytes)"));
        assert_eq!(CREATE_ACCOUNT[..], selector("createAccount(bytes32,bytes32,bytes,uint8)"));
        assert_eq!(CREATE2_ACCOUNT[..], selector("create2Account(bytes32,bytes32,bytes,uint8)"));
    }

    #[test]
    fn broken_arguments_deploy_nothing() {
        let sender = Address::repeat_byte(1);
        assert_eq!(create2(sender, &[0; 64]), None);
        assert_eq!(create2(sender, &[0xff; 128]), None);
    }
}
