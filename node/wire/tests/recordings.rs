//! Every recorded answer survives the way through our types, byte for byte.

use lockstep_testvectors::{Recording, recordings_for};
use lockstep_types::{L2BlockNumber, ProtocolVersion};
use lockstep_wire::{
    en::{
        EcosystemContracts, GenesisConfig, ProtocolVersionInfo, SyncBlock, SyncBlockParts,
        TokenInfo, TransactionJson, ZksProtocolVersion,
    },
    eth, zks,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Reads every recorded result of `method` as `T`, writes it, and compares the bytes. Says how
/// many there were.
fn survives<T: Serialize + DeserializeOwned>(recording: &Recording, method: &str) -> usize {
    let main_node = recording.main_node();
    let golden = recording.golden_api();
    let all = main_node.exchanges().iter().chain(&golden);
    let results = all.filter(|one| one.method == method).filter_map(|one| one.answer.result());
    results
        .map(|text| {
            let read: T = serde_json::from_str(text)
                .unwrap_or_else(|error| panic!("{method}: {error} in {text:.300}"));
            assert_eq!(serde_json::to_string(&read).expect("it can be written"), text, "{method}");
        })
        .count()
}

#[test]
fn answers_of_the_eth_methods_survive() {
    for recording in recordings_for("eth_* answers") {
        for method in ["eth_getBlockByNumber", "eth_getBlockByHash"] {
            assert!(survives::<Option<eth::Block>>(&recording, method) > 0);
        }
        for method in [
            "eth_getTransactionByHash",
            "eth_getTransactionByBlockHashAndIndex",
            "eth_getTransactionByBlockNumberAndIndex",
        ] {
            assert!(survives::<Option<eth::Transaction>>(&recording, method) > 0);
        }
        assert!(survives::<Option<eth::Receipt>>(&recording, "eth_getTransactionReceipt") > 0);
        assert!(survives::<Option<Vec<eth::Receipt>>>(&recording, "eth_getBlockReceipts") > 0);
        assert!(survives::<Vec<eth::Log>>(&recording, "eth_getLogs") > 0);
    }
}

#[test]
fn answers_of_the_zks_methods_survive() {
    for recording in recordings_for("zks_* answers") {
        assert!(survives::<Option<zks::BlockDetails>>(&recording, "zks_getBlockDetails") > 0);
        assert!(survives::<Option<zks::L1BatchDetails>>(&recording, "zks_getL1BatchDetails") > 0);
        assert!(survives::<zks::Proof>(&recording, "zks_getProof") > 0);
        let details = "zks_getTransactionDetails";
        assert!(survives::<Option<zks::TransactionDetails>>(&recording, details) > 0);
        assert!(survives::<zks::L2ToL1LogProof>(&recording, "zks_getL2ToL1LogProof") > 0);
        assert!(survives::<zks::BatchFeeInput>(&recording, "zks_getBatchFeeInput") > 0);
        let raw = "zks_getRawBlockTransactions";
        assert!(survives::<Vec<TransactionJson>>(&recording, raw) > 0);
    }
}

#[test]
fn answers_of_the_en_methods_survive() {
    for recording in recordings_for("en_* answers") {
        assert!(survives::<Option<SyncBlock>>(&recording, "en_syncL2Block") > 0);
        assert!(survives::<GenesisConfig>(&recording, "en_genesisConfig") > 0);
        let info = "en_getProtocolVersionInfo";
        assert!(survives::<Option<ProtocolVersionInfo>>(&recording, info) > 0);
        assert!(survives::<Option<ZksProtocolVersion>>(&recording, "zks_getProtocolVersion") > 0);
        assert!(survives::<EcosystemContracts>(&recording, "en_getEcosystemContracts") > 0);
        assert!(survives::<Vec<TokenInfo>>(&recording, "en_syncTokens") > 0);
    }
}

#[test]
fn blocks_survive_the_way_through_the_protocol_types() {
    for recording in recordings_for("blocks through types") {
        let main_node = recording.main_node();
        let mut count = 0;
        for exchange in main_node.exchanges().iter().filter(|one| one.method == "en_syncL2Block") {
            let text = exchange.answer.result().unwrap();
            if text == "null" {
                continue;
            }
            let asked = exchange.params[0].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap();
            let json = SyncBlock::from_json(L2BlockNumber(asked), text).unwrap();
            let parts = SyncBlockParts::try_from(json).unwrap();
            assert_eq!(parts.params.number, L2BlockNumber(asked));
            assert_eq!(serde_json::to_string(&parts.to_json()).unwrap(), text);
            count += 1;
        }
        assert!(count > usize::try_from(main_node.head()).unwrap());
    }
}

#[test]
fn both_shapes_of_a_protocol_version_say_the_same() {
    for recording in recordings_for("protocol versions") {
        let main_node = recording.main_node();
        let of = |method| main_node.answer(method, &Value::Null).unwrap();
        let new: ProtocolVersionInfo = of("en_getProtocolVersionInfo").parse();
        let old: ZksProtocolVersion = of("zks_getProtocolVersion").parse();
        assert_eq!(ProtocolVersionInfo::try_from(old).unwrap(), new);
        let genesis: GenesisConfig = of("en_genesisConfig").parse();
        assert!(genesis.version().unwrap() > ProtocolVersion(0));
    }
}
