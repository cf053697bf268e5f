//! What the main node has at one time, and how it says so.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_types::{Address, B256, L2BlockNumber, U256, block::legacy_block_hash};
use serde_json::{Value, json};

use super::{
    chain::{BatchId, Branch, Chain, ELSEWHERE, L1, L2},
    l1::{StepKind, diamond, precommit_tx},
};

/// What the main node has at one time.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The chain that it has, and goes on with.
    pub branch: Arc<Branch>,
    /// The newest block that it has.
    pub tip: u32,
    /// The newest batch whose root is known, and the newest with a commitment.
    pub root_until: u32,
    /// See [`root_until`](Self::root_until).
    pub commitment_until: u32,
    /// Steps on L1 that it says there are, by number of the batch.
    pub steps: Arc<BTreeMap<u32, Steps>>,
    /// Whether details of batches are there before their last blocks.
    pub is_early: bool,
    /// Whether steps are not told.
    pub hides_steps: bool,
}

/// The steps of a batch: transactions on L1, in the order of [`StepKind::ALL`].
pub type Steps = [Option<B256>; 3];

impl View {
    /// Whether batch `id` of number `number` is complete.
    pub fn is_sealed(&self, chain: &Chain, number: u32) -> bool {
        let id = self.batch_id(number);
        id.is_some_and(|id| chain.last_block(id) <= self.tip)
    }

    /// The batch of this number.
    pub fn batch_id(&self, number: u32) -> Option<BatchId> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.branch.get(index).copied()
    }

    /// The newest complete batch.
    pub fn sealed(&self, chain: &Chain) -> u32 {
        let sealed = self.branch.iter().take_while(|id| chain.last_block(**id) <= self.tip).count();
        u32::try_from(sealed).unwrap_or(u32::MAX)
    }

    /// The root that is announced for a batch.
    pub fn root(&self, chain: &Chain, number: u32) -> Option<B256> {
        let is_known = number <= self.root_until && self.is_sealed(chain, number);
        let id = self.batch_id(number).filter(|_| is_known)?;
        Some(chain.batch(id).root.0)
    }

    /// The answer to a call; `None` if the main node does not know the method.
    pub fn answer(&self, chain: &Chain, method: &str, params: &Value) -> Option<Value> {
        let number = || params[0].as_u64().and_then(|number| u32::try_from(number).ok());
        let hash = || params[0].as_str().and_then(|text| text.parse::<B256>().ok());
        Some(match method {
            "eth_chainId" => json!(format!("{:#x}", L2.0)),
            "zks_L1ChainId" => json!(format!("{:#x}", L1.0)),
            "eth_blockNumber" => json!(format!("{:#x}", self.tip)),
            "zks_L1BatchNumber" => json!(format!("{:#x}", self.sealed(chain))),
            "en_genesisConfig" => json!(chain.genesis),
            "zks_getMainContract" => diamond(),
            "zks_getBytecodeByHash" => {
                let code = hash().and_then(|hash| chain.bytecodes.get(&hash));
                code.map_or(Value::Null, |code| json!(code.to_vec()))
            }
            "eth_getStorageAt" => {
                let key = params[1].as_str().and_then(|key| key.parse::<U256>().ok());
                let is_at = |at: &Address| key == Some(U256::from_be_bytes(at.into_word().0));
                let found = chain.contracts.iter().find(|(at, _)| is_at(at));
                json!(found.map_or(B256::ZERO, |(_, hash)| *hash))
            }
            "en_syncL2Block" => self.sync_block(chain, number()?),
            "zks_getL1BatchDetails" => self.batch_details(chain, number()?),
            "zks_getBlockDetails" => self.block_details(chain, number()?),
            "zks_getBatchFeeInput" => {
                json!({"l1_gas_price": 7, "fair_l2_gas_price": 250, "fair_pubdata_price": 9})
            }
            "zks_getFeeParams" => json!({"V2": {}}),
            _ => return None,
        })
    }

    fn sync_block(&self, chain: &Chain, number: u32) -> Value {
        if number > self.tip {
            return Value::Null;
        }
        let block = chain.block(&self.branch, number);
        block.map_or(Value::Null, |(_, block)| Value::clone(&block.json))
    }

    fn batch_details(&self, chain: &Chain, number: u32) -> Value {
        let Some(id) = self.batch_id(number) else { return Value::Null };
        let is_sealed = self.is_sealed(chain, number);
        let is_begun = chain.batch(id).blocks[0].params.number.0 <= self.tip + 1;
        if !(is_sealed || self.is_early && is_begun) {
            return Value::Null;
        }
        let batch = chain.batch(id);
        let steps = self.steps.get(&number).filter(|_| !self.hides_steps);
        let steps = steps.copied().unwrap_or_default();
        let chain_id = if settles_elsewhere(chain, number) { ELSEWHERE.0 } else { L1.0 };
        let is_done = |step: StepKind| steps[step as usize];
        let at = |step: StepKind| is_done(step).map(|_| step_time(number));
        let on = |step: StepKind| is_done(step).map(|_| chain_id);
        let is_known = number <= self.commitment_until;
        let contracts = &batch.blocks[0].params.base_system_contracts;
        json!({
            "number": number, "timestamp": batch.timestamp,
            "l1TxCount": batch.l1_tx_count, "l2TxCount": batch.l2_tx_count,
            "rootHash": self.root(chain, number),
            "commitment": self.root(chain, number).filter(|_| is_known).map(|_| batch.commitment),
            "status": if is_done(StepKind::Execute).is_some() { "verified" } else { "sealed" },
            "commitTxHash": is_done(StepKind::Commit), "committedAt": at(StepKind::Commit),
            "commitChainId": on(StepKind::Commit),
            "proveTxHash": is_done(StepKind::Prove), "provenAt": at(StepKind::Prove),
            "proveChainId": on(StepKind::Prove),
            "executeTxHash": is_done(StepKind::Execute), "executedAt": at(StepKind::Execute),
            "executeChainId": on(StepKind::Execute),
            "l1GasPrice": batch.blocks[0].params.fee_input.l1_gas_price,
            "l2FairGasPrice": 250, "fairPubdataPrice": 9,
            "baseSystemContractsHashes": {
                "bootloader": contracts.bootloader.0,
                "default_aa": contracts.default_account.0,
                "evm_emulator": contracts.evm_emulator.map(|hash| hash.0),
            },
        })
    }

    fn block_details(&self, chain: &Chain, number: u32) -> Value {
        if number > self.tip {
            return Value::Null;
        }
        let block = chain.block(&self.branch, number).map(|(_, block)| block);
        let hash = match block {
            None if number > 0 => return Value::Null,
            None => legacy_block_hash(L2BlockNumber(0)),
            Some(block) => block.hash,
        };
        let batch = block.map_or(0, |block| block.params.batch.0);
        let l1_txs =
            block.map_or(0, |block| block.txs.iter().filter(|tx| tx.is_priority()).count());
        let txs = block.map_or(0, |block| block.txs.len());
        let precommit = block.filter(|_| chain.plan.precommits).map(precommit_tx);
        json!({
            "precommitTxHash": precommit, "precommitChainId": precommit.map(|_| L1.0),
            "precommittedAt": precommit.map(|_| "2024-01-01T00:00:59Z"),
            "number": number, "l1BatchNumber": batch,
            "timestamp": block.map_or(0, |block| block.params.timestamp.0),
            "l1TxCount": l1_txs, "l2TxCount": txs - l1_txs, "rootHash": hash.0,
            "status": "sealed", "l1GasPrice": 7, "l2FairGasPrice": 250,
            "operatorAddress": Address::repeat_byte(0xfe),
            "baseSystemContractsHashes": {
                "bootloader": chain.genesis.bootloader_hash,
                "default_aa": chain.genesis.default_aa_hash,
            },
        })
    }
}

/// When the steps of a batch were made, as the main node says it.
pub(crate) fn step_time(number: u32) -> String {
    format!("2024-01-01T00:{:02}:00Z", number % 60)
}

/// Whether batches of this number settle on another layer than L1.
pub(crate) fn settles_elsewhere(chain: &Chain, number: u32) -> bool {
    let plan = &chain.plan;
    plan.settles_elsewhere_from > 0
        && (plan.settles_elsewhere_from..plan.settles_elsewhere_until).contains(&number)
}
