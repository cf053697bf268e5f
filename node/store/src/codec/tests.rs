//! Every row type: there and back, damaged, and byte for byte what it was.

use lockstep_types::{
    B256, BatchClaim, BatchCommitment, BatchHeader, BatchSteps, BatchWrite, BlockHeader, Bloom,
    Bytes, CommitmentInputs, L1BatchNumber, L1Check, L2BlockNumber, L2ToL1Log, Receipt, StepTx,
    Transaction, TxCommon, alloy_primitives::b256, keccak256,
};
use proptest::prelude::*;

use super::{
    ChainIdentity, Decode, Encode, SlotInfo, StoredBytecode, TxPosition, decode, encode,
    sample::{Gen, Sample},
};

/// Calls `$check::<Row>($argument)` for every type of row.
macro_rules! for_every_row {
    ($check:ident($($argument:expr),*)) => {
        $check::<u32>($($argument),*);
        $check::<L2BlockNumber>($($argument),*);
        $check::<L1BatchNumber>($($argument),*);
        $check::<ChainIdentity>($($argument),*);
        $check::<BlockHeader>($($argument),*);
        $check::<Transaction>($($argument),*);
        $check::<TxPosition>($($argument),*);
        $check::<Receipt>($($argument),*);
        $check::<SlotInfo>($($argument),*);
        $check::<StoredBytecode>($($argument),*);
        $check::<BatchHeader>($($argument),*);
        $check::<Vec<BatchWrite>>($($argument),*);
        $check::<CommitmentInputs>($($argument),*);
        $check::<BatchClaim>($($argument),*);
        $check::<BatchSteps>($($argument),*);
        $check::<BatchCommitment>($($argument),*);
        $check::<L1Check>($($argument),*);
        $check::<StepTx>($($argument),*);
    };
}

trait Row: Encode + Decode + Sample + PartialEq + std::fmt::Debug {}

impl<T: Encode + Decode + Sample + PartialEq + std::fmt::Debug> Row for T {}

fn there_and_back<T: Row>(seed: u64) {
    let row: T = Gen::new(seed).sample();
    assert_eq!(decode::<T>(&encode(&row)), Ok(row));
}

fn short_or_long<T: Row>(seed: u64) {
    let mut draw = Gen::new(seed);
    let row: T = draw.sample();
    let mut bytes = encode(&row);
    for count in 0..bytes.len() {
        assert!(decode::<T>(&bytes[..count]).is_err(), "{row:?} without its end");
    }
    bytes.push(draw.sample());
    assert!(decode::<T>(&bytes).is_err(), "{row:?} with something after it");
}

/// What can be read at all is a value: it survives being written.
fn read_garbage<T: Row>(bytes: &[u8]) {
    if let Ok(row) = decode::<T>(bytes) {
        assert_eq!(decode::<T>(&encode(&row)), Ok(row));
    }
}

fn damage<T: Row>(seed: u64) {
    let mut draw = Gen::new(seed);
    let bytes = encode(&draw.sample::<T>());
    let huge = encode(&u64::MAX);
    for _ in 0..16 {
        let mut changed = bytes.clone();
        let at = draw.below(changed.len());
        changed[at] = draw.sample();
        read_garbage::<T>(&changed);
        // A count that nothing can fill.
        changed.splice(at..=at, huge.iter().copied());
        read_garbage::<T>(&changed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn rows_survive_the_disk(seed in any::<u64>()) {
        for_every_row!(there_and_back(seed));
    }

    #[test]
    fn damaged_rows_do_no_harm(seed in any::<u64>()) {
        for_every_row!(damage(seed));
    }

    #[test]
    fn garbage_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for_every_row!(read_garbage(&bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_row_is_used_up_exactly(seed in any::<u64>()) {
        for_every_row!(short_or_long(seed));
    }
}

#[test]
fn samples_reach_every_form() {
    let mut draw = Gen::new(1);
    let txs: Vec<Transaction> = (0..400).map(|_| draw.sample()).collect();
    let has = |what: fn(&Transaction) -> bool| txs.iter().any(what);
    assert!(has(|tx| matches!(tx.common, TxCommon::L2(_)) && tx.raw.is_some()));
    assert!(has(|tx| matches!(tx.common, TxCommon::Priority(_))));
    assert!(has(|tx| matches!(tx.common, TxCommon::Upgrade(_))));
    // A shared part of 200 bytes makes the row shorter than what it holds.
    let unshared = |tx: &Transaction| tx.execute.calldata.len() + tx.raw.as_ref().unwrap().len();
    let long = |tx: &&Transaction| tx.execute.calldata.len() == 200 && tx.raw.is_some();
    let is_shared = |tx: &Transaction| {
        let bytes = encode(tx);
        bytes.windows(200).filter(|part| *part == &tx.execute.calldata[..]).count() == 1
            && tx.raw.as_ref().unwrap().windows(200).any(|part| part == &tx.execute.calldata[..])
    };
    assert!(txs.iter().filter(long).any(is_shared));
    assert!(txs.iter().filter(long).any(|tx| encode(tx).len() > unshared(tx)));

    let blooms: Vec<Bloom> = (0..200).map(|_| draw.sample()).collect();
    let lengths: Vec<_> = blooms.iter().map(|bloom| encode(bloom).len()).collect();
    assert!(lengths.contains(&1) && lengths.contains(&258), "{lengths:?}");
    assert!(lengths.iter().any(|length| (8..258).contains(length)));
}

#[test]
fn a_bloom_takes_the_shorter_form() {
    for set in [0_usize, 1, 127, 128, 256] {
        let mut bloom = Bloom::ZERO;
        bloom.0[256 - set..].fill(0x81);
        let bytes = encode(&bloom);
        let expected = if set < 128 { 1 + 2 * set } else { 2 + 256 };
        assert_eq!(bytes.len(), expected, "{set} bytes");
        assert_eq!(decode::<Bloom>(&bytes), Ok(bloom));
    }
    assert!(decode::<Bloom>(&encode(&128_u64)).is_err());
    assert!(decode::<Bloom>(&encode(&u64::MAX)).is_err());
}

/// Reserving memory for such a count would end the process.
#[test]
fn a_count_reserves_no_memory_that_the_row_cannot_fill() {
    for count in [u64::MAX, u64::MAX / 2, 1 << 60, 1 << 40, 1 << 33] {
        let bytes = [encode(&count), vec![1; 4_096]].concat();
        assert!(decode::<Vec<BatchWrite>>(&bytes).is_err());
        assert!(decode::<Vec<L2ToL1Log>>(&bytes).is_err());
        assert!(decode::<Vec<(u32, B256)>>(&bytes).is_err());
        assert!(decode::<Vec<Vec<u32>>>(&bytes).is_err());
        assert!(decode::<Bytes>(&bytes).is_err());
        assert!(decode::<String>(&bytes).is_err());
    }
}

fn digest<T: Row>() -> B256 {
    let mut draw = Gen::new(42);
    let rows: Vec<_> = (0..64).map(|_| encode(&draw.sample::<T>())).collect();
    keccak256(rows.concat())
}

/// If this fails, data directories that exist cannot be read any more: see the module above.
#[test]
fn no_layout_has_changed() {
    let found = [
        ("numbers", digest::<u32>()),
        ("chain", digest::<ChainIdentity>()),
        ("blocks", digest::<BlockHeader>()),
        ("transactions", digest::<Transaction>()),
        ("tx_positions", digest::<TxPosition>()),
        ("receipts", digest::<Receipt>()),
        ("slots", digest::<SlotInfo>()),
        ("bytecodes", digest::<StoredBytecode>()),
        ("batches", digest::<BatchHeader>()),
        ("batch_writes", digest::<Vec<BatchWrite>>()),
        ("commitment_inputs", digest::<CommitmentInputs>()),
        ("claims", digest::<BatchClaim>()),
        ("steps", digest::<BatchSteps>()),
        ("commitments", digest::<BatchCommitment>()),
        ("l1_checks", digest::<L1Check>()),
        ("precommits", digest::<StepTx>()),
    ];
    let expected = [
        ("numbers", b256!("6e175afea56a6ba8cd9eff4b854cb0e95b7953c5f4300acd0b629415ccf3827d")),
        ("chain", b256!("04749ffd00dcf1d9a61d5d496f6b5414eb0cfd7a09d42ac9e5ada30e9e725f2d")),
        ("blocks", b256!("369675f7dd71db324a7414a8f035c751eafb36a0f20f49a637206eb7a6b2356a")),
        ("transactions", b256!("d756f4833f03da848c9be15c43ec6c463d0a2624766d6d3bdeb8a28b1d34bfac")),
        ("tx_positions", b256!("4a10e7d42cae5c207bd0228ca5109aaf6d0589ef331967f433b607ad025861ad")),
        ("receipts", b256!("680a757c5d12fc055ddfab0c85e1ed7d0f421561873b23d973c66e30efe8b589")),
        ("slots", b256!("b782d7f827629bf4479ae40af8ee281f3612530b2860a4d24c1cff1bf564c4be")),
        ("bytecodes", b256!("271ae26ff397060bc1381116cef79591565047c906f0368b61b61bf7b027e234")),
        ("batches", b256!("8e1edda7de386e0e11880a8982a8f789f6e761e30ee055a481277ad1a1df25fd")),
        ("batch_writes", b256!("e1a072da837f539d64429cf9aa72f56ef39a107adc20b68e96dc903c844e0e35")),
        (
            "commitment_inputs",
            b256!("fddb91f205eabaed0d39a288ef4dc36096e1f7dff9d57e5d620e8df38854f8d5"),
        ),
        ("claims", b256!("7ea3909efe8da8dc0a853461da8c2354cfce2d38712918213966cbd8ff3060ac")),
        ("steps", b256!("18ab76a55eaa792f6b9b5a0a679ba2dc3b7fe14d25c1af590f6743f6cd54806a")),
        ("commitments", b256!("6bdcda0609ca4f8b99c2b525f53ffedd1a242f3b2cea416f9a40fde19844c450")),
        ("l1_checks", b256!("5a840e1ce1e57c5bb067edb65d8f77a82b09dccfced824e3eed3163d01975321")),
        ("precommits", b256!("f2c57fcecf9e1168502514e3b8ec8829bb5c14e262e2b77d20d9e6aeafa45633")),
    ];
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}
