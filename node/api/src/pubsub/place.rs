//! How far a subscriber has been told, and the way from there to the newest block.

use lockstep_store::ChainView;
use lockstep_types::{L2BlockHash, L2BlockNumber};

use super::kinds::{Kind, Messages};
use crate::{
    call::Call,
    error::{ApiError, ApiResult},
};

/// The last block that a subscriber was told of, or the newest when it subscribed.
#[derive(Debug)]
pub(super) struct Place {
    /// A view in which the block is there.
    view: ChainView,
    number: L2BlockNumber,
    hash: L2BlockHash,
}

impl Place {
    /// After the newest block.
    pub(super) fn at_head(call: &Call) -> ApiResult<Self> {
        let number = call.head()?;
        let hash = call.header(number)?.hash;
        Ok(Self { view: (*call.view).clone(), number, hash })
    }

    /// Goes on to the newest block that `call` sees: first back over blocks that are not part of
    /// that chain, then forward. Stops on the way when there are enough messages, and then says
    /// `false`.
    pub(super) fn go_on(
        &mut self,
        call: &Call,
        kind: &mut Kind,
        messages: &mut Messages,
    ) -> ApiResult<bool> {
        while !lockstep_io::planted!("X09", self.is_in(call)?, true) {
            if messages.are_enough() {
                return Ok(false);
            }
            let before = call.with_view(self.view.clone());
            let gone = before.header(self.number)?;
            let parent = self.number.prev();
            let parent = parent.ok_or(ApiError::BadAnswer("another genesis"))?;
            kind.removed(&before, gone, messages)?;
            self.hash = before.header(parent)?.hash;
            self.number = parent;
        }
        self.view = (*call.view).clone();
        let head = call.head()?;
        while self.number < head {
            if messages.are_enough() {
                return Ok(false);
            }
            let header = call.header(self.number.next())?;
            let (number, hash) = (header.params.number, header.hash);
            kind.added(call, header, messages)?;
            (self.number, self.hash) = (number, hash);
        }
        Ok(true)
    }

    fn is_in(&self, call: &Call) -> ApiResult<bool> {
        Ok(call.view.block(self.number)?.is_some_and(|header| header.hash == self.hash))
    }
}
