// viem against the node.

import assert from "node:assert/strict";
import { createPublicClient, createWalletClient, defineChain, http, webSocket } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { ask, freeNonce, interestingBlock, logsOf, run, settings, within } from "./facts.mjs";

const chain = defineChain({
  id: Number(await ask("eth_chainId")),
  name: "recorded",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [settings.http], webSocket: [settings.ws] } },
});
const client = createPublicClient({ chain, transport: http() });
const facts = await interestingBlock();
const blockNumber = BigInt(facts.block.number);

await run("viem", {
  async blocks() {
    const block = await client.getBlock({ blockNumber, includeTransactions: true });
    assert.equal(block.hash, facts.block.hash);
    assert.equal(block.gasUsed, BigInt(facts.block.gasUsed));
    assert.deepEqual(
      block.transactions.map((tx) => tx.hash),
      facts.block.transactions.map((tx) => tx.hash),
    );
    assert.equal((await client.getBlock({ blockHash: facts.block.hash })).number, blockNumber);
    const count = await client.getBlockTransactionCount({ blockNumber });
    assert.equal(count, facts.block.transactions.length);
  },
  async receipts() {
    const receipt = await client.getTransactionReceipt({ hash: facts.tx.hash });
    assert.equal(receipt.gasUsed, BigInt(facts.receipt.gasUsed));
    assert.equal(receipt.status, facts.receipt.status === "0x1" ? "success" : "reverted");
    assert.equal(receipt.logs.length, facts.receipt.logs.length);
  },
  async logs() {
    const expected = await logsOf(facts.block);
    const logs = await client.getLogs({ fromBlock: blockNumber, toBlock: blockNumber });
    assert.deepEqual(
      logs.map((log) => [log.address, log.logIndex, log.data]),
      expected.map((log) => [log.address, Number(log.logIndex), log.data]),
    );
  },
  async state() {
    const address = facts.tx.from;
    const balance = await ask("eth_getBalance", address, facts.block.number);
    assert.equal(await client.getBalance({ address, blockNumber }), BigInt(balance));
    const { to, data, block, result } = settings.call;
    const called = await client.call({ to, data, blockNumber: BigInt(block) });
    assert.equal(called.data, result);
  },
  async estimates() {
    const account = privateKeyToAccount(settings.key).address;
    const gas = await client.estimateGas({ account, to: facts.tx.from, value: 1n });
    assert.ok(gas > 21_000n, `${gas}`);
    const history = await client.getFeeHistory({ blockCount: 4, rewardPercentiles: [50] });
    assert.equal(history.baseFeePerGas.length, history.gasUsedRatio.length + 1);
  },
  async simulations() {
    const account = privateKeyToAccount(settings.key).address;
    const calls = [{ account, to: facts.tx.from, value: 1n }];
    const blocks = await client.simulateBlocks({ blocks: [{ calls }] });
    assert.equal(blocks[0].calls[0].status, "success");
    const list = await client.createAccessList({ account, to: facts.tx.from, value: 1n });
    assert.ok(list.gasUsed > 0n);
  },
  async subscriptions() {
    const socket = createPublicClient({ chain, transport: webSocket() });
    const head = new Promise((resolve, reject) => {
      socket.watchBlocks({ onBlock: resolve, onError: reject, poll: false });
    });
    const seen = await within(60, "viem newHeads", head);
    assert.equal((await client.getBlock({ blockNumber: seen.number })).hash, seen.hash);
    const log = new Promise((resolve, reject) => {
      socket.watchEvent({ onLogs: resolve, onError: reject, poll: false });
    });
    const [first] = await within(60, "viem logs", log);
    assert.ok(first.blockNumber >= seen.number);
  },
  async send() {
    const account = privateKeyToAccount(settings.key);
    const wallet = createWalletClient({ account, chain, transport: http() });
    const nonce = await freeNonce(account.address);
    const hash = await wallet.sendTransaction({ to: facts.tx.from, value: 2n, nonce });
    const found = await client.getTransaction({ hash });
    assert.equal(found.blockNumber, null);
    assert.equal(found.from, account.address.toLowerCase());
  },
});
