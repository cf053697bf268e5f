//! EVM code out of pieces that leave the stack as they found it, so that most of it runs to its end.

use lockstep_types::{Address, Bytes, U256};
use rand::{Rng, seq::SliceRandom};

/// Code that is being written; jumps are to absolute places in it.
#[derive(Debug, Default)]
struct Code(Vec<u8>);

/// Contracts that generated code may call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callees<'a> {
    pub(crate) evm: &'a [Address],
    pub(crate) era: &'a [Address],
}

/// Precompiles that EVM code calls: by number.
const PRECOMPILES: [u16; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 0x100];

impl Code {
    fn op(&mut self, op: u8) -> &mut Self {
        self.0.push(op);
        self
    }

    fn ops(&mut self, ops: &[u8]) -> &mut Self {
        self.0.extend(ops);
        self
    }

    /// PUSH0 to PUSH32.
    fn push(&mut self, bytes: &[u8]) -> &mut Self {
        let length = u8::try_from(bytes.len()).expect("at most 32 bytes");
        self.op(0x5f + length).ops(bytes)
    }

    fn push_number(&mut self, number: u64) -> &mut Self {
        let bytes = number.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        self.push(&bytes[zeros..])
    }

    fn push_word(&mut self, rng: &mut impl Rng) -> &mut Self {
        match rng.gen_range(0..4) {
            0 => self.push_number(rng.gen_range(0..8)),
            1 => self.push_number(rng.r#gen()),
            2 => self.push(&U256::MAX.to_be_bytes::<32>()),
            _ => self.push(&rng.r#gen::<[u8; 32]>()),
        }
    }

    /// Pushes the place that a later [`land`](Self::land) is at.
    fn push_place(&mut self) -> usize {
        self.push(&[0, 0]);
        self.0.len() - 2
    }

    fn here(&self) -> [u8; 2] {
        u16::try_from(self.0.len()).expect("code is short").to_be_bytes()
    }

    fn land(&mut self, place: usize) {
        let here = self.here();
        self.0[place..place + 2].copy_from_slice(&here);
        self.op(0x5b);
    }

    /// Stores the top of the stack, in memory or in storage, or drops it.
    fn keep(&mut self, rng: &mut impl Rng) {
        match rng.gen_range(0..4) {
            0 => self.push_number(rng.gen_range(0..8)).op(0x55),
            1 | 2 => self.push_number(rng.gen_range(0..512)).op(0x52),
            _ => self.op(0x50),
        };
    }

    /// Length, then offset, of a piece of memory on the stack.
    fn push_piece(&mut self, rng: &mut impl Rng) -> &mut Self {
        self.push_number(rng.gen_range(0..200)).push_number(rng.gen_range(0..300))
    }
}

/// Runtime code.
pub(crate) fn runtime(rng: &mut impl Rng, callees: Callees<'_>) -> Vec<u8> {
    let mut code = Code::default();
    for _ in 0..rng.gen_range(2..16) {
        snippet(&mut code, rng, callees);
    }
    end(&mut code, rng);
    if rng.gen_bool(0.1) {
        let tail = rng.gen_range(0..1_500);
        code.0.extend((0..tail).map(|_| rng.r#gen::<u8>()));
    }
    code.0
}

/// Code that deploys `runtime`, after doing something else; or does not.
pub(crate) fn init(rng: &mut impl Rng, runtime: &[u8], callees: Callees<'_>) -> Bytes {
    let mut code = Code::default();
    for _ in 0..rng.gen_range(0..4) {
        snippet(&mut code, rng, callees);
    }
    match rng.gen_range(0..20) {
        0 => code.push_piece(rng).op(0xfd), // Reverts.
        1 => code.op(0xfe),
        2 => code.push(&[0xef]).push(&[]).op(0x53).push(&[1]).push(&[]).op(0xf3), // Refused code.
        3 => code.push(&[]).push(&[]).op(0xf3),                                   // No code at all.
        4 => {
            let junk: Vec<u8> = (0..rng.gen_range(1..80)).map(|_| rng.r#gen()).collect();
            code.ops(&junk)
        }
        5 => code.push_number(rng.gen_range(24_000..26_000)).push(&[]).op(0xf3), // Zeros.
        _ => {
            let length = u16::try_from(runtime.len()).expect("code is short").to_be_bytes();
            let place = code.push(&length).push_place();
            code.push(&[]).op(0x39).push(&length).push(&[]).op(0xf3);
            let here = code.here();
            code.0[place..place + 2].copy_from_slice(&here);
            code.ops(runtime)
        }
    };
    code.0.into()
}

/// Input for [`runtime`] code.
pub(crate) fn calldata(rng: &mut impl Rng) -> Bytes {
    let length = *[0, 1, 4, 32, 36, 100, 300].choose(rng).expect("there are some");
    (0..length).map(|_| rng.r#gen::<u8>()).collect::<Vec<_>>().into()
}

fn snippet(code: &mut Code, rng: &mut impl Rng, callees: Callees<'_>) {
    match rng.gen_range(0..18) {
        0 | 1 => {
            code.push_word(rng).push_number(rng.gen_range(0..8)).op(0x55);
        }
        2 => {
            code.push_number(rng.gen_range(0..8)).op(0x54).keep(rng);
        }
        3 => {
            let topics = rng.gen_range(0..=4);
            for _ in 0..topics {
                code.push_word(rng);
            }
            code.push_piece(rng).op(0xa0 + topics);
        }
        4 => code.push_piece(rng).op(0x20).keep(rng),
        5 => {
            let store = if rng.gen_bool(0.5) { 0x52 } else { 0x53 };
            code.push_word(rng).push_number(rng.gen_range(0..600)).op(store);
        }
        6 => {
            // CALLDATACOPY, CODECOPY, MCOPY, and RETURNDATACOPY of nothing.
            let copies = [(0x37, 100), (0x39, 2_000), (0x5e, 100), (0x3e, 1)];
            let (copy, from_max) = *copies.choose(rng).expect("there are some");
            let length = if copy == 0x3e { 0 } else { rng.gen_range(0..200) };
            code.push_number(length).push_number(rng.gen_range(0..from_max));
            code.push_number(rng.gen_range(0..300)).op(copy);
        }
        7 => arithmetic(code, rng),
        8 => surroundings(code, rng, callees),
        9 => {
            code.push_word(rng).push_number(rng.gen_range(0..4)).op(0x5d);
            code.push_number(rng.gen_range(0..4)).op(0x5c).keep(rng);
        }
        10..=12 => call(code, rng, callees),
        13 | 14 => create(code, rng),
        15 => counted_loop(code, rng),
        16 => only_if(code, rng, |code, rng| end(code, rng)),
        _ => only_if(code, rng, endless_or_broken),
    }
}

/// Operations on one to three words.
fn arithmetic(code: &mut Code, rng: &mut impl Rng) {
    let (ops, operands): (&[u8], _) = match rng.gen_range(0..6) {
        0 => (&[0x15, 0x19], 1),
        1 => (&[0x08, 0x09], 3),
        _ => (
            &[
                0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x14,
                0x16, 0x17, 0x18, 0x1a, 0x1b, 0x1c, 0x1d,
            ],
            2,
        ),
    };
    for _ in 0..operands {
        code.push_word(rng);
    }
    code.op(*ops.choose(rng).expect("there are some")).keep(rng);
}

/// What code sees around it.
fn surroundings(code: &mut Code, rng: &mut impl Rng, callees: Callees<'_>) {
    let plain = [
        0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3a, 0x3d, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47,
        0x48, 0x58, 0x59, 0x5a, 0x4a,
    ];
    match rng.gen_range(0..5) {
        0 => {
            let of_account = [0x31, 0x3b, 0x3f];
            push_callee(code, rng, callees);
            code.op(*of_account.choose(rng).expect("there are some"));
        }
        1 => {
            code.push_number(rng.gen_range(0..300)).op(0x40);
        }
        2 => {
            code.push_number(rng.gen_range(0..40)).op(0x35);
        }
        3 => {
            // EXTCODECOPY.
            code.push_number(rng.gen_range(0..100)).push_number(rng.gen_range(0..50));
            code.push_number(rng.gen_range(0..300));
            push_callee(code, rng, callees);
            code.op(0x3c).op(0x36);
        }
        _ => {
            code.op(*plain.choose(rng).expect("there are some"));
        }
    }
    code.keep(rng);
}

fn push_callee(code: &mut Code, rng: &mut impl Rng, callees: Callees<'_>) {
    match rng.gen_range(0..10) {
        0..=2 => {
            code.op(0x30); // Itself.
        }
        3 | 4 if !callees.evm.is_empty() => {
            code.push(callees.evm.choose(rng).expect("there are some").as_slice());
        }
        5 if !callees.era.is_empty() => {
            code.push(callees.era.choose(rng).expect("there are some").as_slice());
        }
        6 => {
            code.push_number(rng.gen_range(0x8000..0x8018)); // System contracts.
        }
        7 => {
            code.push(&rng.r#gen::<[u8; 20]>());
        }
        _ => {
            code.push_number(u64::from(*PRECOMPILES.choose(rng).expect("there are some")));
        }
    }
}

/// CALL, CALLCODE, DELEGATECALL or STATICCALL; keeps what it says and some of what it returns.
fn call(code: &mut Code, rng: &mut impl Rng, callees: Callees<'_>) {
    let op = *[0xf1, 0xf1, 0xf2, 0xf4, 0xfa].choose(rng).expect("there are some");
    code.push_piece(rng).push_piece(rng);
    if op == 0xf1 || op == 0xf2 {
        match rng.gen_range(0..6) {
            0 => code.op(0x34),
            1 => code.push_number(rng.gen_range(0..100)),
            _ => code.push(&[]),
        };
    }
    push_callee(code, rng, callees);
    if rng.gen_bool(0.2) {
        code.op(0x5a);
    } else {
        code.push_number(rng.gen_range(0..200_000));
    }
    code.op(op).keep(rng);
    if rng.gen_bool(0.3) {
        code.op(0x3d).push(&[]).push_number(rng.gen_range(0..300)).op(0x3e);
    }
}

/// CREATE or CREATE2 of something small.
fn create(code: &mut Code, rng: &mut impl Rng) {
    // Returns the ten bytes that follow it.
    let mut made = vec![0x60, 10, 0x60, 12, 0x60, 0, 0x39, 0x60, 10, 0x60, 0, 0xf3];
    made.extend([0x34, 0x60, 1, 0x55, 0x60, 32, 0x60, 0, 0xf3, 0]);
    if rng.gen_bool(0.2) {
        let at = rng.gen_range(0..made.len());
        made[at] = rng.r#gen();
    }
    let length = u64::try_from(made.len()).expect("it is short");
    made.resize(32, 0);
    code.push(&made).push(&[]).op(0x52);
    let op = if rng.gen_bool(0.5) {
        code.push_number(rng.gen_range(0..4));
        0xf5
    } else {
        0xf0
    };
    code.push_number(length).push(&[]);
    if rng.gen_bool(0.2) {
        code.op(0x34);
    } else {
        code.push(&[]);
    }
    code.op(op);
    if rng.gen_bool(0.5) {
        // Calls what was made: `address` below five arguments and the gas.
        code.push(&[]).push(&[]).push(&[]).push(&[]).push(&[]).op(0x85);
        code.push_number(100_000).op(0xf1).op(0x50);
    }
    code.keep(rng);
}

/// A few rounds of one write or one hash.
fn counted_loop(code: &mut Code, rng: &mut impl Rng) {
    code.push_number(rng.gen_range(1..30));
    let start = code.here();
    code.op(0x5b);
    if rng.gen_bool(0.5) {
        code.op(0x80).op(0x80).op(0x55);
    } else {
        code.push_piece(rng).op(0x20).push_number(rng.gen_range(0..300)).op(0x52);
    }
    code.push(&[1]).ops(&[0x90, 0x03, 0x80]).push(&start).op(0x57).op(0x50);
}

/// Runs a piece if a bit of the input is set.
fn only_if<R: Rng>(code: &mut Code, rng: &mut R, piece: impl FnOnce(&mut Code, &mut R)) {
    let mask = 1_u8 << rng.gen_range(0..8);
    code.push(&[]).op(0x35).push(&[]).op(0x1a).push(&[mask]).op(0x16).op(0x15);
    let place = code.push_place();
    code.op(0x57);
    piece(code, rng);
    code.land(place);
}

fn end(code: &mut Code, rng: &mut impl Rng) {
    match rng.gen_range(0..8) {
        0 | 1 => code.op(0x00),
        2 => code.push_piece(rng).op(0xfd),
        3 => code.push(&[]).push(&[]).op(0xfd),
        _ => code.push_piece(rng).op(0xf3),
    };
}

fn endless_or_broken<R: Rng>(code: &mut Code, rng: &mut R) {
    match rng.gen_range(0..8) {
        0 => code.op(0xfe),
        1 => code.op(0x30).op(0xff), // SELFDESTRUCT, which is not there.
        2 => code.push_number(1 << 40).op(0x51), // Memory that nobody can pay for.
        3 => code.push_number(3).op(0x56), // A jump to nowhere.
        4 => code.ops(&[0x01, 0x01]), // An empty stack.
        5 => code.op(0x0c),          // No operation.
        _ => {
            let start = code.here();
            code.op(0x5b).push(&start).op(0x56)
        }
    };
}
