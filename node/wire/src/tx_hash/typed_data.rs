//! Typed-data transactions (0x71): what their sender signs, and their hash.

use alloy_primitives::{Address, B256, U256, keccak256};
use lockstep_types::{
    BytecodeHash, ChainId, Execute, Fee, PaymasterParams, TxHash, bytecode::InvalidBytecode,
};

const DOMAIN_TYPE: &str = "EIP712Domain(string name,string version,uint256 chainId)";
const TRANSACTION_TYPE: &str = "Transaction(uint256 txType,uint256 from,uint256 to,\
     uint256 gasLimit,uint256 gasPerPubdataByteLimit,uint256 maxFeePerGas,\
     uint256 maxPriorityFeePerGas,uint256 paymaster,uint256 nonce,uint256 value,bytes data,\
     bytes32[] factoryDeps,bytes paymasterInput)";

/// What the sender of a typed-data transaction signs.
#[derive(Debug)]
pub(super) struct TypedData<'a> {
    pub(super) chain_id: ChainId,
    pub(super) from: Address,
    pub(super) nonce: U256,
    pub(super) fee: &'a Fee,
    pub(super) execute: &'a Execute,
    pub(super) paymaster: &'a PaymasterParams,
}

impl TypedData<'_> {
    /// What is signed.
    pub(super) fn digest(&self) -> Result<B256, InvalidBytecode> {
        let domain = domain_separator(self.chain_id);
        let message = self.struct_hash()?;
        Ok(keccak256([&[0x19, 0x01], domain.as_slice(), message.as_slice()].concat()))
    }

    fn struct_hash(&self) -> Result<B256, InvalidBytecode> {
        let mut deps = Vec::with_capacity(32 * self.execute.factory_deps.len());
        for dep in &self.execute.factory_deps {
            deps.extend_from_slice(BytecodeHash::of_era(dep)?.bytes());
        }
        let words = [
            keccak256(TRANSACTION_TYPE),
            B256::from(U256::from(0x71)),
            self.from.into_word(),
            self.execute.to.unwrap_or_default().into_word(),
            B256::from(self.fee.gas_limit),
            B256::from(self.fee.gas_per_pubdata_limit),
            B256::from(self.fee.max_fee_per_gas),
            B256::from(self.fee.max_priority_fee_per_gas),
            self.paymaster.paymaster.into_word(),
            B256::from(self.nonce),
            B256::from(self.execute.value),
            keccak256(&self.execute.calldata),
            keccak256(deps),
            keccak256(&self.paymaster.input),
        ];
        Ok(keccak256(words.concat()))
    }
}

/// Hash of a typed-data transaction from its digest and its signature.
pub(super) fn hash(digest: B256, signature: &[u8]) -> TxHash {
    TxHash(keccak256([digest, keccak256(signature)].concat()))
}

fn domain_separator(chain_id: ChainId) -> B256 {
    let words = [
        keccak256(DOMAIN_TYPE),
        keccak256("zkSync"),
        keccak256("2"),
        B256::from(U256::from(chain_id.0)),
    ];
    keccak256(words.concat())
}
