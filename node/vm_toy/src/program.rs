//! What a toy transaction can do, and how that is written in its calldata.
//!
//! A program is its operations one after the other. An operation is a byte that names it, followed
//! by its numbers, eight bytes each, big-endian.

use lockstep_types::Bytes;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// 1: writes a slot of the target.
    Write {
        /// Key of the slot.
        key: u64,
        /// What it holds afterwards.
        value: u64,
    },
    /// 2: reads a slot of the target and writes it back with something added (wrapping).
    Add {
        /// Key of the slot.
        key: u64,
        /// What is added.
        amount: u64,
    },
    /// 3: emits an event of the target with one topic.
    Emit {
        /// The topic.
        topic: u64,
        /// The data, eight bytes.
        data: u64,
    },
    /// 4: sends a log for L1 from the target.
    Send {
        /// First word.
        key: u64,
        /// Second word.
        value: u64,
    },
    /// 5: makes a factory dep of the transaction known and the code of an account. Reverts if
    /// there is no such factory dep.
    Deploy {
        /// Index of the factory dep.
        dep: u64,
        /// The account: an address that is zero apart from its last eight bytes.
        account: u64,
    },
    /// 6: uses gas.
    Burn {
        /// How much.
        gas: u64,
    },
    /// 7: ends the program and undoes what it did.
    Revert,
    /// 8: makes the transaction one that cannot be in a block.
    Halt,
    /// 9: makes what a slot of the target holds the output, instead of what was that before.
    Return {
        /// Key of the slot.
        key: u64,
    },
}

impl Op {
    fn parts(self) -> (u8, Vec<u64>) {
        match self {
            Self::Write { key, value } => (1, vec![key, value]),
            Self::Add { key, amount } => (2, vec![key, amount]),
            Self::Emit { topic, data } => (3, vec![topic, data]),
            Self::Send { key, value } => (4, vec![key, value]),
            Self::Deploy { dep, account } => (5, vec![dep, account]),
            Self::Burn { gas } => (6, vec![gas]),
            Self::Revert => (7, vec![]),
            Self::Halt => (8, vec![]),
            Self::Return { key } => (9, vec![key]),
        }
    }

    fn take(code: &mut &[u8]) -> Option<Self> {
        let [name] = take(code)?;
        let mut number = || take(code).map(u64::from_be_bytes);
        Some(match name {
            1 => Self::Write { key: number()?, value: number()? },
            2 => Self::Add { key: number()?, amount: number()? },
            3 => Self::Emit { topic: number()?, data: number()? },
            4 => Self::Send { key: number()?, value: number()? },
            5 => Self::Deploy { dep: number()?, account: number()? },
            6 => Self::Burn { gas: number()? },
            7 => Self::Revert,
            8 => Self::Halt,
            9 => Self::Return { key: number()? },
            _ => return None,
        })
    }
}

fn take<const N: usize>(code: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = code.split_first_chunk()?;
    *code = rest;
    Some(*first)
}

/// What a toy transaction does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program(pub Vec<Op>);

impl Program {
    /// As calldata.
    pub fn encode(&self) -> Bytes {
        let mut code = Vec::new();
        for op in &self.0 {
            let (name, numbers) = op.parts();
            code.push(name);
            code.extend(numbers.into_iter().flat_map(u64::to_be_bytes));
        }
        code.into()
    }

    /// The program in `calldata`; `None` if that is none.
    pub fn decode(mut calldata: &[u8]) -> Option<Self> {
        let mut ops = Vec::new();
        while !calldata.is_empty() {
            ops.push(Op::take(&mut calldata)?);
        }
        Some(Self(ops))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_survives_calldata() {
        let program = Program(vec![
            Op::Write { key: 1, value: u64::MAX },
            Op::Add { key: 2, amount: 3 },
            Op::Emit { topic: 4, data: 5 },
            Op::Send { key: 6, value: 7 },
            Op::Deploy { dep: 8, account: 9 },
            Op::Burn { gas: 10 },
            Op::Revert,
            Op::Halt,
            Op::Return { key: 11 },
        ]);
        assert_eq!(Program::decode(&program.encode()), Some(program));
        assert_eq!(Program::decode(&[]), Some(Program::default()));
    }

    #[test]
    fn what_is_no_program_is_not_decoded() {
        let code = Program(vec![Op::Revert, Op::Burn { gas: 1 }]).encode();
        assert_eq!(Program::decode(&code[..code.len() - 1]), None);
        assert_eq!(Program::decode(&[0]), None);
        assert_eq!(Program::decode(&[10]), None);
    }
}
