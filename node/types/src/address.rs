//! Addresses of system contracts.

use alloy_primitives::Address;

const fn system(low: u32) -> Address {
    let b = low.to_be_bytes();
    let mut bytes = [0; 20];
    bytes[16] = b[0];
    bytes[17] = b[1];
    bytes[18] = b[2];
    bytes[19] = b[3];
    Address::new(bytes)
}

/// The bootloader, as the sender of its own calls.
pub const BOOTLOADER: Address = system(0x8001);
/// Holds the code hash of every account.
pub const ACCOUNT_CODE_STORAGE: Address = system(0x8002);
/// Holds the nonces of every account.
pub const NONCE_HOLDER: Address = system(0x8003);
/// Holds which bytecodes are known.
pub const KNOWN_CODES_STORAGE: Address = system(0x8004);
/// Deploys contracts.
pub const CONTRACT_DEPLOYER: Address = system(0x8006);
/// Sender of forced deployments; not a contract.
pub const FORCE_DEPLOYER: Address = system(0x8007);
/// Sends messages and logs to L1.
pub const L1_MESSENGER: Address = system(0x8008);
/// Holds the balances of the base token.
pub const BASE_TOKEN: Address = system(0x800a);
/// Holds the block, batch and transaction context.
pub const SYSTEM_CONTEXT: Address = system(0x800b);
/// Maps versioned hashes of EVM bytecodes to their Keccak-256.
pub const EVM_HASHES_STORAGE: Address = system(0x8015);
/// Aggregates message roots of chains; part of the L2→L1 root from v26 on.
pub const L2_MESSAGE_ROOT: Address = system(0x10005);

/// Every address that may hold a contract at genesis, in ascending order. A chain of an older
/// version lacks some; an address without code hash at block 0 is not part of the genesis.
pub fn genesis_contracts() -> Vec<Address> {
    let precompiles = [0x01, 0x02, 0x04, 0x05, 0x06, 0x07, 0x08, 0x0100];
    let system_space = (0x8001..=0x800f).chain(0x8010..=0x8015).filter(|a| *a != 0x8007);
    let predeployed = 0x10000..=0x10011;
    [0].into_iter().chain(precompiles).chain(system_space).chain(predeployed).map(system).collect()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::address;

    use super::*;

    #[test]
    fn addresses_are_what_their_numbers_say() {
        assert_eq!(SYSTEM_CONTEXT, address!("000000000000000000000000000000000000800b"));
        assert_eq!(L2_MESSAGE_ROOT, address!("0000000000000000000000000000000000010005"));
    }

    #[test]
    fn genesis_contracts_are_sorted_and_distinct() {
        let all = genesis_contracts();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(!all.contains(&FORCE_DEPLOYER));
    }
}
