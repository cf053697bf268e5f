//! A run as Ethereum would have made it: contracts that call contracts.
//!
//! On this chain a transaction begins in the bootloader, passes through the sender's account, and
//! does with system contracts what Ethereum does with instructions. Here the transaction's own call
//! is the root, and calls to system contracts (addresses 0x8000 to 0xffff) are left out: what was
//! called by them takes their place. `debug_trace*` shows everything.

use lockstep_types::{Address, Bytes, Execute, Receipt, Transaction, TxStatus};
use lockstep_vm::{CallFrame, CallKind};

/// What a call that was undone ended with.
pub(crate) const REVERTED: &str = "Reverted";

/// The call that stands for what was asked for, with those that Ethereum would have made.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Who asked.
    pub(crate) from: Address,
    /// Whom to call; `None` to deploy EVM code.
    pub(crate) to: Option<Address>,
    /// With what input.
    pub(crate) input: Bytes,
    /// With how much of the base token.
    pub(crate) value: lockstep_types::U256,
    /// Gas it may use.
    pub(crate) gas: u64,
    /// Gas it used.
    pub(crate) gas_used: u64,
    /// Whether it was undone.
    pub(crate) is_undone: bool,
}

impl Asked {
    /// By a transaction of a block.
    pub(crate) fn by(tx: &Transaction, receipt: &Receipt) -> Self {
        let Execute { to, calldata, value, .. } = &tx.execute;
        let gas = u64::try_from(tx.gas_limit()).unwrap_or(u64::MAX);
        Self {
            from: tx.initiator(),
            to: *to,
            input: calldata.clone(),
            value: *value,
            gas,
            gas_used: gas.saturating_sub(receipt.gas_refunded),
            is_undone: matches!(receipt.status, TxStatus::Reverted { .. }),
        }
    }

    /// The root of all `calls` that were seen.
    pub(crate) fn root(&self, calls: &[CallFrame]) -> CallFrame {
        let found = self.find(calls);
        let mut root = match found {
            Some(call) => CallFrame { calls: lifted(&call.calls), ..alone(call) },
            // The account did something else, or did not get that far.
            None => CallFrame {
                kind: if self.to.is_some() { CallKind::Call } else { CallKind::Create },
                from: self.from,
                to: self.to.unwrap_or_default(),
                gas: 0,
                gas_used: 0,
                value: self.value,
                input: self.input.clone(),
                output: Bytes::new(),
                error: None,
                revert_reason: None,
                calls: lifted(calls),
            },
        };
        (root.gas, root.gas_used) = (self.gas, self.gas_used);
        if self.is_undone && root.error.is_none() && root.revert_reason.is_none() {
            root.error = Some(REVERTED.to_owned());
        }
        root
    }

    fn find<'a>(&self, calls: &'a [CallFrame]) -> Option<&'a CallFrame> {
        calls.iter().find_map(|call| match self.is(call) {
            true => Some(call),
            false => self.find(&call.calls),
        })
    }

    fn is(&self, call: &CallFrame) -> bool {
        match self.to {
            Some(to) => (call.from, call.to, &call.input) == (self.from, to, &self.input),
            None => call.kind == CallKind::Create && call.from == self.from,
        }
    }
}

/// Why `call` failed, in the words of `trace_*`.
pub(crate) fn failure(call: &CallFrame) -> Option<String> {
    let reverted = call.revert_reason.as_ref().map(|_| REVERTED.to_owned());
    reverted.or_else(|| call.error.clone())
}

/// A call without those made during it.
fn alone(call: &CallFrame) -> CallFrame {
    let CallFrame {
        kind,
        from,
        to,
        gas,
        gas_used,
        value,
        input,
        output,
        error,
        revert_reason,
        calls: _,
    } = call;
    CallFrame {
        kind: *kind,
        from: *from,
        to: *to,
        gas: *gas,
        gas_used: *gas_used,
        value: *value,
        input: input.clone(),
        output: output.clone(),
        error: error.clone(),
        revert_reason: revert_reason.clone(),
        calls: Vec::new(),
    }
}

/// Calls without those to system contracts.
fn lifted(calls: &[CallFrame]) -> Vec<CallFrame> {
    let mut kept = Vec::new();
    for call in calls {
        let inner = lifted(&call.calls);
        if is_of_system(call.to) {
            kept.extend(inner);
        } else {
            kept.push(CallFrame { calls: inner, ..alone(call) });
        }
    }
    kept
}

/// Whether `address` is where the chain's own contracts are that do what instructions do on
/// Ethereum. Precompiles, below, are the same there.
fn is_of_system(address: Address) -> bool {
    is_reserved(address) && address[18] >= 0x80
}

/// Whether `address` is that of a system contract or a precompile, or could become so.
pub(crate) fn is_reserved(address: Address) -> bool {
    address[..18].iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use lockstep_types::{U256, address};

    use super::*;

    fn call(from: u8, to: Address, calls: Vec<CallFrame>) -> CallFrame {
        CallFrame {
            kind: CallKind::Call,
            from: Address::repeat_byte(from),
            to,
            gas: 1,
            gas_used: 1,
            value: U256::ZERO,
            input: Bytes::from_static(&[1]),
            output: Bytes::new(),
            error: None,
            revert_reason: None,
            calls,
        }
    }

    fn asked(to: Option<Address>) -> Asked {
        Asked {
            from: Address::repeat_byte(1),
            to,
            input: Bytes::from_static(&[1]),
            value: U256::ZERO,
            gas: 100,
            gas_used: 60,
            is_undone: false,
        }
    }

    #[test]
    fn the_root_is_the_call_that_was_asked_for_without_system_contracts() {
        let [target, other] = [2, 3].map(Address::repeat_byte);
        let inner = call(2, address::BASE_TOKEN, vec![call(2, other, vec![])]);
        let own = call(1, target, vec![inner]);
        let account =
            call(9, Address::repeat_byte(1), vec![call(1, address::BOOTLOADER, vec![own])]);
        let root = asked(Some(target)).root(&[call(9, other, vec![]), account]);
        assert_eq!(
            (root.from, root.to, root.gas, root.gas_used),
            (Address::repeat_byte(1), target, 100, 60)
        );
        assert_eq!(root.calls, [call(2, other, vec![])]);
    }

    #[test]
    fn without_such_a_call_the_root_holds_all_others() {
        let other = Address::repeat_byte(3);
        let undone = Asked { is_undone: true, ..asked(None) };
        let root = undone.root(&[call(9, other, vec![])]);
        assert_eq!((root.kind, failure(&root).as_deref()), (CallKind::Create, Some(REVERTED)));
        assert_eq!(root.calls, [call(9, other, vec![])]);
    }

    #[test]
    fn system_contracts_are_in_a_range_of_their_own() {
        let low = |number: u16| {
            let mut bytes = [0; 20];
            bytes[18..].copy_from_slice(&number.to_be_bytes());
            Address::new(bytes)
        };
        let inside = [0x8000, 0x8009, 0xffff].map(|number| is_of_system(low(number)));
        assert_eq!(inside, [true; 3]);
        let outside = [0, 1, 0x100, 0x7fff].map(|number| is_of_system(low(number)));
        assert_eq!(outside, [false; 4]);
        assert!(!is_of_system(address::L2_MESSAGE_ROOT));
        assert!(is_reserved(low(1)) && !is_reserved(address::L2_MESSAGE_ROOT));
    }
}
