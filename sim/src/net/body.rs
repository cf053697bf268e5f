//! A body as it comes: in chunks, late, cut, without an end.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use lockstep_io::{BodyStream, BoxFuture, HttpRequest, NetError, race};

use super::{Record, fault::BodyFate};
use crate::{
    exec::Executor,
    judge::ExchangeEnd,
    model::{Answer, Tag},
};

/// Longest chunk in which a body is handed out.
const CHUNK_BYTES_MAX: usize = 16 << 10;

/// A body on its way.
pub(super) struct SimBody {
    executor: Executor,
    record: Record,
    status: u16,
    tag: Tag,
    chunks: VecDeque<Bytes>,
    /// Comes after the chunks.
    end: Option<NetError>,
    pause: Duration,
    deadline: Duration,
    bytes_left: usize,
    bytes_max: usize,
    endless: bool,
    got: BytesMut,
    is_over: bool,
}

impl SimBody {
    pub(super) fn new(
        executor: Executor,
        record: Record,
        answer: Answer,
        fate: &BodyFate,
        deadline: Duration,
        request: HttpRequest,
    ) -> Self {
        let Answer { status, headers: _, body, tag } = answer;
        let (mut pause, mut end, mut endless, mut chunk_bytes) =
            (Duration::ZERO, None, false, CHUNK_BYTES_MAX);
        let mut length = body.len();
        match *fate {
            BodyFate::Whole => {}
            BodyFate::Cut { thousandths, cleanly } => {
                length = length * usize::try_from(thousandths).unwrap_or(0) / 1_000;
                end = (!cleanly).then(|| NetError::Reset("in the middle of the body".to_owned()));
            }
            BodyFate::Trickling => (pause, chunk_bytes) = (Duration::from_secs(1), 1),
            BodyFate::Oversized => endless = true,
        }
        let starts = (0..length).step_by(chunk_bytes);
        let chunks = starts.map(|at| body.slice(at..length.min(at + chunk_bytes))).collect();
        let bytes_max = request.response_bytes_max;
        Self {
            executor,
            record,
            status,
            tag,
            chunks,
            end,
            pause,
            deadline,
            bytes_left: bytes_max,
            bytes_max,
            endless,
            got: BytesMut::new(),
            is_over: false,
        }
    }

    async fn step(&mut self) -> Option<Result<Bytes, NetError>> {
        if self.is_over {
            return None;
        }
        if self.pause > Duration::ZERO {
            let pause = self.executor.sleep(self.pause);
            let late = race(self.executor.sleep_until(self.deadline), pause).await;
            if let lockstep_io::First::Left(()) = late {
                return Some(Err(self.fail(NetError::TimedOut)));
            }
        }
        let chunk = match self.chunks.pop_front() {
            Some(chunk) => chunk,
            None if self.endless => {
                Bytes::from(vec![b' '; CHUNK_BYTES_MAX.min(self.bytes_left + 1)])
            }
            None => match self.end.take() {
                Some(error) => return Some(Err(self.fail(error))),
                None => {
                    self.finish();
                    return None;
                }
            },
        };
        if chunk.len() > self.bytes_left {
            return Some(Err(self.fail(NetError::TooLarge(self.bytes_max))));
        }
        self.bytes_left -= chunk.len();
        if self.endless {
            // A body of the largest size is not worth being made byte by byte.
            self.bytes_left = self.bytes_left.min(2 * CHUNK_BYTES_MAX);
        }
        self.got.extend_from_slice(&chunk);
        Some(Ok(chunk))
    }

    fn fail(&mut self, error: NetError) -> NetError {
        self.is_over = true;
        self.record.fail(error)
    }

    fn finish(&mut self) {
        self.is_over = true;
        let body = std::mem::take(&mut self.got).freeze();
        let (tag, faults) = (self.tag.clone(), std::mem::take(&mut self.record.faults));
        self.record.tell(ExchangeEnd::Answered { status: self.status, body, tag, faults });
    }
}

impl BodyStream for SimBody {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, NetError>>> {
        self.step().boxed()
    }
}
