//! Alloy against the node: what it reads must be what plain requests are answered with, in its own
//! types.
//!
//! Blocks, receipts, logs, state, calls, estimates, subscriptions over a WebSocket, and one
//! transaction that is signed here and sent. By alloy's network for chains other than Ethereum:
//! transactions come without an access list, as the reference node shows them, and that of Ethereum
//! insists on one.

use std::{env, future::Future, time::Duration};

use alloy_network::{
    AnyNetwork, EthereumWallet, ReceiptResponse as _, TransactionBuilder as _,
    TransactionResponse as _,
};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_provider::{Provider, ProviderBuilder, WsConnect};
use alloy_rpc_types_eth::{BlockId, Filter, TransactionRequest};
use alloy_signer_local::PrivateKeySigner;
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

/// How long something that is pushed is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far above the next nonce that of the transaction is; the node takes 50.
const NONCES_AHEAD: u64 = 30;

/// What is read, from plain requests.
struct Facts {
    block: Value,
    tx: Value,
    receipt: Value,
    number: u64,
}

/// A call that the recorded node answered.
#[derive(Debug)]
struct RecordedCall {
    to: Address,
    data: Bytes,
    block: u64,
    result: Bytes,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let client = ProviderBuilder::new_with_network::<AnyNetwork>()
        .connect_http(setting("LOCKSTEP_HTTP")?.parse()?);
    let facts = interesting_block(&client).await?;
    let signer: PrivateKeySigner = setting("LOCKSTEP_KEY")?.parse()?;
    told("blocks", blocks(&client, &facts)).await?;
    told("receipts", receipts(&client, &facts)).await?;
    told("logs", logs(&client, &facts)).await?;
    told("state and calls", state(&client, &facts, recorded_call()?)).await?;
    told("estimates", estimates(&client, &facts, signer.address())).await?;
    told("subscriptions", subscriptions(&client)).await?;
    told("send", send(&client, &facts, signer)).await
}

async fn told(part: &str, test: impl Future<Output = Result<()>>) -> Result<()> {
    test.await.with_context(|| format!("alloy: {part}"))?;
    println!("alloy: {part}");
    Ok(())
}

fn setting(name: &str) -> Result<String> {
    env::var(name).with_context(|| format!("{name} is not set"))
}

fn recorded_call() -> Result<RecordedCall> {
    let call: Value = serde_json::from_str(&setting("LOCKSTEP_CALL")?)?;
    Ok(RecordedCall {
        to: field(&call, "to")?,
        data: field(&call, "data")?,
        block: call["block"].as_u64().context("a block")?,
        result: field(&call, "result")?,
    })
}

fn field<T: serde::de::DeserializeOwned>(of: &Value, name: &str) -> Result<T> {
    serde_json::from_value(of[name].clone()).with_context(|| format!("{name} of {of}"))
}

/// A plain request.
async fn ask(
    client: &impl Provider<AnyNetwork>,
    method: &'static str,
    params: Value,
) -> Result<Value> {
    client.raw_request(method.into(), params).await.with_context(|| method)
}

/// A block that has a transaction of an ordinary type which emitted something.
async fn interesting_block(client: &impl Provider<AnyNetwork>) -> Result<Facts> {
    let head = client.get_block_number().await?;
    for number in (1..=head).rev() {
        let block = ask(client, "eth_getBlockByNumber", json!([U64::from(number), true])).await?;
        for tx in block["transactions"].as_array().context("transactions")?.clone() {
            let is_ordinary = field::<U64>(&tx, "type")? <= U64::from(2);
            if !is_ordinary {
                continue;
            }
            let receipt = ask(client, "eth_getTransactionReceipt", json!([tx["hash"]])).await?;
            if receipt["logs"].as_array().is_some_and(|logs| !logs.is_empty()) {
                return Ok(Facts { block, tx, receipt, number });
            }
        }
    }
    bail!("no block up to {head} has a transaction of an ordinary type with logs")
}

async fn blocks(client: &impl Provider<AnyNetwork>, facts: &Facts) -> Result<()> {
    let hash: B256 = field(&facts.block, "hash")?;
    let by_number = client.get_block(facts.number.into()).await?.context("no block")?;
    let by_hash = client.get_block_by_hash(hash).await?.context("no block by hash")?;
    ensure!(by_number == by_hash, "{by_number:?} {by_hash:?}");
    ensure!(by_hash.header.hash == hash && by_hash.header.number == facts.number);
    ensure!(U64::from(by_hash.header.gas_used) == field::<U64>(&facts.block, "gasUsed")?);
    let hashes: Vec<B256> = by_hash.transactions.hashes().collect();
    let expected = facts.block["transactions"].as_array().context("transactions")?;
    let expected = expected.iter().map(|tx| field::<B256>(tx, "hash"));
    ensure!(hashes == expected.collect::<Result<Vec<_>>>()?);
    ensure!(client.get_chain_id().await? > 0);
    Ok(())
}

async fn receipts(client: &impl Provider<AnyNetwork>, facts: &Facts) -> Result<()> {
    let hash: B256 = field(&facts.tx, "hash")?;
    let receipt = client.get_transaction_receipt(hash).await?.context("no receipt")?;
    ensure!(receipt.transaction_hash() == hash && receipt.block_number() == Some(facts.number));
    ensure!(U64::from(receipt.gas_used()) == field::<U64>(&facts.receipt, "gasUsed")?);
    ensure!(receipt.status() == (facts.receipt["status"] == "0x1"));
    let logs = facts.receipt["logs"].as_array().context("logs")?;
    let seen = receipt.inner.inner.logs();
    ensure!(seen.len() == logs.len());
    ensure!(seen[0].address() == field::<Address>(&logs[0], "address")?);
    let tx = client.get_transaction_by_hash(hash).await?.context("no transaction")?;
    ensure!(tx.block_hash() == Some(field(&facts.block, "hash")?));
    ensure!(tx.from() == field::<Address>(&facts.tx, "from")?);
    Ok(())
}

async fn logs(client: &impl Provider<AnyNetwork>, facts: &Facts) -> Result<()> {
    let range = json!([{"fromBlock": U64::from(facts.number), "toBlock": U64::from(facts.number)}]);
    let expected = ask(client, "eth_getLogs", range).await?;
    let expected = expected.as_array().context("logs")?;
    let filter = Filter::new().from_block(facts.number).to_block(facts.number);
    let logs = client.get_logs(&filter).await?;
    ensure!(logs.len() == expected.len());
    for (log, expected) in logs.iter().zip(expected) {
        ensure!(log.address() == field::<Address>(expected, "address")?);
        ensure!(log.data().data == field::<Bytes>(expected, "data")?);
        ensure!(log.topics() == field::<Vec<B256>>(expected, "topics")?);
        ensure!(log.log_index.map(U64::from) == Some(field(expected, "logIndex")?));
    }
    let of_first = client.get_logs(&filter.address(logs[0].address())).await?;
    ensure!(!of_first.is_empty() && of_first.iter().all(|log| logs.contains(log)));
    Ok(())
}

async fn state(
    client: &impl Provider<AnyNetwork>,
    facts: &Facts,
    call: RecordedCall,
) -> Result<()> {
    let from: Address = field(&facts.tx, "from")?;
    let at = BlockId::number(facts.number);
    let plain = ask(client, "eth_getBalance", json!([from, facts.block["number"]])).await?;
    let balance = client.get_balance(from).block_id(at).await?;
    ensure!(balance == serde_json::from_value::<U256>(plain)?);
    ensure!(client.get_transaction_count(from).block_id(at).await? > 0);
    let request = TransactionRequest::default().with_to(call.to).with_input(call.data);
    let result = client.call(request.into()).block(BlockId::number(call.block)).await?;
    ensure!(result == call.result, "{result}");
    ensure!(!client.get_code_at(call.to).await?.is_empty());
    Ok(())
}

async fn estimates(
    client: &impl Provider<AnyNetwork>,
    facts: &Facts,
    payer: Address,
) -> Result<()> {
    let to: Address = field(&facts.tx, "from")?;
    let request = TransactionRequest::default().with_from(payer).with_to(to);
    let gas = client.estimate_gas(request.with_value(U256::from(1)).into()).await?;
    ensure!(gas > 21_000, "{gas}");
    let fees = client.estimate_eip1559_fees().await?;
    ensure!(fees.max_fee_per_gas > 0, "{fees:?}");
    Ok(())
}

async fn subscriptions(client: &impl Provider<AnyNetwork>) -> Result<()> {
    let socket = ProviderBuilder::new_with_network::<AnyNetwork>()
        .connect_ws(WsConnect::new(setting("LOCKSTEP_WS")?))
        .await?;
    let mut heads = socket.subscribe_blocks().await?.into_stream();
    let head = tokio::time::timeout(PATIENCE, heads.next()).await.context("no head in time")?;
    let head = head.context("the subscription to heads ended")?;
    let block = client.get_block_by_number(head.number.into()).await?.context("no such block")?;
    ensure!(block.header.hash == head.hash, "{head:?}");
    let mut logs = socket.subscribe_logs(&Filter::new()).await?.into_stream();
    let log = tokio::time::timeout(PATIENCE, logs.next()).await.context("no log in time")?;
    let log = log.context("the subscription to logs ended")?;
    ensure!(log.block_number.is_some_and(|number| number >= head.number), "{log:?}");
    Ok(())
}

/// The main node of the test takes the transaction and never puts it into a block.
async fn send(
    client: &impl Provider<AnyNetwork>,
    facts: &Facts,
    signer: PrivateKeySigner,
) -> Result<()> {
    let from = signer.address();
    let wallet = ProviderBuilder::new_with_network::<AnyNetwork>()
        .wallet(EthereumWallet::from(signer))
        .connect_http(setting("LOCKSTEP_HTTP")?.parse()?);
    let to: Address = field(&facts.tx, "from")?;
    // The account sends in recorded blocks too: its next nonce may be used at any moment.
    let nonce = client.get_transaction_count(from).await? + NONCES_AHEAD;
    let request = TransactionRequest::default().with_to(to).with_value(U256::from(3));
    let request = request.with_nonce(nonce);
    let sent = wallet.send_transaction(request.into()).await?;
    let tx = client.get_transaction_by_hash(*sent.tx_hash()).await?.context("it is not known")?;
    ensure!(tx.block_number().is_none() && tx.from() == from, "{tx:?}");
    Ok(())
}
