//! The main node as typed calls.

use lockstep_types::{
    Address, B256, BytecodeHash, Bytes, ChainId, FeeInput, L1BatchNumber, L2BlockNumber,
    ProtocolVersion,
};
use lockstep_wire::{
    Announced, SyncBlock, WireError,
    en::{GenesisConfig, ProtocolVersionInfo, VersionName, ZksProtocolVersion},
    quantity::{self, lenient::Lenient},
    zks::{BatchFacts, BlockFacts},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use tracing::debug;

use crate::{
    RpcClient, UpstreamError,
    rpc::{Ask, BadAnswer, Blame},
};

/// The main node as typed calls.
///
/// Every method fails as [`UpstreamError`] says. What an answer says of itself (numbers, hashes of
/// bytecodes) has been compared with what was asked; whether it is true is for the caller.
#[derive(Clone, Debug)]
pub struct MainNode {
    rpc: RpcClient,
}

/// Answer of `zks_getBatchFeeInput`, wei.
#[derive(Debug, Deserialize)]
struct BatchFeeInput {
    l1_gas_price: u64,
    fair_l2_gas_price: u64,
    fair_pubdata_price: u64,
}

/// The part of a block that every release must be able to read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockVersion {
    protocol_version: VersionName,
}

impl BadAnswer {
    pub(crate) fn malformed(method: &str, detail: impl std::fmt::Display) -> Self {
        Self { blame: Blame::Malformed, detail: format!("{method}: {detail}") }
    }
}

/// Reads `result` as the answer to `method`.
pub(crate) fn read<T: DeserializeOwned>(method: &str, result: &RawValue) -> Result<T, BadAnswer> {
    serde_json::from_str(result.get()).map_err(|error| BadAnswer::malformed(method, error))
}

/// A call whose answer is simply a `T`.
pub(crate) fn plain<T: DeserializeOwned>(method: &'static str, params: Value) -> Ask<T> {
    Ask { method, params, read: Box::new(move |result| read(method, result)) }
}

/// A call whose answer is `null` or a `T` that says `wanted` when it is asked for its number.
fn numbered<T: DeserializeOwned + 'static>(
    method: &'static str,
    wanted: u32,
    number: fn(&T) -> u32,
) -> Ask<Option<T>> {
    let read = move |result: &RawValue| {
        let answer: Option<T> = read(method, result)?;
        match answer.as_ref().map(number) {
            Some(got) if got != wanted => Err(other_number(method, wanted, got)),
            Some(_) | None => Ok(answer),
        }
    };
    Ask { method, params: json!([wanted]), read: Box::new(read) }
}

fn other_number(method: &str, wanted: u32, got: u32) -> BadAnswer {
    BadAnswer::malformed(method, format_args!("asked for number {wanted}, the answer is {got}"))
}

impl MainNode {
    /// The main node behind `rpc`.
    pub fn new(rpc: RpcClient) -> Self {
        Self { rpc }
    }

    /// What the main node said last was found to be wrong: another endpoint is asked for a while,
    /// if there is one.
    pub fn distrust(&self) {
        self.rpc.distrust();
    }

    /// The chain's id.
    pub async fn chain_id(&self) -> Result<ChainId, UpstreamError> {
        let Lenient(id) = self.rpc.ask(plain("eth_chainId", json!([]))).await?;
        Ok(ChainId(id))
    }

    /// Chain id of L1.
    pub async fn l1_chain_id(&self) -> Result<ChainId, UpstreamError> {
        let Lenient(id) = self.rpc.ask(plain("zks_L1ChainId", json!([]))).await?;
        Ok(ChainId(id))
    }

    /// Number of the newest block.
    pub async fn block_number(&self) -> Result<L2BlockNumber, UpstreamError> {
        self.number("eth_blockNumber").await.map(L2BlockNumber)
    }

    /// Number of the newest sealed batch.
    pub async fn l1_batch_number(&self) -> Result<L1BatchNumber, UpstreamError> {
        self.number("zks_L1BatchNumber").await.map(L1BatchNumber)
    }

    async fn number(&self, method: &'static str) -> Result<u32, UpstreamError> {
        let read = move |result: &RawValue| {
            let Lenient(number) = read(method, result)?;
            u32::try_from(number).map_err(|error| BadAnswer::malformed(method, error))
        };
        self.rpc.ask(Ask { method, params: json!([]), read: Box::new(read) }).await
    }

    /// What genesis is made of and what it must give.
    pub async fn genesis_config(&self) -> Result<GenesisConfig, UpstreamError> {
        self.rpc.ask(plain("en_genesisConfig", json!([]))).await
    }

    /// Prices that the next batch would be opened with.
    pub async fn batch_fee_input(&self) -> Result<FeeInput, UpstreamError> {
        let prices: BatchFeeInput = self.rpc.ask(plain("zks_getBatchFeeInput", json!([]))).await?;
        Ok(FeeInput {
            l1_gas_price: prices.l1_gas_price,
            fair_l2_gas_price: prices.fair_l2_gas_price,
            fair_pubdata_price: Some(prices.fair_pubdata_price),
        })
    }

    /// What those prices are computed from, as the main node puts it.
    pub async fn fee_params(&self) -> Result<Value, UpstreamError> {
        self.rpc.ask(plain("zks_getFeeParams", json!([]))).await
    }

    /// Asks for everything that only a main node can say, and puts it in `said`. What the main node
    /// refuses, or says in a way that cannot be read, stays as it was: older ones do not have all
    /// of it, and nothing that is verified depends on it.
    ///
    /// # Errors
    ///
    /// `Unavailable`: what came before is in `said`, the rest is to be asked for again.
    pub async fn learn_announced(&self, said: &mut Announced) -> Result<(), UpstreamError> {
        for method in Announced::METHODS {
            match self.rpc.call(method, json!([])).await {
                Ok(result) => {
                    if let Err(error) = said.learn(method, result.get()) {
                        tracing::warn!(method, %error, "the main node's answer cannot be read");
                    }
                }
                Err(error @ UpstreamError::Unavailable { .. }) => return Err(error),
                Err(
                    error @ (UpstreamError::Rejected { .. }
                    | UpstreamError::Malformed { .. }
                    | UpstreamError::Lie { .. }),
                ) => tracing::debug!(method, %error, "the main node does not say"),
            }
        }
        Ok(())
    }

    /// Address of the chain's diamond proxy on L1.
    pub async fn main_contract(&self) -> Result<Address, UpstreamError> {
        self.rpc.ask(plain("zks_getMainContract", json!([]))).await
    }

    /// The bytecodes of `hashes`, as stored, in their order; `None` where the main node has none.
    /// Each has the hash that was asked for.
    pub async fn bytecodes(
        &self,
        hashes: &[BytecodeHash],
    ) -> Result<Vec<Option<Bytes>>, UpstreamError> {
        const METHOD: &str = "zks_getBytecodeByHash";
        let ask = |hash: &BytecodeHash| {
            let hash = *hash;
            let is_compared = lockstep_io::planted!("X18", true, hashes.last() != Some(&hash));
            let read = move |result: &RawValue| {
                let code: Option<Bytes> = read(METHOD, result)?;
                let is_other = |code| lockstep_io::planted!("X17", !hash.is_of(code), false);
                match &code {
                    Some(code) if is_compared && is_other(code) => Err(BadAnswer {
                        blame: Blame::Lie,
                        detail: format!("{} bytes that are not the code of {hash}", code.len()),
                    }),
                    Some(_) | None => Ok(code),
                }
            };
            Ask { method: METHOD, params: json!([hash.0]), read: Box::new(read) }
        };
        self.all(hashes.iter().map(ask).collect()).await
    }

    /// What the slots `keys` of `contract` hold after genesis, in their order.
    pub async fn genesis_storage(
        &self,
        contract: Address,
        keys: &[B256],
    ) -> Result<Vec<B256>, UpstreamError> {
        const METHOD: &str = "eth_getStorageAt";
        let ask = |key: &B256| {
            let key = format!("{:#x}", lockstep_types::U256::from_be_bytes(key.0));
            let read = |result: &RawValue| {
                let text: String = read(METHOD, result)?;
                let word = quantity::parse_lenient(&text);
                word.map(B256::from).map_err(|error| BadAnswer::malformed(METHOD, error))
            };
            Ask { method: METHOD, params: json!([contract, key, "0x0"]), read: Box::new(read) }
        };
        self.all(keys.iter().map(ask).collect()).await
    }

    /// The `count` blocks from `first` on, in order; `None` where the main node has none. Not
    /// checked but for their numbers: see [`check_block`](crate::check_block).
    ///
    /// From the first block on that could not be fetched, all are `None`; only if that is the very
    /// first, it is an error.
    pub async fn sync_blocks(
        &self,
        first: L2BlockNumber,
        count: u32,
    ) -> Result<Vec<Option<SyncBlock>>, UpstreamError> {
        let asks = (first.0..first.0.saturating_add(count)).map(sync_block).collect();
        let mut blocks = Vec::new();
        for block in self.rpc.ask_many(asks).await {
            match block {
                Ok(block) => blocks.push(block),
                Err(error) if blocks.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        blocks.resize(usize::try_from(count).unwrap_or(usize::MAX), None);
        Ok(blocks)
    }

    /// The protocol version that `block` is said to have, whatever else its answer is made of;
    /// `None` if the main node has no such block.
    pub async fn version_of_block(
        &self,
        block: L2BlockNumber,
    ) -> Result<Option<ProtocolVersion>, UpstreamError> {
        let ask = plain::<Option<BlockVersion>>("en_syncL2Block", json!([block.0, true]));
        let answer = self.rpc.ask(ask).await?;
        Ok(answer.map(|BlockVersion { protocol_version: VersionName(version) }| version))
    }

    /// What is known of `batches` in their order; `None` where the main node has none.
    pub async fn batch_details(
        &self,
        batches: &[L1BatchNumber],
    ) -> Result<Vec<Option<BatchFacts>>, UpstreamError> {
        let ask = |batch: &L1BatchNumber| {
            numbered("zks_getL1BatchDetails", batch.0, |details: &BatchFacts| details.number)
        };
        self.all(batches.iter().map(ask).collect()).await
    }

    /// Everything that the main node says of `batch`, as it puts it: evidence for people.
    pub async fn raw_batch_details(&self, batch: L1BatchNumber) -> Result<Value, UpstreamError> {
        self.rpc.ask(plain("zks_getL1BatchDetails", json!([batch.0]))).await
    }

    /// What is known of `blocks` in their order; `None` where the main node has none.
    pub async fn block_details(
        &self,
        blocks: &[L2BlockNumber],
    ) -> Result<Vec<Option<BlockFacts>>, UpstreamError> {
        let ask = |block: &L2BlockNumber| {
            numbered("zks_getBlockDetails", block.0, |details: &BlockFacts| details.number)
        };
        self.all(blocks.iter().map(ask).collect()).await
    }

    /// What `version` is; `None` if the main node does not know it.
    pub async fn protocol_version_info(
        &self,
        version: ProtocolVersion,
    ) -> Result<Option<ProtocolVersionInfo>, UpstreamError> {
        match self.rpc.ask(version_info(version)).await {
            Ok(info) => Ok(info),
            Err(error @ UpstreamError::Unavailable { .. }) => Err(error),
            // The newer method is not there, or is not as it should be.
            Err(
                UpstreamError::Rejected { .. }
                | UpstreamError::Malformed { .. }
                | UpstreamError::Lie { .. },
            ) => self.rpc.ask(older_version_info(version)).await,
        }
    }

    /// Hands a signed transaction on; gives the hash under which the main node took it.
    ///
    /// Asking again is harmless: the main node says then that it knows the transaction.
    pub async fn send_raw_transaction(&self, raw: &Bytes) -> Result<B256, UpstreamError> {
        self.rpc.ask(plain("eth_sendRawTransaction", json!([raw]))).await
    }

    /// As [`send_raw_transaction`](Self::send_raw_transaction), and gives what running it gave, as
    /// the main node puts it.
    pub async fn send_for_output(&self, raw: &Bytes) -> Result<Box<RawValue>, UpstreamError> {
        self.rpc.call("unstable_sendRawTransactionWithDetailedOutput", json!([raw])).await
    }

    /// What the main node says of its chain by [`Announced::METHODS`], put into `announced`.
    /// Methods that it does not have, or whose answer cannot be read, change nothing.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::Unavailable`] if it does not answer.
    pub async fn announcements(&self, announced: &mut Announced) -> Result<(), UpstreamError> {
        let calls = Announced::METHODS.iter().map(|method| (*method, json!([]))).collect();
        let answers = self.rpc.call_many(calls).await;
        for (method, answer) in Announced::METHODS.iter().zip(answers) {
            match answer {
                Ok(result) => {
                    if let Err(error) = announced.learn(method, result.get()) {
                        debug!(method, %error, "the main node says something that cannot be read");
                    }
                }
                Err(error @ UpstreamError::Unavailable { .. }) => return Err(error),
                Err(error) => debug!(method, %error, "the main node does not say it"),
            }
        }
        Ok(())
    }

    /// All answers, or the first error.
    async fn all<T: Send>(&self, asks: Vec<Ask<T>>) -> Result<Vec<T>, UpstreamError> {
        self.rpc.ask_many(asks).await.into_iter().collect()
    }
}

fn sync_block(number: u32) -> Ask<Option<SyncBlock>> {
    const METHOD: &str = "en_syncL2Block";
    let read = move |result: &RawValue| {
        if result.get() == "null" {
            return Ok(None);
        }
        let block = SyncBlock::from_json(L2BlockNumber(number), result.get());
        let block = block.map_err(|error| BadAnswer::malformed(METHOD, error))?;
        if block.number != number {
            return Err(other_number(METHOD, number, block.number));
        }
        Ok(Some(block))
    };
    Ask { method: METHOD, params: json!([number, true]), read: Box::new(read) }
}

fn check_version(
    method: &str,
    info: ProtocolVersionInfo,
    wanted: ProtocolVersion,
) -> Result<ProtocolVersionInfo, BadAnswer> {
    if info.version() == wanted {
        return Ok(info);
    }
    Err(other_number(method, u32::from(wanted.0), u32::from(info.minor_version)))
}

fn version_info(version: ProtocolVersion) -> Ask<Option<ProtocolVersionInfo>> {
    const METHOD: &str = "en_getProtocolVersionInfo";
    let read = move |result: &RawValue| {
        let info: Option<ProtocolVersionInfo> = read(METHOD, result)?;
        info.map(|info| check_version(METHOD, info, version)).transpose()
    };
    Ask { method: METHOD, params: json!([version.0]), read: Box::new(read) }
}

fn older_version_info(version: ProtocolVersion) -> Ask<Option<ProtocolVersionInfo>> {
    const METHOD: &str = "zks_getProtocolVersion";
    let read = move |result: &RawValue| {
        let Some(info) = read::<Option<ZksProtocolVersion>>(METHOD, result)? else {
            return Ok(None);
        };
        let info = info.try_into();
        let info = info.map_err(|error: WireError| BadAnswer::malformed(METHOD, error))?;
        check_version(METHOD, info, version).map(Some)
    };
    Ask { method: METHOD, params: json!([version.0]), read: Box::new(read) }
}
