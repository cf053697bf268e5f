//! Another node of ours asks this one instead of the main node.

use lockstep_io::EndpointId;
use lockstep_io_memory::{Answer, MemoryIo};
use lockstep_testvectors::recordings_for;
use lockstep_types::{L1BatchNumber, L2BlockNumber, ProtocolVersion, block::legacy_block_hash};
use lockstep_upstream::{MainNode, RpcClient, UpstreamConfig, check_block};
use lockstep_wire::Announced;

use super::{announced, chain::fill, module};

/// A client whose main node is a node with the methods of `module`.
fn client(module: jsonrpsee::RpcModule<()>, server: MemoryIo) -> (MainNode, MemoryIo) {
    let memory = MemoryIo::new(1);
    memory.http.set_script(move |_, request| {
        let body = request.body.as_ref().expect("a call has a body");
        let text = std::str::from_utf8(body).unwrap();
        let (answer, _) = server.block_on(module.raw_json_request(text, 1)).unwrap();
        Ok(Answer::ok(answer.get().to_owned()))
    });
    let config = UpstreamConfig {
        batch_entries_max: 1,
        requests_per_second_max: 100_000,
        ..UpstreamConfig::default()
    };
    let rpc = RpcClient::new(&memory.io(), "the node above", vec![EndpointId(0)], config);
    (MainNode::new(rpc), memory)
}

#[test]
fn a_node_can_follow_another_one() {
    for recording in recordings_for("a node that follows another one") {
        let server = MemoryIo::new(0);
        let (views, mut writers) = lockstep_store::open(&*server.io().stores).unwrap();
        fill(&mut writers, &recording);
        let (main_node, memory) = client(module(&server, views.clone(), &recording), server);
        let view = views.now();
        let (identity, head) = (view.identity().unwrap().unwrap(), view.head().unwrap().unwrap());
        memory.block_on(async {
            assert_eq!(main_node.chain_id().await, Ok(identity.l2_chain_id));
            assert_eq!(main_node.l1_chain_id().await, Ok(identity.l1_chain_id));
            assert_eq!(main_node.block_number().await, Ok(head));
            let sealed = main_node.l1_batch_number().await.unwrap();
            assert_eq!(Ok(Some(sealed)), view.sealed_batch());

            let said = announced(&recording);
            let mut heard = Announced::default();
            main_node.learn_announced(&mut heard).await.unwrap();
            assert_eq!(heard, said);
            assert_eq!(main_node.genesis_config().await.ok(), said.genesis);
            assert_eq!(main_node.main_contract().await.ok(), said.main_contract);

            let blocks = main_node.sync_blocks(L2BlockNumber(1), head.0 + 1).await.unwrap();
            let mut parent = legacy_block_hash(L2BlockNumber(0));
            let mut checked = 0;
            for (number, block) in (1..).map(L2BlockNumber).zip(blocks) {
                let Some(block) = block else {
                    assert_eq!(number, head.next());
                    continue;
                };
                let block = check_block(block, number, parent, identity.l2_chain_id).unwrap();
                let header = view.block(number).unwrap().unwrap();
                assert_eq!((block.hash, &block.params), (header.hash, &header.params));
                assert_eq!(Ok(block.transactions), view.transactions(number));
                parent = block.hash;
                checked += 1;
            }
            assert_eq!(checked, head.0);

            let batches: Vec<_> = (0..=sealed.0 + 1).map(L1BatchNumber).collect();
            let details = main_node.batch_details(&batches).await.unwrap();
            assert_eq!(details.iter().flatten().count() + 1, details.len());
            let numbers: Vec<_> = (0..=head.0 + 1).map(L2BlockNumber).collect();
            let details = main_node.block_details(&numbers).await.unwrap();
            assert_eq!(details.iter().flatten().count() + 1, details.len());

            let version = view.block(head).unwrap().unwrap().params.version;
            let info = main_node.protocol_version_info(version).await.unwrap().unwrap();
            let base = said.genesis.unwrap().base_system_contracts();
            assert_eq!(info.base_system_contracts(), base);
            let next = ProtocolVersion(version.0 + 1);
            assert_eq!(main_node.protocol_version_info(next).await, Ok(None));
        });
    }
}
