// What the clients are asked, taken from plain requests: what a library shows must be what the
// node answered, in the library's own types.

import assert from "node:assert/strict";

/** Settings of the test, given by the environment. */
export const settings = {
  http: process.env.LOCKSTEP_HTTP,
  ws: process.env.LOCKSTEP_WS,
  /** A call that the recorded node answered: {to, data, block, result}. */
  call: JSON.parse(process.env.LOCKSTEP_CALL),
  /** The key of an account that can pay. */
  key: process.env.LOCKSTEP_KEY,
};

let nextId = 0;

/** One plain request. */
export async function ask(method, ...params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: ++nextId, method, params });
  const headers = { "content-type": "application/json" };
  const response = await fetch(settings.http, { method: "POST", headers, body });
  const answer = await response.json();
  assert.ok(!answer.error, `${method}: ${JSON.stringify(answer.error)}`);
  return answer.result;
}

/**
 * A nonce that the node takes (it takes 50 ahead) and that stays free for a while: the account sends
 * in recorded blocks too, so its next one may be used at any moment.
 */
export async function freeNonce(address) {
  return Number(await ask("eth_getTransactionCount", address, "latest")) + 30;
}

const hex = (number) => `0x${number.toString(16)}`;

/** A block that has a transaction of type 0x2 or older which emitted something. */
export async function interestingBlock() {
  const head = Number(await ask("eth_blockNumber"));
  for (let number = head; number > 0; number--) {
    const block = await ask("eth_getBlockByNumber", hex(number), true);
    for (const tx of block.transactions) {
      if (Number(tx.type) > 2) continue;
      const receipt = await ask("eth_getTransactionReceipt", tx.hash);
      if (receipt.logs.length > 0) return { block, tx, receipt };
    }
  }
  throw new Error(`no block up to ${head} has a transaction of an ordinary type with logs`);
}

/** All logs of a block, as the node answers them. */
export const logsOf = (block) =>
  ask("eth_getLogs", { fromBlock: block.number, toBlock: block.number });

/** Rejects unless `promise` is settled in time. */
export function within(seconds, what, promise) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`${what}: nothing for ${seconds} s`)), seconds * 1000).unref();
  });
  return Promise.race([promise, late]);
}

/** Runs the parts of a test one after the other and ends the process. */
export async function run(name, parts) {
  try {
    for (const [part, test] of Object.entries(parts)) {
      await test();
      console.log(`${name}: ${part}`);
    }
    process.exit(0);
  } catch (error) {
    console.error(`${name} failed:`, error);
    process.exit(1);
  }
}
