// zksync-ethers against the node.

import assert from "node:assert/strict";
import { Provider, Wallet } from "zksync-ethers";
import { ask, freeNonce, interestingBlock, logsOf, run, settings } from "./facts.mjs";

const provider = new Provider(settings.http);
const facts = await interestingBlock();
const number = Number(facts.block.number);

await run("zksync-ethers", {
  async blocks() {
    const block = await provider.getBlock(number);
    assert.equal(block.hash, facts.block.hash);
    // The batch may have been sealed since.
    const batchNumber = facts.block.l1BatchNumber;
    if (batchNumber !== null) assert.equal(block.l1BatchNumber, Number(batchNumber));
    const details = await provider.getBlockDetails(number);
    assert.equal(details.rootHash, facts.block.hash);
    const batch = await provider.getL1BatchDetails(1);
    assert.equal(batch.number, 1);
    const [first, last] = await provider.getL1BatchBlockRange(1);
    assert.ok(first <= last);
  },
  async receipts() {
    const receipt = await provider.getTransactionReceipt(facts.tx.hash);
    assert.equal(receipt.gasUsed, BigInt(facts.receipt.gasUsed));
    assert.equal(receipt.l2ToL1Logs.length, facts.receipt.l2ToL1Logs.length);
    assert.equal(receipt.logs.length, facts.receipt.logs.length);
    const details = await provider.getTransactionDetails(facts.tx.hash);
    assert.equal(details.initiatorAddress.toLowerCase(), facts.tx.from);
  },
  async logs() {
    const expected = await logsOf(facts.block);
    const logs = await provider.getLogs({ fromBlock: number, toBlock: number });
    assert.equal(logs.length, expected.length);
  },
  async state() {
    const { to, data, block, result } = settings.call;
    assert.equal(await provider.call({ to, data, blockTag: block }), result);
    const balance = await ask("eth_getBalance", facts.tx.from, facts.block.number);
    assert.equal(await provider.getBalance(facts.tx.from, number), BigInt(balance));
  },
  async chain() {
    const main = await provider.getMainContractAddress();
    assert.equal(main.toLowerCase(), (await ask("zks_getMainContract")).toLowerCase());
    assert.equal(await provider.getL1BatchNumber(), Number(await ask("zks_L1BatchNumber")));
    assert.equal(await provider.l1ChainId(), Number(await ask("zks_L1ChainId")));
  },
  async estimates() {
    const from = new Wallet(settings.key).address;
    const fee = await provider.estimateFee({ from, to: facts.tx.from, value: "0x1" });
    assert.ok(fee.gasLimit > 21_000n && fee.maxFeePerGas > 0n);
    const gas = await provider.estimateGas({ from, to: facts.tx.from, value: 1n, type: 113 });
    assert.ok(gas > 21_000n, `${gas}`);
  },
  async send() {
    const wallet = new Wallet(settings.key, provider);
    const nonce = await freeNonce(wallet.address);
    const tx = { to: facts.tx.from, value: 3n, type: 113, nonce };
    const sent = await wallet.sendTransaction(tx);
    const found = await provider.getTransaction(sent.hash);
    assert.equal(found.hash, sent.hash);
    assert.equal(found.blockNumber, null);
  },
});
