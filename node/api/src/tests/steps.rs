//! Runs instruction by instruction, as far as they are a matter of the API.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use lockstep_types::{
    Address, B256, BatchTip, Bytes, FeeInput, ProtocolVersion, StorageSlot, Transaction, TxOutcome,
    U256,
};
use lockstep_vm::{
    BatchEnv, BatchLimits, BlockEnv, EstimateRules, Estimated, OpenBatch, Simulated, SimulatedTx,
    SimulationEnv, Simulator, Step, StepRules, SteppedTx, Steps, Stop, TracedTx, Vm, VmError,
    VmStorage,
};
use lockstep_vm_toy::ToyVm;
use serde_json::{Value, json};

use super::{
    sample::CONTRACT,
    toy::{Setup, Toy, read_five, word},
};
use crate::{ApiConfig, Serving};

const CODE: Address = Address::repeat_byte(0xc0);

/// The toy machine, which shows instructions: the same three of every run.
#[derive(Clone, Debug, Default)]
struct Stepping {
    toy: ToyVm,
    asked: Arc<Mutex<Vec<StepRules>>>,
}

#[derive(Debug)]
struct SteppingBatch(Stepping, Box<dyn OpenBatch>);

impl Stepping {
    fn steps(&self, rules: &StepRules) -> Steps {
        self.asked.lock().unwrap().push(*rules);
        let mut registers = Box::new([U256::ZERO; 15]);
        registers[2] = U256::from(0xab);
        let step = Step {
            pc: 7,
            op: "log.swrite",
            code_address: CODE,
            depth: 1,
            gas: 900,
            gas_cost: 100,
            registers: rules.has_stack.then_some(registers),
            stack: if rules.has_stack { vec![U256::from(1)] } else { Vec::new() },
            memory: rules.has_memory.then(|| Arc::new(word(5).to_vec())),
            storage: rules.has_storage.then(|| Arc::new(BTreeMap::from([(word(1), word(2))]))),
            return_data: rules.has_return_data.then(|| Bytes::from_static(&[3])),
            is_panic: false,
        };
        let panic = Step { op: "panic", is_panic: true, storage: None, ..step.clone() };
        let mut steps = vec![step.clone(), step, panic];
        steps.truncate(rules.steps_max);
        let all = Steps { steps, are_too_large: false };
        if all.json_bytes() > rules.bytes_max {
            return Steps { steps: Vec::new(), are_too_large: true };
        }
        all
    }

    fn setup(&self) -> Setup {
        let (vm, simulator) = (Arc::new(self.clone()), Arc::new(self.clone()));
        Setup { vm, simulator, ..Setup::default() }
    }

    fn toy(&self, serving: Serving) -> Toy {
        Toy::serving(self.setup(), serving)
    }
}

impl Vm for Stepping {
    fn supports(&self, version: ProtocolVersion) -> bool {
        self.toy.supports(version)
    }

    fn limits(&self, version: ProtocolVersion, fees: &FeeInput) -> Result<BatchLimits, VmError> {
        self.toy.limits(version, fees)
    }

    fn open_batch(
        &self,
        env: BatchEnv,
        first_block: BlockEnv,
        storage: Box<dyn VmStorage>,
    ) -> Result<Box<dyn OpenBatch>, VmError> {
        let batch = self.toy.open_batch(env, first_block, storage)?;
        Ok(Box::new(SteppingBatch(self.clone(), batch)))
    }
}

impl OpenBatch for SteppingBatch {
    fn start_block(&mut self, env: BlockEnv) -> Result<(), VmError> {
        self.1.start_block(env)
    }

    fn run_tx(&mut self, tx: &Transaction) -> Result<TxOutcome, VmError> {
        self.1.run_tx(tx)
    }

    fn run_tx_traced(&mut self, tx: &Transaction) -> Result<TracedTx, VmError> {
        self.1.run_tx_traced(tx)
    }

    fn run_tx_stepped(
        &mut self,
        tx: &Transaction,
        rules: &StepRules,
    ) -> Result<SteppedTx, VmError> {
        let TracedTx { outcome, output, .. } = self.1.run_tx_traced(tx)?;
        Ok(SteppedTx { outcome, output, steps: Some(self.0.steps(rules)) })
    }

    fn value(&mut self, slot: &StorageSlot) -> Result<B256, VmError> {
        self.1.value(slot)
    }

    fn seal(self: Box<Self>) -> Result<BatchTip, VmError> {
        self.1.seal()
    }
}

impl Simulator for Stepping {
    fn can_simulate(&self, version: ProtocolVersion) -> bool {
        self.toy.can_simulate(version)
    }

    fn call(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError> {
        self.toy.call(env, tx, storage, with_trace, stop)
    }

    fn call_stepped(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        rules: &StepRules,
        stop: &Stop,
    ) -> Result<(Simulated, Option<Steps>), VmError> {
        Ok((self.toy.call(env, tx, storage, false, stop)?, Some(self.steps(rules))))
    }

    fn check(
        &self,
        env: &SimulationEnv,
        tx: &Transaction,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError> {
        self.toy.check(env, tx, storage, with_trace, stop)
    }

    fn run_unsigned(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        with_trace: bool,
        stop: &Stop,
    ) -> Result<Simulated, VmError> {
        self.toy.run_unsigned(env, tx, storage, with_trace, stop)
    }

    fn estimate(
        &self,
        env: &SimulationEnv,
        tx: &SimulatedTx,
        storage: Box<dyn VmStorage>,
        rules: &EstimateRules,
        stop: &Stop,
    ) -> Result<Estimated, VmError> {
        self.toy.estimate(env, tx, storage, rules, stop)
    }
}

/// An instruction with nothing beside it.
fn bare(op: &str) -> Value {
    json!({"pc": 7, "op": op, "gas": 900, "gasCost": 100, "depth": 1, "address": CODE})
}

/// The three instructions with what is shown if nothing is said.
fn logs() -> Value {
    let mut write = bare("log.swrite");
    write["stack"] = json!(["0x1"]);
    write["registers"] = json!(["0x0", "0x0", "0xab"]);
    let mut panic = write.clone();
    panic["op"] = json!("panic");
    panic["error"] = json!("panic");
    let digits = |word: B256| word.to_string().trim_start_matches("0x").to_owned();
    write["storage"] = json!({digits(word(1)): digits(word(2))});
    json!([write, write, panic])
}

#[test]
fn instructions_of_a_transaction_are_shown_with_what_it_came_to() {
    let toy = Stepping::default().toy(Serving::default());
    let options = json!({"tracer": "structLog"});
    let trace =
        |index| toy.world.ask("debug_traceTransaction", json!([toy.tx_hash(2, index), options]));
    let gas = |index| {
        let receipt = toy.world.ask("eth_getTransactionReceipt", json!([toy.tx_hash(2, index)]));
        let gas = receipt["gasUsed"].as_str().unwrap().trim_start_matches("0x").to_owned();
        u64::from_str_radix(&gas, 16).unwrap()
    };
    let shown = |index, failed| json!({"gas": gas(index), "failed": failed, "returnValue": "0x", "structLogs": logs()});
    assert_eq!(trace(0), shown(0, false));
    assert_eq!(trace(1), shown(1, true));
    let all = [0, 1]
        .map(|index| json!({"txHash": toy.tx_hash(2, index), "result": shown(index, index == 1)}));
    for (method, block) in
        [("debug_traceBlockByNumber", json!("0x2")), ("debug_traceBlockByHash", json!(toy.hash(2)))]
    {
        assert_eq!(toy.world.ask(method, json!([block, options])), json!(all));
    }
    let none = toy.world.ask("debug_traceTransaction", json!([B256::ZERO, options]));
    assert_eq!(none, Value::Null);
    let empty = toy.world.ask("debug_traceBlockByNumber", json!(["0x3", options]));
    assert_eq!(empty, json!([]), "a fictive block");
}

#[test]
fn options_say_what_is_shown() {
    let vm = Stepping::default();
    let toy = vm.toy(Serving::default());
    let trace = |options: Value| {
        let params = json!([toy.tx_hash(2, 0), options]);
        toy.world.ask("debug_traceTransaction", params)["structLogs"].clone()
    };
    let bare_ones = json!([bare("log.swrite")]);
    let least = json!({"tracer": "structLogger", "disableStack": true, "disableStorage": true,
        "limit": 1});
    assert_eq!(trace(least), bare_ones);
    let most = json!({"tracer": "structLog", "enableMemory": true, "enableReturnData": true});
    let mut expected = logs();
    for log in expected.as_array_mut().unwrap() {
        log["memory"] = json!([word(5).to_string().trim_start_matches("0x")]);
        log["returnData"] = json!("0x03");
    }
    assert_eq!(trace(most), expected);
    let asked = vm.asked.lock().unwrap();
    let limits = asked.iter().map(|rules| (rules.steps_max, rules.bytes_max));
    assert_eq!(limits.collect::<Vec<_>>(), [(1, 10 << 20), (usize::MAX, 10 << 20)]);
}

#[test]
fn calls_are_shown_as_well() {
    let toy = Stepping::default().toy(Serving::default());
    let options = json!({"tracer": "structLog"});
    let shown = toy.world.ask("debug_traceCall", json!([read_five(), "latest", options]));
    assert_eq!((&shown["structLogs"], &shown["failed"]), (&logs(), &json!(false)));
    assert_eq!(shown["returnValue"], json!(word(13)));
    let bundle = json!({"transactions": [read_five(), read_five()]});
    let many = toy.world.ask("debug_traceCallMany", json!([[bundle], {}, options]));
    assert_eq!(many, json!([[shown, shown]]));
    let config = ApiConfig { replay_bytes_max: 40, ..ApiConfig::default() };
    let toy = Toy::new(Setup { config, ..Stepping::default().setup() });
    let (code, text) = toy.world.error("debug_traceCallMany", json!([[bundle], {}, options]));
    assert!(code == -32_602 && text.contains("fewer at once"), "{text}");
}

#[test]
fn instructions_that_do_not_fit_are_an_error_that_says_what_to_do() {
    let serving = Serving { response_bytes_max: 700, ..Serving::default() };
    let toy = Stepping::default().toy(serving);
    let trace = |options: Value| {
        toy.world.call("debug_traceTransaction", &json!([toy.tx_hash(2, 0), options]))
    };
    let error = trace(json!({"tracer": "structLog"}))["error"].clone();
    assert_eq!(error["code"], -32_008);
    let text = error["message"].as_str().unwrap();
    assert!(text.contains("700 bytes") && text.contains("`limit`"), "{text}");
    let fewer = json!({"tracer": "structLog", "limit": 1, "disableStorage": true});
    assert_eq!(trace(fewer)["result"]["structLogs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_machine_that_shows_none_is_an_error_that_says_which_do() {
    let toy = Toy::new(Setup::default());
    let options = json!({"tracer": "structLog"});
    for (method, params) in [
        ("debug_traceTransaction", json!([toy.tx_hash(2, 0), options])),
        ("debug_traceBlockByNumber", json!(["0x2", options])),
        ("debug_traceCall", json!([{"to": CONTRACT}, "latest", options])),
    ] {
        let (code, text) = toy.world.error(method, params);
        assert_eq!(code, -32_000, "{method}");
        assert!(text.contains("protocol version 24") && text.contains("--vm"), "{text}");
    }
    let unknown = json!([toy.tx_hash(2, 0), {"tracer": "4byteTracer"}]);
    let (code, text) = toy.world.error("debug_traceTransaction", unknown);
    assert!(code == -32_602 && text.contains("structLog"), "{text}");
}
