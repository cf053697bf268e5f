//! Current prices, as the main node tells them.

use std::time::Duration;

use lockstep_api::CurrentFees;
use lockstep_io::Io;
use lockstep_pipeline::StageError;
use lockstep_upstream::{MainNode, UpstreamError};
use tokio::sync::watch;
use tracing::{info, warn};

/// How often prices are asked for.
const INTERVAL: Duration = Duration::from_secs(5);

/// Asks the main node for current prices. While it does not answer, the last ones stay.
#[derive(Clone, Debug)]
pub(crate) struct FeeWatcher {
    main_node: MainNode,
    io: Io,
    fees: watch::Sender<Option<CurrentFees>>,
}

impl FeeWatcher {
    pub(crate) fn new(
        io: &Io,
        main_node: MainNode,
        fees: watch::Sender<Option<CurrentFees>>,
    ) -> Self {
        Self { main_node, io: io.clone(), fees }
    }

    /// Runs until it is dropped. Nothing that happens to prices stops anything else.
    pub(crate) async fn run(self) -> StageError {
        let mut is_known = true;
        loop {
            match self.ask().await {
                Ok(fees) => {
                    if !is_known {
                        info!("the main node tells its prices again");
                    }
                    is_known = true;
                    self.fees.send_replace(Some(fees));
                }
                Err(error) => {
                    if is_known {
                        warn!(%error, "the main node does not tell its prices; the last ones stay");
                    }
                    is_known = false;
                }
            }
            self.io.clock.sleep(INTERVAL).await;
        }
    }

    async fn ask(&self) -> Result<CurrentFees, UpstreamError> {
        let input = self.main_node.batch_fee_input().await?;
        let params = self.main_node.fee_params().await?;
        Ok(CurrentFees { input, params: Some(params) })
    }
}
