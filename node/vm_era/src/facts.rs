//! What a batch tells of a transaction, and how two batches that ran the same are compared.
//!
//! Everything that is left behind is compared, and the gas and pubdata counts, because a difference
//! there tells early what will differ later. Writes are compared by their effect: some machines
//! know net changes only, others every single write.

use std::{collections::BTreeMap, fmt::Debug};

use lockstep_types::{
    B256, BatchTip, Bytes, L1BatchNumber, StorageSlot, StorageWrite, Transaction, TxOutcome,
};
use lockstep_vm::{BlockEnv, OpenBatch, StepRules, SteppedTx, TracedTx, VmError};

/// A difference, or none.
type Same = Result<(), String>;

/// Longest rendering of a value in a difference, characters.
const VALUE_CHARS_MAX: usize = 400;

/// What is known of a transaction that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TxFacts {
    pub(crate) outcome: TxOutcome,
    /// What its call returned; empty unless it succeeded.
    pub(crate) output: Bytes,
    /// Bytes of pubdata, as refunds count them.
    pub(crate) pubdata: u32,
    /// Gas that the machine used, the bootloader's own included.
    pub(crate) machine_gas: u64,
    /// Whether its bytecodes were published compressed (or there were none).
    pub(crate) is_compressed: bool,
}

/// A batch that tells all it knows of a transaction.
pub(crate) trait FactBatch: OpenBatch {
    fn run_facts(&mut self, tx: &Transaction) -> Result<TxFacts, VmError>;
}

/// Two batches that run the same, with every output compared.
#[derive(Debug)]
pub(crate) struct ShadowBatch {
    number: L1BatchNumber,
    main: Box<dyn FactBatch>,
    second: Box<dyn FactBatch>,
}

impl ShadowBatch {
    pub(crate) fn new(
        number: L1BatchNumber,
        main: Box<dyn FactBatch>,
        second: Box<dyn FactBatch>,
    ) -> Self {
        Self { number, main, second }
    }

    fn diverged(&self, difference: String) -> VmError {
        VmError::Diverged { batch: self.number, difference }
    }

    fn run(&mut self, tx: &Transaction) -> Result<TxFacts, VmError> {
        let main = self.main.run_facts(tx)?;
        let second = self.second.run_facts(tx)?;
        self.compare(&main, &second)?
            .map_err(|why| self.diverged(format!("transaction {}: {why}", tx.hash())))?;
        Ok(main)
    }

    fn compare(&mut self, main: &TxFacts, second: &TxFacts) -> Result<Same, VmError> {
        let same = facts(main, second);
        if same.is_err() {
            return Ok(same);
        }
        // A slot that only one of them wrote must hold what it held before.
        let slots = last_values(&main.outcome.writes).into_keys();
        let slots: Vec<_> = slots.chain(last_values(&second.outcome.writes).into_keys()).collect();
        for slot in slots {
            let (ours, theirs) = (self.main.value(&slot)?, self.second.value(&slot)?);
            let same = value(&format!("{slot:?}"), &ours, &theirs);
            if same.is_err() {
                return Ok(same);
            }
        }
        Ok(Ok(()))
    }
}

impl OpenBatch for ShadowBatch {
    fn start_block(&mut self, env: BlockEnv) -> Result<(), VmError> {
        self.main.start_block(env.clone())?;
        self.second.start_block(env)
    }

    fn run_tx(&mut self, tx: &Transaction) -> Result<TxOutcome, VmError> {
        Ok(self.run(tx)?.outcome)
    }

    fn run_tx_traced(&mut self, tx: &Transaction) -> Result<TracedTx, VmError> {
        let main = self.main.run_tx_traced(tx)?;
        let second = self.second.run_tx_traced(tx)?;
        list("calls", &main.trace.calls, &second.trace.calls)
            .and_then(|()| value("output", &main.output, &second.output))
            .and_then(|()| outcomes(&main.outcome, &second.outcome))
            .map_err(|why| self.diverged(format!("transaction {}: {why}", tx.hash())))?;
        Ok(main)
    }

    /// Only one of the two shows instructions, so there is nothing to compare them with.
    fn run_tx_stepped(
        &mut self,
        tx: &Transaction,
        rules: &StepRules,
    ) -> Result<SteppedTx, VmError> {
        let main = self.main.run_tx_stepped(tx, rules)?;
        let second = self.second.run_tx(tx)?;
        outcomes(&main.outcome, &second)
            .map_err(|why| self.diverged(format!("transaction {}: {why}", tx.hash())))?;
        Ok(main)
    }

    fn value(&mut self, slot: &StorageSlot) -> Result<B256, VmError> {
        self.main.value(slot)
    }

    fn seal(self: Box<Self>) -> Result<BatchTip, VmError> {
        let Self { number, main, second } = *self;
        let (main, second) = (main.seal()?, second.seal()?);
        tips(&main, &second).map_err(|difference| VmError::Diverged {
            batch: number,
            difference: format!("batch tip: {difference}"),
        })?;
        Ok(main)
    }
}

/// Compares all but the effect of writes.
pub(crate) fn facts(main: &TxFacts, second: &TxFacts) -> Same {
    outcomes(&main.outcome, &second.outcome)?;
    value("output", &main.output, &second.output)?;
    value("bytes of pubdata", &main.pubdata, &second.pubdata)?;
    value("gas of the machine", &main.machine_gas, &second.machine_gas)?;
    value("bytecode compression", &main.is_compressed, &second.is_compressed)
}

fn outcomes(main: &TxOutcome, second: &TxOutcome) -> Same {
    value("status", &main.status, &second.status)?;
    value("gas refunded", &main.gas_refunded, &second.gas_refunded)?;
    list("events", &main.events, &second.events)?;
    list("L2→L1 logs", &main.l2_to_l1_logs, &second.l2_to_l1_logs)?;
    list("bytecodes made", &main.made_bytecodes, &second.made_bytecodes)
}

/// Compares what was left of a batch.
pub(crate) fn tips(main: &BatchTip, second: &BatchTip) -> Same {
    list("events", &main.events, &second.events)?;
    list("L2→L1 logs", &main.l2_to_l1_logs, &second.l2_to_l1_logs)?;
    list("system logs", &main.system_logs, &second.system_logs)?;
    list("final writes", &main.final_writes, &second.final_writes)?;
    let bytes = |tip: &BatchTip| tip.pubdata.clone().unwrap_or_default();
    list("pubdata", &bytes(main), &bytes(second))?;
    list("bootloader heap", &main.bootloader_heap, &second.bootloader_heap)?;
    let (ours, theirs) = (last_values(&main.writes), last_values(&second.writes));
    for (slot, written) in &ours {
        value(&format!("{slot:?}"), &Some(written), &theirs.get(slot))?;
    }
    Ok(())
}

fn last_values(writes: &[StorageWrite]) -> BTreeMap<StorageSlot, B256> {
    writes.iter().map(|write| (write.slot, write.value)).collect()
}

fn value<T: PartialEq + Debug>(what: &str, main: &T, second: &T) -> Same {
    if main == second {
        return Ok(());
    }
    Err(format!("{what}: {} against {}", shown(main), shown(second)))
}

fn list<T: PartialEq + Debug>(what: &str, main: &[T], second: &[T]) -> Same {
    let differing = main.iter().zip(second).position(|(main, second)| main != second);
    if let Some(index) = differing {
        return value(&format!("{what}[{index}]"), &main.get(index), &second.get(index));
    }
    value(&format!("number of {what}"), &main.len(), &second.len())
}

fn shown(value: &impl Debug) -> String {
    let mut text = format!("{value:?}");
    if let Some((end, _)) = text.char_indices().nth(VALUE_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use lockstep_types::{Address, Event, TxStatus, U256};

    use super::*;

    fn sample() -> TxFacts {
        TxFacts {
            outcome: TxOutcome {
                status: TxStatus::Success,
                gas_refunded: 1,
                events: vec![Event {
                    address: Address::ZERO,
                    topics: Vec::new(),
                    data: Bytes::new(),
                }],
                l2_to_l1_logs: Vec::new(),
                writes: Vec::new(),
                made_bytecodes: Vec::new(),
            },
            output: Bytes::new(),
            pubdata: 2,
            machine_gas: 3,
            is_compressed: true,
        }
    }

    #[test]
    fn every_fact_of_a_transaction_is_compared() {
        let changes: [fn(&mut TxFacts); 9] = [
            |facts| facts.outcome.status = TxStatus::Reverted { reason: String::new() },
            |facts| facts.outcome.gas_refunded += 1,
            |facts| facts.outcome.events.clear(),
            |facts| facts.outcome.events[0].data = vec![1].into(),
            |facts| facts.outcome.made_bytecodes.push((B256::ZERO, Bytes::new())),
            |facts| facts.output = vec![1].into(),
            |facts| facts.pubdata += 1,
            |facts| facts.machine_gas += 1,
            |facts| facts.is_compressed = false,
        ];
        assert_eq!(facts(&sample(), &sample()), Ok(()));
        for (index, change) in changes.into_iter().enumerate() {
            let mut changed = sample();
            change(&mut changed);
            assert!(facts(&sample(), &changed).is_err(), "{index}");
            assert!(facts(&changed, &sample()).is_err(), "{index}");
        }
    }

    #[test]
    fn every_part_of_a_tip_is_compared() {
        let slot = StorageSlot::new(Address::ZERO, B256::ZERO);
        let tip = BatchTip {
            writes: vec![StorageWrite { slot, value: B256::ZERO }],
            ..BatchTip::default()
        };
        let changes: [fn(&mut BatchTip, StorageSlot); 4] = [
            |tip, slot| tip.final_writes.push((slot, B256::ZERO)),
            |tip, _| tip.pubdata = Some(vec![1].into()),
            |tip, _| tip.bootloader_heap.push((1, U256::from(1))),
            |tip, _| tip.writes[0].value = B256::repeat_byte(1),
        ];
        assert_eq!(tips(&tip, &tip), Ok(()));
        for (index, change) in changes.into_iter().enumerate() {
            let mut changed = tip.clone();
            change(&mut changed, slot);
            assert!(tips(&tip, &changed).is_err(), "{index}");
        }
    }

    #[test]
    fn a_difference_shows_both_values_and_is_not_endless() {
        let mut changed = sample();
        changed.output = vec![7; 5_000].into();
        let difference = facts(&changed, &sample()).unwrap_err();
        assert!(difference.starts_with("output: 0x0707"), "{difference}");
        assert!(difference.contains("…") && difference.ends_with("against 0x"), "{difference}");
        assert!(difference.len() < 600, "{}", difference.len());
    }
}
