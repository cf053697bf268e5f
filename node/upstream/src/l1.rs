//! L1, or another settlement layer, as typed calls.

use lockstep_types::{Address, B256, Bytes, ChainId, U256};
use lockstep_wire::quantity::lenient::Lenient;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{json, value::RawValue};
use tracing::debug;

use crate::{
    RpcClient, UpstreamError,
    main_node::{plain, read},
    rpc::{Ask, BadAnswer},
};

/// L1, or another settlement layer, as typed calls.
///
/// Every method fails as [`UpstreamError`] says. Numbers may come as hex or as plain JSON numbers.
#[derive(Clone, Debug)]
pub struct L1 {
    rpc: RpcClient,
    /// Each provider alone; none if there is only one.
    providers: Vec<RpcClient>,
}

/// Numbers of the blocks that L1 gives names to. Providers disagree: `safe` and `finalized` may go
/// back, and may be ahead of `latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L1Tags {
    /// The newest block.
    pub latest: u64,
    /// The newest one that is not likely to vanish; `None` if L1 does not say.
    pub safe: Option<u64>,
    /// The newest one that cannot vanish; `None` if L1 does not say.
    pub finalized: Option<u64>,
}

/// What a transaction on L1 did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1Receipt {
    /// Whether it was not undone.
    pub success: bool,
    /// The L1 block that it is in.
    pub block_number: u64,
    /// Its events, in order.
    pub logs: Vec<L1Log>,
}

/// What a transaction on L1 asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1Transaction {
    /// The L1 block that it is in.
    pub block_number: u64,
    /// Input of the call.
    pub input: Bytes,
    /// Versioned hashes of its blobs; `None` if L1 names none.
    pub blob_versioned_hashes: Option<Vec<B256>>,
}

/// An event on L1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1Log {
    /// Contract that emitted it.
    pub address: Address,
    /// At most four.
    pub topics: Vec<B256>,
    /// The rest.
    pub data: Bytes,
}

impl L1 {
    /// L1 behind `rpc`.
    pub fn new(rpc: RpcClient) -> Self {
        Self { rpc, providers: Vec::new() }
    }

    /// The same, with a client of each of its providers alone, the preferred one first: what one
    /// does not know, the next is asked for.
    #[must_use]
    pub fn with_providers(self, providers: Vec<RpcClient>) -> Self {
        Self { providers, ..self }
    }

    /// Chain id.
    pub async fn chain_id(&self) -> Result<ChainId, UpstreamError> {
        let Lenient(id) = self.rpc.ask(plain("eth_chainId", json!([]))).await?;
        Ok(ChainId(id))
    }

    /// Which blocks are newest, safe and finalized. A provider that does not know one of the names
    /// is no reason to do without: the others are asked for it, in their order.
    pub async fn tags(&self) -> Result<L1Tags, UpstreamError> {
        let mut tags = tags_of(&self.rpc).await?;
        for provider in &self.providers {
            if tags.safe.is_some() && tags.finalized.is_some() {
                break;
            }
            match tags_of(provider).await {
                Ok(others) => {
                    tags.safe = tags.safe.or(others.safe);
                    tags.finalized = tags.finalized.or(others.finalized);
                }
                Err(error) => debug!(%error, "a provider of L1 does not say what is final"),
            }
        }
        Ok(tags)
    }

    /// What the transactions `hashes` did, in their order; `None` for those that L1 does not know
    /// or that are in no block.
    pub async fn receipts(&self, hashes: &[B256]) -> Result<Vec<Option<L1Receipt>>, UpstreamError> {
        let asks = hashes.iter().map(|hash| receipt(*hash)).collect();
        self.rpc.ask_many(asks).await.into_iter().collect()
    }

    /// What the transactions `hashes` asked for, in their order; `None` for those that L1 does not
    /// know or that are in no block.
    pub async fn transactions(
        &self,
        hashes: &[B256],
    ) -> Result<Vec<Option<L1Transaction>>, UpstreamError> {
        let asks = hashes.iter().map(|hash| transaction(*hash)).collect();
        self.rpc.ask_many(asks).await.into_iter().collect()
    }

    /// The contract of chain `chain` here, as the bridgehub at `bridgehub` says; zero if it has
    /// none.
    pub async fn contract_of(
        &self,
        bridgehub: Address,
        chain: ChainId,
    ) -> Result<Address, UpstreamError> {
        const METHOD: &str = "eth_call";
        // `getZKChain(uint256)`.
        let mut data = vec![0xe6, 0x80, 0xc4, 0xc1];
        data.extend(U256::from(chain.0).to_be_bytes::<32>());
        let call = json!([{"to": bridgehub, "data": Bytes::from(data)}, "latest"]);
        let read = |result: &RawValue| {
            let word: B256 = read(METHOD, result)?;
            if word[..12].iter().any(|byte| *byte != 0) {
                return Err(BadAnswer::malformed(METHOD, format_args!("{word} is no address")));
            }
            Ok(Address::from_word(word))
        };
        self.rpc.ask(Ask { method: METHOD, params: call, read: Box::new(read) }).await
    }
}

async fn tags_of(rpc: &RpcClient) -> Result<L1Tags, UpstreamError> {
    let asks = ["latest", "safe", "finalized"].map(tagged_block);
    let mut answers = rpc.ask_many(asks.into()).await.into_iter();
    let mut next = || answers.next().expect("every call has an answer");
    let latest = next()?;
    let latest = latest
        .ok_or_else(|| UpstreamError::Malformed { detail: "L1 has no newest block".to_owned() })?;
    Ok(L1Tags { latest, safe: if_supported(next())?, finalized: if_supported(next())? })
}

/// A refusal means that L1 does not know the name.
fn if_supported(number: Result<Option<u64>, UpstreamError>) -> Result<Option<u64>, UpstreamError> {
    match number {
        Err(UpstreamError::Rejected { .. }) => Ok(None),
        Ok(_)
        | Err(
            UpstreamError::Unavailable { .. }
            | UpstreamError::Lie { .. }
            | UpstreamError::Malformed { .. },
        ) => number,
    }
}

#[derive(Deserialize)]
struct BlockJson {
    number: Option<Lenient>,
}

/// A call for the number of the block called `tag`; `None` if there is none.
fn tagged_block(tag: &'static str) -> Ask<Option<u64>> {
    const METHOD: &str = "eth_getBlockByNumber";
    let read = move |result: &RawValue| {
        let is_plain = !result.get().contains("\"0x");
        assert!(lockstep_io::planted!("X29", true, !is_plain), "quantities are hexadecimal");
        let block: Option<BlockJson> = read(METHOD, result)?;
        match block {
            None => Ok(None),
            Some(BlockJson { number: Some(Lenient(number)) }) => Ok(Some(number)),
            Some(BlockJson { number: None }) => {
                Err(BadAnswer::malformed(METHOD, format_args!("the {tag} block has no number")))
            }
        }
    };
    Ask { method: METHOD, params: json!([tag, false]), read: Box::new(read) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptJson {
    transaction_hash: B256,
    /// Absent while the transaction is in no block.
    #[serde(default)]
    block_number: Option<Lenient>,
    status: Lenient,
    logs: Vec<LogJson>,
}

#[derive(Deserialize)]
struct LogJson {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    #[serde(default)]
    removed: Option<bool>,
}

/// Whether the receipt is of a transaction that is in no block: such a one may lack anything.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlaceJson {
    #[serde(default)]
    block_number: Option<IgnoredAny>,
}

fn receipt(hash: B256) -> Ask<Option<L1Receipt>> {
    const METHOD: &str = "eth_getTransactionReceipt";
    let read = move |result: &RawValue| {
        let place: Option<PlaceJson> = read(METHOD, result)?;
        if place.is_none_or(|place| place.block_number.is_none()) {
            return Ok(None);
        }
        let json: ReceiptJson = read(METHOD, result)?;
        if json.transaction_hash != hash {
            let detail = format!("asked for {hash}, the answer is {}", json.transaction_hash);
            return Err(BadAnswer::malformed(METHOD, detail));
        }
        Ok(json.block_number.map(|Lenient(block_number)| L1Receipt {
            success: json.status == Lenient(1),
            block_number,
            logs: json.logs.into_iter().filter(|log| log.removed != Some(true)).map(log).collect(),
        }))
    };
    Ask { method: METHOD, params: json!([hash]), read: Box::new(read) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransactionJson {
    hash: B256,
    /// Absent while the transaction is in no block.
    #[serde(default)]
    block_number: Option<Lenient>,
    input: Bytes,
    #[serde(default)]
    blob_versioned_hashes: Option<Vec<B256>>,
}

fn transaction(hash: B256) -> Ask<Option<L1Transaction>> {
    const METHOD: &str = "eth_getTransactionByHash";
    let read = move |result: &RawValue| {
        let Some(json) = read::<Option<TransactionJson>>(METHOD, result)? else { return Ok(None) };
        if json.hash != hash {
            let detail = format!("asked for {hash}, the answer is {}", json.hash);
            return Err(BadAnswer::malformed(METHOD, detail));
        }
        Ok(json.block_number.map(|Lenient(block_number)| L1Transaction {
            block_number,
            input: json.input,
            blob_versioned_hashes: json.blob_versioned_hashes,
        }))
    };
    Ask { method: METHOD, params: json!([hash]), read: Box::new(read) }
}

fn log(json: LogJson) -> L1Log {
    L1Log { address: json.address, topics: json.topics, data: json.data }
}
