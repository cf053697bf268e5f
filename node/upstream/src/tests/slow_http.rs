//! A network that takes its time.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use lockstep_io::{
    BodyStream, BoxFuture, Clock, EndpointId, Http, HttpRequest, HttpResponse, NetError,
};

/// An answer that comes slowly.
#[derive(Clone, Debug)]
pub(super) struct Slow {
    /// Until the head is there; `None` if it never is.
    pub(super) head: Option<Duration>,
    /// Until each next chunk is there, and the chunk.
    pub(super) chunks: VecDeque<(Duration, Bytes)>,
    /// What follows for ever.
    pub(super) rest: Option<(Duration, Bytes)>,
}

impl Slow {
    pub(super) fn after(head: Duration, body: impl Into<Bytes>) -> Self {
        let chunks = [(Duration::ZERO, body.into())].into();
        Self { head: Some(head), chunks, rest: None }
    }
}

type Script = dyn Fn(usize, &HttpRequest) -> Slow + Send + Sync;

/// How many exchanges there are.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) now: usize,
    pub(super) most: usize,
    pub(super) total: usize,
}

/// A network that takes its time.
#[derive(Clone)]
pub(super) struct SlowHttp {
    clock: Arc<dyn Clock>,
    script: Arc<Script>,
    pub(super) load: Arc<Mutex<Load>>,
}

impl SlowHttp {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        script: impl Fn(usize, &HttpRequest) -> Slow + Send + Sync + 'static,
    ) -> Self {
        Self { clock, script: Arc::new(script), load: Arc::default() }
    }
}

impl fmt::Debug for SlowHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlowHttp")
    }
}

/// Counts an exchange as long as it lives.
struct Counted(Arc<Mutex<Load>>);

impl Counted {
    fn new(load: &Arc<Mutex<Load>>) -> Self {
        let mut counts = load.lock().unwrap();
        counts.now += 1;
        counts.total += 1;
        counts.most = counts.most.max(counts.now);
        Self(load.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.lock().unwrap().now -= 1;
    }
}

impl Http for SlowHttp {
    fn send(
        &self,
        endpoint: EndpointId,
        request: HttpRequest,
    ) -> BoxFuture<'static, Result<HttpResponse, NetError>> {
        let http = self.clone();
        Box::pin(async move {
            let counted = Counted::new(&http.load);
            let answer = (http.script)(endpoint.0, &request);
            let Some(head) = answer.head else { return futures::future::pending().await };
            http.clock.sleep(head).await;
            let body = SlowBody { clock: http.clock, answer, _counted: counted };
            Ok(HttpResponse { status: 200, headers: Vec::new(), body: Box::new(body) })
        })
    }
}

struct SlowBody {
    clock: Arc<dyn Clock>,
    answer: Slow,
    _counted: Counted,
}

impl BodyStream for SlowBody {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, NetError>>> {
        Box::pin(async {
            let (pause, chunk) =
                self.answer.chunks.pop_front().or_else(|| self.answer.rest.clone())?;
            self.clock.sleep(pause).await;
            Some(Ok(chunk))
        })
    }
}
