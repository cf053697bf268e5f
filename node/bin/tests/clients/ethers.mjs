// ethers v6 against the node.

import assert from "node:assert/strict";
import { JsonRpcProvider, Wallet, WebSocketProvider } from "ethers";
import { ask, freeNonce, interestingBlock, logsOf, run, settings, within } from "./facts.mjs";

const provider = new JsonRpcProvider(settings.http);
const facts = await interestingBlock();
const number = Number(facts.block.number);

await run("ethers", {
  async blocks() {
    const block = await provider.getBlock(number, true);
    assert.equal(block.hash, facts.block.hash);
    assert.equal(block.parentHash, facts.block.parentHash);
    assert.equal(block.timestamp, Number(facts.block.timestamp));
    assert.deepEqual([...block.transactions], facts.block.transactions.map((tx) => tx.hash));
    assert.equal((await provider.getBlock(facts.block.hash)).number, number);
    assert.equal((await provider.getNetwork()).chainId, BigInt(await ask("eth_chainId")));
  },
  async transactions() {
    const tx = await provider.getTransaction(facts.tx.hash);
    assert.equal(tx.from.toLowerCase(), facts.tx.from);
    assert.equal(tx.value, BigInt(facts.tx.value));
    assert.equal(tx.blockNumber, number);
  },
  async receipts() {
    const receipt = await provider.getTransactionReceipt(facts.tx.hash);
    assert.equal(receipt.gasUsed, BigInt(facts.receipt.gasUsed));
    assert.equal(receipt.status, Number(facts.receipt.status));
    assert.deepEqual(
      receipt.logs.map((log) => [log.address.toLowerCase(), log.index, log.data]),
      facts.receipt.logs.map((log) => [log.address, Number(log.logIndex), log.data]),
    );
  },
  async logs() {
    const expected = await logsOf(facts.block);
    const logs = await provider.getLogs({ fromBlock: number, toBlock: number });
    assert.equal(logs.length, expected.length);
    assert.deepEqual([...logs[0].topics], expected[0].topics);
    const byHash = await provider.getLogs({ blockHash: facts.block.hash });
    assert.equal(byHash.length, expected.length);
  },
  async state() {
    const balance = await ask("eth_getBalance", facts.tx.from, facts.block.number);
    assert.equal(await provider.getBalance(facts.tx.from, number), BigInt(balance));
    const { to, data, block, result } = settings.call;
    assert.equal(await provider.call({ to, data, blockTag: block }), result);
  },
  async estimates() {
    const wallet = new Wallet(settings.key);
    const gas = await provider.estimateGas({ from: wallet.address, to: facts.tx.from, value: 1n });
    assert.ok(gas > 21_000n, `${gas}`);
    const { gasPrice } = await provider.getFeeData();
    assert.equal(gasPrice, BigInt(await ask("eth_gasPrice")));
  },
  async subscriptions() {
    const socket = new WebSocketProvider(settings.ws);
    const head = new Promise((resolve) => socket.once("block", resolve));
    const seen = await within(60, "ethers newHeads", head);
    const block = await provider.getBlock(seen);
    assert.equal(block.number, seen);
    const log = new Promise((resolve) => socket.once({ topics: [] }, resolve));
    const { blockNumber } = await within(60, "ethers logs", log);
    assert.ok(blockNumber >= seen);
    // What is still being unsubscribed when it is destroyed is a rejection that nobody can catch.
    await socket.removeAllListeners();
    await new Promise((resolve) => setTimeout(resolve, 500));
    await socket.destroy();
  },
  async send() {
    const wallet = new Wallet(settings.key, provider);
    const nonce = await freeNonce(wallet.address);
    const sent = await wallet.sendTransaction({ to: facts.tx.from, value: 1n, nonce });
    const found = await provider.getTransaction(sent.hash);
    assert.equal(found.hash, sent.hash);
    assert.equal(found.blockNumber, null);
    assert.equal(found.nonce, sent.nonce);
  },
});
