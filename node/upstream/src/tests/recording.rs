//! A real main node and a real L1, as recorded.

use lockstep_testvectors::{Answer as Recorded, recordings_for};
use lockstep_types::{B256, L1BatchNumber, L2BlockNumber, block::legacy_block_hash};

use super::*;
use crate::{L1, MainNode, check_block};

fn said(recorded: Option<&Recorded>) -> Said {
    match recorded {
        Some(Recorded::Result(raw)) => json!({"result": raw}),
        Some(Recorded::Error(recorded)) => error(recorded.code, &recorded.message),
        None => error(-32_601, "not recorded"),
    }
}

#[test]
fn every_recorded_block_passes_and_every_recorded_answer_is_read() {
    for recording in recordings_for("upstream: a recorded main node") {
        let recorded = recording.main_node();
        let head = recorded.head();
        let world = World::new();
        world.serve(move |_, request| {
            Ok(faithful(request, |method, params| said(recorded.answer(method, params))))
        });
        let main_node = MainNode::new(world.client(1, UpstreamConfig::default()));
        world.memory.block_on(async {
            let chain_id = main_node.chain_id().await.unwrap();
            assert_eq!(main_node.block_number().await, Ok(L2BlockNumber(head)));
            let blocks = main_node.sync_blocks(L2BlockNumber(1), head + 1).await.unwrap();
            assert_eq!(blocks.len(), usize::try_from(head).unwrap() + 1);
            let mut parent = legacy_block_hash(L2BlockNumber(0));
            let mut tx_count = 0;
            for (number, block) in (1..=head).zip(&blocks) {
                let block = block.clone().unwrap();
                assert!(block.hash.is_some());
                let block = check_block(block, L2BlockNumber(number), parent, chain_id).unwrap();
                parent = block.hash;
                tx_count += block.transactions.len();
            }
            assert!(tx_count > 0);
            assert_eq!(blocks.last(), Some(&None));

            let last = main_node.l1_batch_number().await.unwrap();
            let batches: Vec<_> = (0..=last.0).map(L1BatchNumber).collect();
            let details = main_node.batch_details(&batches).await.unwrap();
            assert!(details.iter().all(Option::is_some));
            let blocks: Vec<_> = (0..=head).map(L2BlockNumber).collect();
            let details = main_node.block_details(&blocks).await.unwrap();
            assert!(details.iter().all(Option::is_some));

            let genesis = main_node.genesis_config().await.unwrap();
            assert_eq!(genesis.chain_id(), chain_id);
            let version = genesis.version().unwrap();
            let info = main_node.protocol_version_info(version).await.unwrap().unwrap();
            assert_eq!(info.base_system_contracts(), genesis.base_system_contracts());
            let code = genesis.base_system_contracts();
            let codes = main_node.bytecodes(&[code.bootloader, code.default_account]).await;
            assert!(codes.unwrap().iter().all(Option::is_some));
            let keys = [B256::left_padding_from(&[1]), B256::left_padding_from(&[2])];
            let storage = lockstep_types::address::ACCOUNT_CODE_STORAGE;
            let words = main_node.genesis_storage(storage, &keys).await.unwrap();
            assert!(words.iter().all(|word| !word.is_zero()));
            main_node.main_contract().await.unwrap();
            main_node.l1_chain_id().await.unwrap();
        });
    }
}

#[test]
fn every_recorded_receipt_of_l1_is_read() {
    for recording in recordings_for("upstream: a recorded L1") {
        let Some(recorded) = recording.l1() else { continue };
        let hash = |receipt: &Value| text(&receipt["transactionHash"]).parse::<B256>().unwrap();
        let mut hashes: Vec<_> = recorded.receipts.iter().map(hash).collect();
        assert!(!hashes.is_empty());
        hashes.push(B256::ZERO);
        let log_count: usize =
            recorded.receipts.iter().map(|receipt| receipt["logs"].as_array().unwrap().len()).sum();
        let world = World::new();
        let receipts = recorded.receipts;
        world.serve(move |_, request| {
            Ok(faithful(request, |_, params| {
                let is_it = |receipt: &&Value| receipt["transactionHash"] == params[0];
                result(receipts.iter().find(is_it).cloned().unwrap_or_default())
            }))
        });
        let l1 = L1::new(world.client(1, UpstreamConfig::default()));
        let mut read = world.memory.block_on(l1.receipts(&hashes)).unwrap();
        assert_eq!(read.pop(), Some(None));
        assert_eq!(read.iter().flatten().count(), hashes.len() - 1);
        assert_eq!(
            read.iter().flatten().map(|receipt| receipt.logs.len()).sum::<usize>(),
            log_count
        );
    }
}
