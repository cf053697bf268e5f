//! Every form, encoded by hand; then damaged and absurd calldata.

use lockstep_testvectors::CommitCalldata;
use lockstep_types::{address::L1_MESSENGER, alloy_primitives::b256};
use proptest::prelude::*;

use super::*;

const NUMBER: u64 = 7;

fn fill(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

fn small(number: u64) -> B256 {
    B256::from(U256::from(number))
}

fn info(number: u64, form: CommitForm) -> CommitInfo {
    let body = if form == CommitForm::Blocks {
        CommitBody::Lists(CommitLists {
            l2_to_l1_root: fill(0x31),
            initial_writes: vec![1; 68].into(),
            repeated_writes: vec![2; 44].into(),
            logs: vec![3; 92].into(),
            messages: vec![vec![4; 5].into(), Bytes::new()],
            factory_deps: vec![vec![5; 32].into()],
        })
    } else {
        CommitBody::Diffs(CommitDiffs {
            heap_hash: fill(0x41),
            events_queue_hash: fill(0x42),
            system_logs: vec![6; 176].into(),
            da_input: vec![7; 101].into(),
        })
    };
    CommitInfo {
        number,
        timestamp: 1_700_000_000 + number,
        next_leaf_index: 84 + number,
        root: fill(0x21),
        l1_tx_count: U256::from(3),
        priority_ops_hash: fill(0x22),
        body,
    }
}

fn stored(form: CommitForm) -> StoredBatch {
    StoredBatch {
        number: NUMBER - 1,
        root: fill(0x11),
        next_leaf_index: 84,
        l1_tx_count: U256::from(2),
        priority_ops_hash: fill(0x12),
        dependency_roots_hash: (form == CommitForm::EncodedByAddress).then(|| fill(0x13)),
        l2_to_l1_root: fill(0x14),
        timestamp: U256::from(1_700_000_000),
        commitment: fill(0x15),
    }
}

fn calldata(form: CommitForm, count: u64) -> CommitCalldata {
    let batch = stored(form);
    let mut words = vec![
        small(batch.number),
        batch.root,
        small(batch.next_leaf_index),
        batch.l1_tx_count.into(),
        batch.priority_ops_hash,
    ];
    words.extend(batch.dependency_roots_hash);
    words.extend([batch.l2_to_l1_root, batch.timestamp.into(), batch.commitment]);
    let range = [small(NUMBER), small(NUMBER + count - 1)];
    let arguments = match form {
        CommitForm::Blocks | CommitForm::Batches => Vec::new(),
        CommitForm::SharedBridge => vec![small(271)],
        CommitForm::Encoded => vec![small(271), range[0], range[1]],
        CommitForm::EncodedByAddress => vec![L1_MESSENGER.into_word(), range[0], range[1]],
    };
    CommitCalldata {
        selector: form.selector(),
        arguments,
        stored: words,
        batches: (NUMBER..NUMBER + count).map(|number| info(number, form)).collect(),
        encoding: form.encoding_version(),
    }
}

#[test]
fn every_form_is_read_as_it_was_written() {
    for form in CommitForm::ALL {
        for count in 1..=3 {
            let written = calldata(form, count);
            let read = CommitCall::decode(&written.encode()).unwrap();
            let chain = match form {
                CommitForm::Blocks | CommitForm::Batches => CommitChain::Implied,
                CommitForm::SharedBridge | CommitForm::Encoded => CommitChain::Id(U256::from(271)),
                CommitForm::EncodedByAddress => CommitChain::Contract(L1_MESSENGER),
            };
            assert_eq!((read.form, read.chain), (form, chain));
            assert_eq!(read.previous, stored(form));
            assert_eq!(read.batches, written.batches);
            assert_eq!(read.batch(NUMBER), written.batches.first());
            assert_eq!(read.batch(NUMBER + count), None);
        }
    }
}

#[test]
fn a_version_has_one_form() {
    let forms = [(0, 0), (17, 0), (18, 1), (22, 1), (23, 2), (25, 2), (26, 3), (28, 3), (29, 4)];
    for (version, form) in forms.into_iter().chain([(31, 4), (40, 4)]) {
        assert_eq!(CommitForm::of(ProtocolVersion(version)), CommitForm::ALL[form], "v{version}");
    }
}

#[test]
fn a_selector_is_the_hash_of_its_function() {
    let stored = "(uint64,bytes32,uint64,uint256,bytes32,bytes32,uint256,bytes32)";
    let lists = "(uint64,uint64,uint64,bytes32,uint256,bytes32,bytes32,bytes,bytes,bytes,bytes[],\
                 bytes[])[]";
    let diffs = "(uint64,uint64,uint64,bytes32,uint256,bytes32,bytes32,bytes32,bytes,bytes)[]";
    let functions = [
        format!("commitBlocks({stored},{lists})"),
        format!("commitBatches({stored},{diffs})"),
        format!("commitBatchesSharedBridge(uint256,{stored},{diffs})"),
        "commitBatchesSharedBridge(uint256,uint256,uint256,bytes)".to_owned(),
        "commitBatchesSharedBridge(address,uint256,uint256,bytes)".to_owned(),
    ];
    for (form, function) in CommitForm::ALL.into_iter().zip(functions) {
        let hash = lockstep_types::keccak256(&function);
        assert_eq!(form.selector(), hash[..4], "{function}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    for form in CommitForm::ALL {
        let refused = |change: &dyn Fn(&mut CommitCalldata)| {
            let mut changed = calldata(form, 2);
            change(&mut changed);
            CommitCall::decode(&changed.encode()).unwrap_err()
        };
        assert_eq!(refused(&|call| call.batches[1].number += 1), CommitError::Range);
        assert_eq!(refused(&|call| call.batches[0].number = u64::MAX), CommitError::Range);
        assert_eq!(refused(&|call| call.batches.clear()), CommitError::Range);
        assert_eq!(refused(&|call| call.stored[0] = small(NUMBER)), CommitError::Range);
        assert_eq!(refused(&|call| call.stored[0] = fill(1)), CommitError::TooLarge);
        let selector = refused(&|call| call.selector = [1, 2, 3, 4]);
        assert_eq!(
            selector.to_string(),
            "no known function to commit batches has the selector 0x01020304"
        );
        if let Some(encoding) = form.encoding_version() {
            let other = refused(&|call| call.encoding = Some(encoding ^ 1));
            assert_eq!(other, CommitError::Encoding(encoding ^ 1));
            assert_eq!(refused(&|call| call.arguments[1] = small(NUMBER - 1)), CommitError::Range);
            assert_eq!(refused(&|call| call.arguments[2] = small(NUMBER)), CommitError::Range);
        }
    }
    let mut call = calldata(CommitForm::EncodedByAddress, 1);
    call.arguments[0] = b256!("0100000000000000000000000000000000000000000000000000000000008008");
    assert_eq!(CommitCall::decode(&call.encode()), Err(CommitError::TooLarge));
}

#[test]
fn calldata_without_its_end_is_refused() {
    for form in CommitForm::ALL {
        let whole = calldata(form, 2).encode();
        // The last part is filled up to a whole word, and that nobody reads.
        let filling = if form == CommitForm::Blocks { 0 } else { 32 - 101 % 32 };
        let mut refused = 0;
        for end in 0..whole.len() - filling {
            refused += usize::from(CommitCall::decode(&whole.slice(..end)).is_err());
        }
        let slack = 32 * usize::from(form.encoding_version().is_some());
        assert!(refused + slack >= whole.len() - filling, "{form:?}: {refused}");
    }
}

/// Each of many batches names the same long list: together far more than there is.
#[test]
fn what_is_named_many_times_is_not_taken_many_times() {
    let form = CommitForm::Blocks;
    let count = 3_000_usize;
    let mut calldata = form.selector().to_vec();
    let mut word = |number: usize| calldata.extend(small(u64::try_from(number).unwrap()).0);
    (0..8).for_each(|_| word(6));
    word(9 * 32);
    word(count);
    // Every batch is the one tuple behind the offsets.
    (0..count).for_each(|_| word(count * 32));
    (0..7).for_each(|_| word(7));
    // Its five parts are one list, whose items are one empty string.
    (0..5).for_each(|_| word(12 * 32));
    word(count);
    (0..count).for_each(|_| word(count * 32));
    word(0);
    assert_eq!(CommitCall::decode(&calldata.into()), Err(CommitError::Overlapping));
}

#[test]
fn absurd_counts_and_offsets_reserve_no_memory() {
    for form in CommitForm::ALL {
        let honest = calldata(form, 1).encode();
        for at in (4..honest.len() - 32).step_by(32) {
            for word in [fill(0xff), small(u64::MAX), small(1 << 40), small(1 << 31)] {
                let mut changed = honest.to_vec();
                changed[at..at + 32].copy_from_slice(word.as_slice());
                // No panic, and no abort for want of memory.
                drop(CommitCall::decode(&changed.into()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes_do_no_harm(form in 0..5_usize, tail in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let mut bytes = CommitForm::ALL[form].selector().to_vec();
        bytes.extend(tail);
        prop_assert!(CommitCall::decode(&bytes.into()).is_err());
    }

    /// Words as they occur: small numbers, offsets, and some garbage.
    #[test]
    fn arbitrary_words_do_no_harm(
        form in 0..5_usize,
        words in prop::collection::vec(prop_oneof![
            4 => (0..64_u64).prop_map(|number| small(number * 32)),
            3 => (0..9_u64).prop_map(small),
            1 => any::<[u8; 32]>().prop_map(B256::from),
        ], 0..120),
    ) {
        let form = CommitForm::ALL[form];
        let mut bytes = form.selector().to_vec();
        bytes.extend(words.iter().flat_map(|word| word.0));
        let length = bytes.len();
        if let Ok(call) = CommitCall::decode(&bytes.into()) {
            prop_assert!(taken(&call) <= length);
        }
    }

    #[test]
    fn changed_bytes_do_no_harm(
        form in 0..5_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut bytes = calldata(CommitForm::ALL[form], 3).encode().to_vec();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let length = bytes.len();
        if let Ok(call) = CommitCall::decode(&bytes.into()) {
            prop_assert!(taken(&call) <= length);
        }
    }
}

/// Bytes that what was read stands for.
fn taken(call: &CommitCall) -> usize {
    let batch = |batch: &CommitInfo| match &batch.body {
        CommitBody::Diffs(body) => body.system_logs.len() + body.da_input.len(),
        CommitBody::Lists(body) => {
            let lists = body.messages.iter().chain(&body.factory_deps);
            body.initial_writes.len()
                + body.repeated_writes.len()
                + body.logs.len()
                + lists.map(|item| 32 + item.len()).sum::<usize>()
        }
    };
    call.batches.iter().map(|one| 32 + batch(one)).sum()
}
