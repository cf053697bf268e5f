//! What only the main node can say of its chain, and others ask us for.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    WireError,
    en::{BridgeContracts, EcosystemContracts, GenesisConfig},
};

/// What only the main node can say of its chain, handed on as it came: addresses on L1 and of
/// contracts that no rule names. Nothing that this replica verifies depends on it.
///
/// The default says nothing. Filled by asking each of [`METHODS`](Self::METHODS) without parameters
/// and giving the answers to [`learn`](Self::learn); written as JSON it can be kept for the next
/// start, when the main node may not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Announced {
    /// Genesis with what the store does not hold: patch of the version, keys of the proof system.
    pub genesis: Option<GenesisConfig>,
    /// The chain's diamond proxy on L1.
    pub main_contract: Option<Address>,
    /// Knows every chain of the ecosystem.
    pub bridgehub: Option<Address>,
    /// Addresses of the ecosystem on L1.
    pub ecosystem: Option<EcosystemContracts>,
    /// Addresses of bridges.
    pub bridges: Option<BridgeContracts>,
    /// The base token on L1; one stands for ether.
    pub base_token: Option<Address>,
    /// Pays for everybody, on test networks.
    pub testnet_paymaster: Option<Address>,
    /// Lets accounts depend on the time.
    pub timestamp_asserter: Option<Address>,
    /// Makes many calls in one.
    pub multicall3: Option<Address>,
    /// Tokens that accounts may read while they validate.
    pub tokens_for_aa: Vec<Address>,
}

impl Announced {
    /// The main node's methods that say it, each asked without parameters. Older main nodes do not
    /// have all of them.
    pub const METHODS: [&str; 10] = [
        "en_genesisConfig",
        "en_getEcosystemContracts",
        "en_whitelistedTokensForAA",
        "zks_getBaseTokenL1Address",
        "zks_getBridgeContracts",
        "zks_getBridgehubContract",
        "zks_getL2Multicall3",
        "zks_getMainContract",
        "zks_getTestnetPaymaster",
        "zks_getTimestampAsserter",
    ];

    /// Takes the `result` of `method` over, if it is one of [`METHODS`](Self::METHODS).
    ///
    /// # Errors
    ///
    /// [`WireError`] if it is not what the method answers with; what was known before stays.
    pub fn learn(&mut self, method: &str, result: &str) -> Result<(), WireError> {
        match method {
            "en_genesisConfig" => self.genesis = Some(read("genesis config", result)?),
            "en_getEcosystemContracts" => self.ecosystem = read("ecosystem contracts", result)?,
            "en_whitelistedTokensForAA" => self.tokens_for_aa = read("list of tokens", result)?,
            "zks_getBaseTokenL1Address" => self.base_token = read("base token", result)?,
            "zks_getBridgeContracts" => self.bridges = read("bridge contracts", result)?,
            "zks_getBridgehubContract" => self.bridgehub = read("bridgehub", result)?,
            "zks_getL2Multicall3" => self.multicall3 = read("multicall3", result)?,
            "zks_getMainContract" => self.main_contract = read("main contract", result)?,
            "zks_getTestnetPaymaster" => self.testnet_paymaster = read("paymaster", result)?,
            "zks_getTimestampAsserter" => {
                self.timestamp_asserter = read("timestamp asserter", result)?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(what: &'static str, result: &str) -> Result<T, WireError> {
    serde_json::from_str(result)
        .map_err(|error| WireError::Other { what, detail: error.to_string() })
}

#[cfg(test)]
mod tests {
    use lockstep_testvectors::recordings_for;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_wrong_answer_changes_nothing() {
        let mut announced = Announced::default();
        let address = Address::repeat_byte(7);
        announced.learn("zks_getL2Multicall3", &json!(address).to_string()).unwrap();
        let error = announced.learn("zks_getL2Multicall3", r#""0x12""#).unwrap_err();
        assert!(error.to_string().starts_with("multicall3: "), "{error}");
        assert_eq!(announced.multicall3, Some(address));
        announced.learn("zks_getL2Multicall3", "null").unwrap();
        assert_eq!(announced, Announced::default());
    }

    #[test]
    fn what_a_main_node_says_can_be_kept() {
        for recording in recordings_for("announcements") {
            let main_node = recording.main_node();
            let mut announced = Announced::default();
            for method in Announced::METHODS {
                let answer = main_node.answer(method, &json!([])).expect("recorded");
                let result = answer.result().expect("no error");
                announced.learn(method, result).unwrap();
            }
            assert!(announced.genesis.is_some() && announced.bridges.is_some());
            let kept = serde_json::to_string(&announced).unwrap();
            assert_eq!(serde_json::from_str::<Announced>(&kept).unwrap(), announced);
            let shown: Value = serde_json::to_value(&announced.ecosystem).unwrap();
            let said = main_node.answer("en_getEcosystemContracts", &json!([])).unwrap();
            assert_eq!(shown, said.parse::<Value>());
        }
    }
}
