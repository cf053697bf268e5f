#!/usr/bin/env python3
"""How many requests of each kind a second the node's API answers, measured with wrk.

    load.py --recording DIR [--tools DIR] [--bin FILE] [--while-syncing] [--only NAME] [--seconds N]
    load.py --recording DIR --url http://127.0.0.1:3060

Serves the recording with replay-upstreams, lets the node (target/release/lockstep unless --bin
says otherwise) follow it to its end, and runs wrk with one thread and 8 connections for each kind
of request; or asks the node at --url, which has followed the recording already. Requests are taken
from the recorded answers in DIR, so any recording will do. With --while-syncing the main node goes
on while it is measured, a few blocks a second.

Unless it is measured while syncing, the node is first left alone until it rests: commitments of
batches are computed for some seconds after the last of them was run.

Prints requests a second, the median and the 99th percentile of the time to an answer, the CPU time
that the node spent for one (with whatever else it did meanwhile), the bytes of one, and the rate
that is asked for where the recording is the one that the reference node was measured on.
Exit code 1 if a request is refused, or --check is given and a rate is below its target.
"""
import argparse
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
# Requests a second of the reference node, and how many times as many are asked for.
REFERENCE = {
    "eth_getBalance": (4180, 5),
    "eth_getBlockByNumber": (1790, 5),
    "eth_getLogs": (227, 10),
    "eth_call": (528, 10),
    "eth_estimateGas": (28, 10),
}
BALANCE_OF = "0x70a08231"
SYSTEM_ADDRESSES_BELOW = 1 << 16


def recorded(folder):
    """The recorded questions with their answers."""
    with gzip.open(os.path.join(folder, "golden-api.jsonl.gz"), "rt") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def pick(answers):
    """One request of each kind: name -> (method, params)."""
    of = lambda method: (a for a in answers if a["method"] == method and a.get("result"))
    newest = max((a["result"] for a in of("eth_getBlockByNumber")), key=lambda b: len(b["transactions"]))
    logs = max((a["result"] for a in of("eth_getLogs")), key=len)
    kinds = Counter((log["address"], log["topics"][0]) for log in logs if log["topics"]
                    and int(log["address"], 16) >= SYSTEM_ADDRESSES_BELOW)
    (address, topic), _ = kinds.most_common(1)[0]
    token = next(a["params"][0] for a in of("eth_call")
                 if a["params"][0].get("data", "").startswith(BALANCE_OF) and int(a["result"], 16))
    transfer = next(a["params"][0] for a in of("eth_estimateGas")
                    if a["params"][0].get("value") and not a["params"][0].get("data"))
    balance = next(a["params"][0] for a in of("eth_getBalance") if int(a["result"], 16))
    whole = {"fromBlock": "0x0", "toBlock": "latest", "address": address, "topics": [topic]}
    return {
        "eth_getBalance": ("eth_getBalance", [balance, "latest"]),
        "eth_getBlockByNumber": ("eth_getBlockByNumber", [newest["number"], True]),
        "eth_getLogs": ("eth_getLogs", [whole]),
        "eth_call": ("eth_call", [token, "latest"]),
        "eth_estimateGas": ("eth_estimateGas", [transfer]),
    }


def ask(url, method, params, patience=10):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=patience) as response:
        return response.read()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(what, patience_s, is_there):
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if is_there():
            return
        time.sleep(0.2)
    sys.exit(f"load.py: no {what} after {patience_s} s")


class Rig:
    """The recording's upstreams and a node that follows them."""

    def __init__(self, options, folder, newest):
        main, l1, self.port = free_port(), free_port(), free_port()
        replay = [os.path.join(options.tools, "replay-upstreams"), options.recording]
        replay += ["--main", str(main), "--l1", str(l1)]
        if options.while_syncing:
            replay += ["--head", str(newest // 4), "--rate", str(options.rate)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.children = [subprocess.Popen(replay, **quiet)]
        self.url = f"http://127.0.0.1:{self.port}"
        chain = lambda: json.loads(ask(f"http://127.0.0.1:{main}", "eth_chainId", []))["result"]
        wait_for("main node", 20, lambda: self.answers(f"http://127.0.0.1:{main}"))
        node = [options.bin, "node", "--main-node-url", f"http://127.0.0.1:{main}"]
        node += ["--l1-url", f"http://127.0.0.1:{l1}", "--l2-chain-id", str(int(chain(), 16))]
        node += ["--datadir", os.path.join(folder, "data"), "--http-port", str(self.port)]
        self.log = open(os.path.join(folder, "log"), "w")
        self.children.append(subprocess.Popen(node, stdout=self.log, stderr=self.log))
        wait_for("node", 60, lambda: self.answers(self.url))
        goal = newest // 4 if options.while_syncing else newest
        wait_for("newest block", 600, lambda: self.head() >= goal)
        if not options.while_syncing:
            wait_for("rest", 600, self.rests)

    def answers(self, url):
        try:
            return "result" in json.loads(ask(url, "eth_chainId", []))
        except OSError:
            return False

    def head(self):
        return int(json.loads(ask(self.url, "eth_blockNumber", []))["result"], 16)

    def cpu_s(self):
        """CPU time of the node so far, in seconds."""
        if self.children[1].poll() is not None:
            sys.exit(f"load.py: the node ended with code {self.children[1].returncode}")
        with open(f"/proc/{self.children[1].pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rests(self):
        before = self.cpu_s()
        time.sleep(2)
        return self.cpu_s() - before < 0.1

    def stop(self):
        for child in reversed(self.children):
            child.send_signal(signal.SIGTERM)
            child.wait()
        self.log.close()


def measure(url, method, params, seconds, folder):
    """Requests a second, and the median and the 99th percentile in ms."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    script = os.path.join(folder, "request.lua")
    with open(script, "w") as out:
        out.write('wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\n')
        out.write(f"wrk.body = [==[{body}]==]\n")
    wrk = ["wrk", "-t1", "-c8", f"-d{seconds}s", "--latency", "-s", script, url]
    said = subprocess.run(wrk, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(f"load.py: {method} was refused:\n{said}")
    ms = lambda text: float(text[:-2]) / 1e3 if text.endswith("us") else (
        float(text[:-2]) if text.endswith("ms") else float(text[:-1]) * 1e3)
    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", said)[1])
    median, late = (ms(re.search(rf"{p}%\s+([\d.]+\w+)", said)[1]) for p in (50, 99))
    return rate, median, late


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", required=True, help="folder of a recorded chain")
    parser.add_argument("--tools", help="folder of replay-upstreams (default: tools beside fixtures)")
    parser.add_argument("--bin", default=os.path.join(REPOSITORY, "target", "release", "lockstep"))
    parser.add_argument("--url", help="a node that runs already")
    parser.add_argument("--only", help="one kind of request")
    parser.add_argument("--seconds", type=int, default=10, help="for each kind (default: 10)")
    parser.add_argument("--while-syncing", action="store_true", help="while the main node goes on")
    parser.add_argument("--rate", type=float, default=2.0, help="its blocks a second (default: 2)")
    parser.add_argument("--check", action="store_true", help="fail if a rate is below its target")
    options = parser.parse_args()
    shared = os.path.dirname(os.path.dirname(os.path.abspath(options.recording)))
    options.tools = options.tools or os.path.join(shared, "tools")

    answers = recorded(options.recording)
    requests = pick(answers)
    if options.only:
        requests = {options.only: requests[options.only]}
    newest = max(int(a["result"]["number"], 16) for a in answers
                 if a["method"] == "eth_getBlockByNumber" and a.get("result"))
    with tempfile.TemporaryDirectory() as folder:
        rig = None if options.url else Rig(options, folder, newest)
        try:
            is_enough = run(options.url or rig.url, requests, options.seconds, folder, rig)
        finally:
            if rig:
                rig.stop()
    return 1 if options.check and not is_enough else 0


def run(url, requests, seconds, folder, rig):
    is_enough = True
    columns = ["req/s", "p50 ms", "p99 ms", "CPU us", "bytes", "target"]
    print(" " * 22 + "".join(f"{column:>9}" for column in columns) + "   head")
    for name, (method, params) in requests.items():
        answer = ask(url, method, params)
        if "error" in json.loads(answer):
            sys.exit(f"load.py: {method} is answered with an error: {answer[:300]}")
        head, cpu_s = (rig.head(), rig.cpu_s()) if rig else ("", 0)
        rate, median, late = measure(url, method, params, seconds, folder)
        cpu_us = f"{(rig.cpu_s() - cpu_s) / (rate * seconds) * 1e6:.0f}" if rig else "-"
        reference, factor = REFERENCE[name]
        is_enough &= rate >= reference * factor
        head = f"{head} to {rig.head()}" if rig else ""
        print(f"{name:22}{rate:9.0f}{median:9.2f}{late:9.2f}{cpu_us:>9}{len(answer):9}{reference * factor:9}   {head}", flush=True)
    return is_enough


if __name__ == "__main__":
    sys.exit(main())
