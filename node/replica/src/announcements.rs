//! What only the main node can say of its chain, asked for again and again.

use std::time::Duration;

use lockstep_api::Announced;
use lockstep_io::Io;
use lockstep_pipeline::StageError;
use lockstep_upstream::MainNode;
use tokio::sync::watch;
use tracing::{debug, info};

/// How often it is asked for.
const INTERVAL: Duration = Duration::from_secs(30);
/// The same, while the main node does not answer.
const INTERVAL_WITHOUT_ANSWER: Duration = Duration::from_secs(5);

/// Asks the main node what only it can say. While it does not answer, what it said last stays.
#[derive(Clone, Debug)]
pub(crate) struct AnnouncementWatcher {
    main_node: MainNode,
    io: Io,
    announced: watch::Sender<Announced>,
}

impl AnnouncementWatcher {
    pub(crate) fn new(io: &Io, main_node: MainNode, announced: watch::Sender<Announced>) -> Self {
        Self { main_node, io: io.clone(), announced }
    }

    /// Runs until it is dropped. Nothing that the main node says here stops anything else.
    pub(crate) async fn run(self) -> StageError {
        loop {
            let mut said = self.announced.borrow().clone();
            let pause = match self.main_node.announcements(&mut said).await {
                Ok(()) => {
                    self.announced.send_if_modified(|announced| {
                        let is_new = *announced != said;
                        if is_new {
                            info!("the main node announced addresses of its chain");
                            *announced = said;
                        }
                        is_new
                    });
                    INTERVAL
                }
                Err(error) => {
                    debug!(%error, "the main node announces nothing; what it said last stays");
                    INTERVAL_WITHOUT_ANSWER
                }
            };
            self.io.clock.sleep(pause).await;
        }
    }
}
