//! Commitments that were computed before: runs on one recorded chain compute the same ones again
//! and again, a second or two each.
//!
//! A commitment is a function of its input, and all of the input is looked at before anything is
//! remembered of it: what the node reads and hands over is tested as if nothing were remembered.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use lockstep_commitment::{CommitmentError, CommitmentInput, CommitmentParts, batch_commitment};
use lockstep_replica::CommitmentRule;
use lockstep_types::{B256, alloy_primitives::Keccak256};

/// One in this many remembered commitments is computed all the same, and compared.
const CHECKED_ONE_IN: u64 = 16;

/// Commitments by what they were computed from. Clones remember the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memo(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    commitments: BTreeMap<B256, CommitmentParts>,
    /// How often something was remembered.
    hits: u64,
}

impl Memo {
    /// The rule of the protocol, with what is remembered taken from here. `salt` says which
    /// commitments are computed all the same.
    pub(crate) fn rule(&self, salt: u64) -> CommitmentRule {
        let memo = self.clone();
        CommitmentRule::new(move |input| memo.commitment(input, salt))
    }

    /// # Panics
    ///
    /// If what is remembered is not what is computed.
    fn commitment(
        &self,
        input: &CommitmentInput<'_>,
        salt: u64,
    ) -> Result<CommitmentParts, CommitmentError> {
        let key = digest(input);
        if let Some((known, hit)) = self.remembered(&key) {
            if hit.wrapping_add(salt).is_multiple_of(CHECKED_ONE_IN) {
                let computed = batch_commitment(input)?;
                assert_eq!(known, computed, "the commitment of {:?}", input.header.number);
            }
            return Ok(known);
        }
        let computed = batch_commitment(input)?;
        self.known().commitments.insert(key, computed.clone());
        Ok(computed)
    }

    fn remembered(&self, key: &B256) -> Option<(CommitmentParts, u64)> {
        let mut known = self.known();
        let parts = known.commitments.get(key).cloned()?;
        known.hits += 1;
        Some((parts, known.hits))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hash of everything in `input`: its debug text names each field.
fn digest(input: &CommitmentInput<'_>) -> B256 {
    struct Hashed(Keccak256);

    impl fmt::Write for Hashed {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.update(text);
            Ok(())
        }
    }

    let mut hashed = Hashed(Keccak256::new());
    write!(hashed, "{input:?}").expect("hashing does not fail");
    hashed.0.finalize()
}

#[cfg(test)]
mod tests {
    use lockstep_types::{
        BaseSystemContracts, BatchHeader, CommitmentInputs, L1BatchNumber, L2BlockNumber,
        LeafIndex, ProtocolVersion, PubdataType, StateRoot, U256, UnixSeconds,
    };

    use super::*;

    /// A batch of a version whose commitments cost next to nothing.
    const HEADER: BatchHeader = BatchHeader {
        number: L1BatchNumber(3),
        timestamp: UnixSeconds(9),
        version: ProtocolVersion(17),
        first_block: L2BlockNumber(5),
        last_block: L2BlockNumber(6),
        l1_tx_count: 0,
        l2_tx_count: 0,
        next_leaf_index: LeafIndex(1),
        priority_ops_hash: B256::ZERO,
    };

    fn input<'a>(
        inputs: &'a CommitmentInputs,
        contracts: &'a BaseSystemContracts,
    ) -> CommitmentInput<'a> {
        CommitmentInput {
            header: &HEADER,
            root: StateRoot(B256::ZERO),
            first_new_leaf_index: LeafIndex(1),
            contracts,
            pubdata_type: PubdataType::Rollup,
            inputs,
            writes: &[],
            events: &[],
            l2_to_l1_logs: &[],
            aggregation_root: B256::ZERO,
        }
    }

    #[test]
    fn what_is_remembered_is_what_was_computed() {
        let (inputs, contracts) = (CommitmentInputs::default(), BaseSystemContracts::default());
        let input = input(&inputs, &contracts);
        let computed = batch_commitment(&input).expect("the batch is good");
        let memo = Memo::default();
        for _ in 0..3 * CHECKED_ONE_IN {
            assert_eq!(memo.commitment(&input, 0), Ok(computed.clone()));
        }
        let known = memo.known();
        assert_eq!((known.commitments.len(), known.hits), (1, 3 * CHECKED_ONE_IN - 1));
    }

    #[test]
    #[should_panic(expected = "the commitment of")]
    fn a_memory_that_is_wrong_is_noticed() {
        let (inputs, contracts) = (CommitmentInputs::default(), BaseSystemContracts::default());
        let input = input(&inputs, &contracts);
        let memo = Memo::default();
        memo.commitment(&input, 0).expect("the batch is good");
        for parts in memo.known().commitments.values_mut() {
            parts.meta_hash = B256::repeat_byte(1);
        }
        for _ in 0..CHECKED_ONE_IN {
            memo.commitment(&input, 0).expect("the batch is good");
        }
    }

    #[test]
    fn every_field_of_the_input_tells_commitments_apart() {
        let (inputs, contracts) = (CommitmentInputs::default(), BaseSystemContracts::default());
        let input = input(&inputs, &contracts);
        let heap = CommitmentInputs { bootloader_heap: vec![(7, U256::from(1))], ..inputs.clone() };
        let other_heap =
            CommitmentInputs { bootloader_heap: vec![(7, U256::from(2))], ..inputs.clone() };
        let all = [
            input,
            CommitmentInput { root: StateRoot(B256::repeat_byte(1)), ..input },
            CommitmentInput { first_new_leaf_index: LeafIndex(2), ..input },
            CommitmentInput { pubdata_type: PubdataType::NoDa, ..input },
            CommitmentInput { inputs: &heap, ..input },
            CommitmentInput { inputs: &other_heap, ..input },
            CommitmentInput { aggregation_root: B256::repeat_byte(1), ..input },
        ];
        let digests: std::collections::BTreeSet<_> = all.iter().map(digest).collect();
        assert_eq!(digests.len(), all.len());
        assert_eq!(digest(&input), digest(&input.clone()));
    }
}
