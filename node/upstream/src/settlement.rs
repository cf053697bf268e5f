//! Settlement layers: the chains that batches are committed, proven and executed on.

use lockstep_types::{Address, ChainId};

use crate::{L1, MainNode, UpstreamError};

/// Where a chain's contract on a settlement layer is learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContractSource {
    /// The main node names it: it could name one of its own making.
    MainNode,
    /// The operator knows it.
    Known(Address),
    /// This bridgehub on the settlement layer names it.
    Bridgehub(Address),
}

/// A chain that batches settle on.
#[derive(Clone, Debug)]
pub struct SettlementClient {
    /// How it is asked.
    pub client: L1,
    /// Which contract there is the L2 chain's.
    pub contract: ContractSource,
}

impl SettlementClient {
    /// The contract of chain `l2` here, after making sure that this is chain `id`.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::Lie`] if this is another chain, or if the L2 chain has no contract here;
    /// otherwise as the calls fail.
    pub async fn contract_of(
        &self,
        l2: ChainId,
        id: ChainId,
        main_node: &MainNode,
    ) -> Result<Address, UpstreamError> {
        let theirs = self.client.chain_id().await?;
        if theirs != id {
            let detail = format!("its chain id is {theirs}, {id} is configured: correct the URL");
            return Err(UpstreamError::Lie { detail });
        }
        let contract = match self.contract {
            ContractSource::MainNode => main_node.main_contract().await?,
            ContractSource::Known(contract) => contract,
            ContractSource::Bridgehub(bridgehub) => self.client.contract_of(bridgehub, l2).await?,
        };
        if contract.is_zero() {
            let detail = format!("chain {l2} has no contract on chain {id}");
            return Err(UpstreamError::Lie { detail });
        }
        Ok(contract)
    }
}
