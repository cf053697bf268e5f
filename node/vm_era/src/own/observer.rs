//! What watches the machine run: it finds EVM deployments, sees calls, touched slots and
//! instructions where that is asked for, answers account validation for transactions that nobody
//! signed, and stops what takes too long.

use std::collections::BTreeSet;

use lockstep_types::{BytecodeHash, Bytes, address};
use lockstep_vm::{CallFrame, CallKind, StepRules, Steps, Stop};
use zksync_multivm::interface::VmRevertReason;
use zksync_types::{H160, U256};
use zksync_vm2::{
    FatPointer,
    interface::{
        CallframeInterface, CallingMode, GlobalStateInterface, Opcode, OpcodeType, ReturnType,
        ShouldStop, StateInterface, Tracer,
    },
};

use super::{
    instruction,
    log_tree::LogTree,
    null_pointers::NullPointers,
    parity::Parity,
    stepper::{Stepper, is_plain},
    words::{address_of, word_of_address},
    world::MadeCodes,
};

/// `publishEVMBytecode(uint256,bytes)`.
const PUBLISH_EVM_BYTECODE: [u8; 4] = [0x4d, 0xc0, 0x14, 0xcc];
/// `validateTransaction(bytes32,bytes32,(…))`. What it returns begins with these bytes if the
/// account agrees.
const VALIDATE_TRANSACTION: [u8; 4] = [0x20, 0x2b, 0xcc, 0xe7];
/// `validateAndPayForPaymasterTransaction(bytes32,bytes32,(…))`, likewise.
const VALIDATE_PAYMASTER: [u8; 4] = [0x03, 0x8a, 0x24, 0xbc];

/// A call that has not returned yet.
#[derive(Debug)]
struct OpenCall {
    frame: CallFrame,
    /// Gas that caller and callee had together when it began.
    gas_of_both: u64,
    /// Near calls inside it that have not returned yet.
    near_calls: u32,
}

/// The calls of a run.
#[derive(Debug, Default)]
struct Calls {
    open: Vec<OpenCall>,
    done: Vec<CallFrame>,
}

/// Agrees to transactions in the name of accounts and paymasters.
#[derive(Debug, Default)]
struct Agreement {
    /// The call that is being answered: how deep it is, and the answer.
    pending: Option<(usize, [u8; 4])>,
}

/// Watches a run.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    pub(crate) made: MadeCodes,
    calls: Option<Calls>,
    touched: Option<BTreeSet<(H160, U256)>>,
    agreement: Option<Agreement>,
    stepper: Option<Box<Stepper>>,
    pub(crate) log_tree: Option<LogTree>,
    null_pointers: NullPointers,
    pub(crate) parity: Option<Parity>,
    stop: Option<Stop>,
    pub(crate) was_stopped: bool,
    /// Never read by the machine.
    pub(crate) depth: Depth,
}

/// How many frames there are beside the first, near calls included.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Depth {
    now: u32,
    pub(crate) max: u32,
    /// Calls of contracts so far.
    pub(crate) far_calls: u32,
}

impl Depth {
    fn enter(&mut self) {
        self.now += 1;
        self.max = self.max.max(self.now);
    }

    fn leave(&mut self) {
        self.now = self.now.saturating_sub(1);
    }

    fn start_over(&mut self) {
        self.now = 0;
    }
}

impl Observer {
    pub(crate) fn new(made: MadeCodes) -> Self {
        Self { made, ..Self::default() }
    }

    /// Sees calls and touched slots from now on.
    pub(crate) fn watch(&mut self) {
        self.calls = Some(Calls::default());
        self.touched = Some(BTreeSet::new());
    }

    /// Whether it sees calls.
    pub(crate) fn is_watching(&self) -> bool {
        self.calls.is_some()
    }

    /// What was seen since [`watch`](Self::watch): finished calls and touched slots.
    pub(crate) fn take_seen(&mut self) -> (Vec<CallFrame>, BTreeSet<(H160, U256)>) {
        let calls = self.calls.take().unwrap_or_default().done;
        (calls, self.touched.take().unwrap_or_default())
    }

    /// Notes instructions from now on, beginning with the next contract that the bootloader calls.
    pub(crate) fn step(&mut self, rules: StepRules) {
        self.stepper = Some(Box::new(Stepper::new(rules)));
    }

    /// By which rules it notes instructions, if it does.
    pub(crate) fn step_rules(&self) -> Option<StepRules> {
        self.stepper.as_ref().map(|stepper| stepper.rules())
    }

    /// What was noted since [`step`](Self::step).
    pub(crate) fn take_steps(&mut self) -> Option<Steps> {
        self.stepper.take().map(|stepper| stepper.into_steps())
    }

    /// Agrees to transactions in the name of accounts and paymasters from now on.
    pub(crate) fn agree(&mut self) {
        self.agreement = Some(Agreement::default());
    }

    pub(crate) fn stop_when(&mut self, stop: Stop) {
        self.stop = Some(stop);
    }

    /// All frames but the first are gone.
    pub(crate) fn start_over(&mut self) {
        self.depth.start_over();
        if let Some(parity) = &mut self.parity {
            parity.start_over();
        }
    }

    fn is_stop_due(&mut self) -> bool {
        let is_due = self.stop.as_ref().is_some_and(Stop::is_due);
        self.was_stopped |= is_due;
        is_due
    }

    fn far_call<S: StateInterface>(&mut self, mode: CallingMode, state: &mut S) {
        self.depth.far_calls = self.depth.far_calls.saturating_add(1);
        if mode == CallingMode::Normal {
            self.note_deployment(state);
        }
        if let Some(touched) = &mut self.touched {
            let callee = state.current_frame().code_address();
            let code_storage = H160(address::ACCOUNT_CODE_STORAGE.into_array());
            touched.insert((code_storage, word_of_address(address_of(&callee))));
        }
        if let Some(agreement) = &mut self.agreement {
            agreement.call(state);
        }
        if let Some(tree) = &mut self.log_tree {
            tree.call(state);
        }
        if let Some(calls) = &mut self.calls {
            calls.call(mode, state);
        }
    }

    /// Keeps the code of an EVM contract that the deployer hands to the storage of known codes.
    fn note_deployment<S: StateInterface>(&self, state: &mut S) {
        let frame = state.current_frame();
        let (from, to) = (address_of(&frame.caller()), address_of(&frame.code_address()));
        drop(frame);
        if from != address::CONTRACT_DEPLOYER || to != address::KNOWN_CODES_STORAGE {
            return;
        }
        let input = pointed_bytes(state, 1);
        let Some((bytes, padded)) = published_evm_code(&input) else { return };
        if let Ok(hash) = BytecodeHash::of_padded_evm(padded, bytes) {
            self.made.insert(hash, Bytes::copy_from_slice(padded));
        }
    }

    fn ret<S: StateInterface>(&mut self, kind: ReturnType, state: &mut S) {
        if let Some(agreement) = &mut self.agreement {
            agreement.ret(kind, state);
        }
        if let Some(tree) = &mut self.log_tree {
            tree.ret(state);
        }
        if let Some(calls) = &mut self.calls {
            calls.ret(kind, state);
        }
    }

    /// Notes the slot of a storage instruction that is about to run. The key is in the register
    /// that bits 16 to 19 of the instruction name.
    fn touch<S: StateInterface>(&mut self, state: &mut S) {
        let Some(touched) = &mut self.touched else { return };
        let frame = state.current_frame();
        let Some(instruction) = instruction::current(&frame) else { return };
        let contract = frame.address();
        drop(frame);
        let register = u8::try_from((instruction >> 16) & 0xf).expect("four bits");
        touched.insert((contract, state.read_register(register).0));
    }
}

impl Calls {
    fn call<S: StateInterface>(&mut self, mode: CallingMode, state: &mut S) {
        let frame = state.current_frame();
        let gas = u64::from(frame.gas());
        let (from, to) = (frame.caller(), frame.address());
        let value = frame.context_u128();
        drop(frame);
        let caller = state.callframe(1);
        let (caller_address, caller_gas) = (caller.address(), caller.gas());
        drop(caller);
        let kind = match mode {
            CallingMode::Normal => CallKind::Call,
            CallingMode::Delegate => CallKind::Delegate,
            // The deployer runs a constructor in the name of the deploying contract.
            CallingMode::Mimic if address_of(&caller_address) == address::CONTRACT_DEPLOYER => {
                CallKind::Create
            }
            CallingMode::Mimic => CallKind::Mimic,
        };
        // A call that failed at once has no gas, and its input may not be readable.
        let input = if gas == 0 { Vec::new() } else { pointed_bytes(state, 1) };
        let frame = CallFrame {
            kind,
            from: address_of(&from),
            to: address_of(&to),
            gas,
            gas_used: 0,
            value: lockstep_types::U256::from(value),
            input: input.into(),
            output: Bytes::new(),
            error: None,
            revert_reason: None,
            calls: Vec::new(),
        };
        let gas_of_both = gas + u64::from(caller_gas);
        self.open.push(OpenCall { frame, gas_of_both, near_calls: 0 });
    }

    fn near_call(&mut self) {
        if let Some(call) = self.open.last_mut() {
            call.near_calls += 1;
        }
    }

    fn ret<S: StateInterface>(&mut self, kind: ReturnType, state: &mut S) {
        let Some(call) = self.open.last_mut() else { return };
        if call.near_calls > 0 {
            call.near_calls -= 1;
            return;
        }
        let Some(OpenCall { mut frame, gas_of_both, .. }) = self.open.pop() else { return };
        // Contracts that get more gas than their caller had may leave more than there was.
        let gas_left = u64::from(state.current_frame().gas());
        frame.gas_used = gas_of_both.saturating_sub(gas_left);
        let output = returned_bytes(state);
        match kind {
            ReturnType::Normal => frame.output = output.unwrap_or_default().into(),
            ReturnType::Revert => {
                let reason = output.map(|data| VmRevertReason::from(data.as_slice()).to_string());
                frame.revert_reason =
                    Some(reason.unwrap_or_else(|| "Unknown revert reason".to_owned()));
            }
            ReturnType::Panic => frame.error = Some("Panic".to_owned()),
        }
        match self.open.last_mut() {
            Some(caller) => caller.frame.calls.push(frame),
            None => self.done.push(frame),
        }
    }
}

impl Agreement {
    fn call<S: StateInterface>(&mut self, state: &mut S) {
        if self.pending.is_some() || state.number_of_callframes() > BOOTLOADER_FRAMES_MAX {
            return;
        }
        if address_of(&state.current_frame().caller()) != address::BOOTLOADER {
            return;
        }
        let input = pointed_prefix(state, 1);
        for answer in [VALIDATE_TRANSACTION, VALIDATE_PAYMASTER] {
            if input == Some(answer) {
                self.pending = Some((state.number_of_callframes(), answer));
            }
        }
    }

    /// Puts the answer in the place of what the account returned.
    fn ret<S: StateInterface>(&mut self, kind: ReturnType, state: &mut S) {
        let Some((depth, answer)) = self.pending else { return };
        if state.number_of_callframes() >= depth {
            return;
        }
        self.pending = None;
        let (raw, is_pointer) = state.read_register(1);
        if kind != ReturnType::Normal || !is_pointer {
            return;
        }
        let pointer = FatPointer::from(raw);
        if pointer.offset == 0 && pointer.length >= 32 {
            let mut word = [0; 32];
            word[..4].copy_from_slice(&answer);
            let word = U256::from_big_endian(&word);
            state.write_heap_u256(pointer.memory_page, pointer.start, word);
        }
    }
}

/// Frames (near calls count) that the bootloader has when it calls an account, at most.
const BOOTLOADER_FRAMES_MAX: usize = 16;

impl Tracer for Observer {
    #[inline(always)]
    fn before_instruction<OP: OpcodeType, S: GlobalStateInterface>(&mut self, state: &mut S) {
        if matches!(OP::VALUE, Opcode::StorageRead | Opcode::StorageWrite) {
            self.touch(state);
        }
        if matches!(OP::VALUE, Opcode::HeapRead | Opcode::AuxHeapRead) {
            self.null_pointers.before_read(state);
        }
        if let Some(parity) = &mut self.parity {
            parity.before(OP::VALUE, state);
        }
        if let Some(stepper) = &mut self.stepper {
            stepper.before(OP::VALUE, state);
        }
    }

    #[inline(always)]
    fn after_instruction<OP: OpcodeType, S: GlobalStateInterface>(
        &mut self,
        state: &mut S,
    ) -> ShouldStop {
        if let Some(parity) = &mut self.parity {
            parity.after(OP::VALUE, state);
        }
        if let Opcode::FarCall(mode) = OP::VALUE {
            self.depth.enter();
            self.far_call(mode, state);
        }
        if let Opcode::Ret(kind) = OP::VALUE {
            self.depth.leave();
            self.ret(kind, state);
            self.null_pointers.returned(state);
        }
        if matches!(OP::VALUE, Opcode::HeapRead | Opcode::AuxHeapRead) {
            self.null_pointers.after_read(state);
        }
        if OP::VALUE == Opcode::NearCall {
            self.depth.enter();
            if let Some(calls) = &mut self.calls {
                calls.near_call();
            }
        }
        if !is_plain(OP::VALUE)
            && let Some(stepper) = &mut self.stepper
        {
            stepper.after(OP::VALUE, state);
        }
        let is_slow = matches!(
            OP::VALUE,
            Opcode::FarCall(_)
                | Opcode::StorageRead
                | Opcode::StorageWrite
                | Opcode::PrecompileCall
        );
        if is_slow && self.is_stop_due() { ShouldStop::Stop } else { ShouldStop::Continue }
    }
}

/// The bytes that the pointer in a register points to.
fn pointed_bytes<S: StateInterface>(state: &S, register: u8) -> Vec<u8> {
    read(state, FatPointer::from(state.read_register(register).0))
}

/// The first four of them.
fn pointed_prefix<S: StateInterface>(state: &S, register: u8) -> Option<[u8; 4]> {
    let mut pointer = FatPointer::from(state.read_register(register).0);
    pointer.length = pointer.length.min(pointer.offset.saturating_add(4));
    read(state, pointer).try_into().ok()
}

/// What the last call returned; `None` if there is no memory behind it.
pub(super) fn returned_bytes<S: StateInterface>(state: &S) -> Option<Vec<u8>> {
    let (raw, is_pointer) = state.read_register(1);
    let pointer = FatPointer::from(raw);
    let is_nothing = pointer.length == 0 && pointer.offset == 0;
    (is_pointer && !is_nothing).then(|| read(state, pointer))
}

fn read<S: StateInterface>(state: &S, pointer: FatPointer) -> Vec<u8> {
    let FatPointer { offset, memory_page, start, length } = pointer;
    let mut bytes = Vec::with_capacity(usize::try_from(length.saturating_sub(offset)).unwrap_or(0));
    let mut at = offset;
    while at + 32 <= length {
        let mut word = [0; 32];
        state.read_heap_u256(memory_page, start + at).to_big_endian(&mut word);
        bytes.extend_from_slice(&word);
        at += 32;
    }
    bytes.extend((at..length).map(|at| state.read_heap_byte(memory_page, start + at)));
    bytes
}

/// Length without padding, and padded code, from the input of `publishEVMBytecode`.
fn published_evm_code(input: &[u8]) -> Option<(u16, &[u8])> {
    let arguments = input.strip_prefix(&PUBLISH_EVM_BYTECODE)?;
    let word = |at: usize| Some(U256::from_big_endian(arguments.get(at..at.checked_add(32)?)?));
    let number =
        |at| word(at).filter(|word| *word < U256::from(1_u64 << 31)).map(|word| word.as_usize());
    let bytes = u16::try_from(number(0)?).ok()?;
    let start = number(32)?;
    let length = number(start)?;
    let code = arguments.get(start + 32..)?.get(..length)?;
    Some((bytes, code))
}

#[cfg(test)]
mod tests {
    use lockstep_types::{B256, keccak256};

    use super::*;

    fn selector(signature: &str) -> [u8; 4] {
        keccak256(signature)[..4].try_into().unwrap()
    }

    #[test]
    fn selectors_are_hashes_of_their_signatures() {
        assert_eq!(selector("publishEVMBytecode(uint256,bytes)"), PUBLISH_EVM_BYTECODE);
        let tx = "(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,\
                  uint256[4],bytes,bytes,bytes32[],bytes,bytes)";
        let validate = format!("validateTransaction(bytes32,bytes32,{tx})");
        assert_eq!(selector(&validate), VALIDATE_TRANSACTION);
        let paymaster = format!("validateAndPayForPaymasterTransaction(bytes32,bytes32,{tx})");
        assert_eq!(selector(&paymaster), VALIDATE_PAYMASTER);
    }

    #[test]
    fn published_code_is_read_from_its_encoding_and_nothing_else_is() {
        let mut input = PUBLISH_EVM_BYTECODE.to_vec();
        let words = [5_u64, 64, 96];
        input.extend(words.iter().flat_map(|word| B256::from(lockstep_types::U256::from(*word)).0));
        let code = [7; 96];
        input.extend_from_slice(&code);
        assert_eq!(published_evm_code(&input), Some((5, &code[..])));
        for end in 0..input.len() {
            assert_eq!(published_evm_code(&input[..end]), None, "{end}");
        }
    }
}
