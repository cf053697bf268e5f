//! A network that answers by a script.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures::future;
use lockstep_io::{BodyStream, BoxFuture, EndpointId, Http, HttpRequest, HttpResponse, NetError};

/// Longest chunk in which a body is handed out.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Status 200 and `body`.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }
    }

    /// `status` without a body.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }
}

type Script = dyn Fn(EndpointId, &HttpRequest) -> Result<Answer, NetError> + Send + Sync;

/// Answers every request by a script, at once, and remembers it. Clones share both.
#[derive(Clone)]
pub struct ScriptedHttp(Arc<Inner>);

struct Inner {
    script: Mutex<Arc<Script>>,
    requests: Mutex<Vec<(EndpointId, HttpRequest)>>,
}

impl ScriptedHttp {
    /// A network where `script` answers.
    pub fn new(
        script: impl Fn(EndpointId, &HttpRequest) -> Result<Answer, NetError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner { script: Mutex::new(Arc::new(script)), requests: Mutex::default() }))
    }

    /// A network where nobody answers.
    pub fn refusing() -> Self {
        Self::new(|_, _| Err(NetError::Connect("there is no script".into())))
    }

    /// From now on, `script` answers.
    pub fn set_script(
        &self,
        script: impl Fn(EndpointId, &HttpRequest) -> Result<Answer, NetError> + Send + Sync + 'static,
    ) {
        *self.0.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// What has been asked so far, in order.
    pub fn requests(&self) -> Vec<(EndpointId, HttpRequest)> {
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As [`requests`](Self::requests), and forgets them.
    pub fn take_requests(&self) -> Vec<(EndpointId, HttpRequest)> {
        std::mem::take(&mut self.0.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer(&self, endpoint: EndpointId, request: HttpRequest) -> Result<HttpResponse, NetError> {
        let script = self.0.script.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = script(endpoint, &request);
        let body_bytes_max = request.response_bytes_max;
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner).push((endpoint, request));
        let Answer { status, headers, body } = answer?;
        Ok(HttpResponse { status, headers, body: Box::new(Body::new(&body, body_bytes_max)) })
    }
}

impl fmt::Debug for ScriptedHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedHttp").field("requests", &self.requests().len()).finish()
    }
}

impl Http for ScriptedHttp {
    fn send(
        &self,
        endpoint: EndpointId,
        request: HttpRequest,
    ) -> BoxFuture<'static, Result<HttpResponse, NetError>> {
        let http = self.clone();
        // Asked when polled: a future that is dropped before has asked nothing.
        Box::pin(async move { http.answer(endpoint, request) })
    }
}

/// A body in chunks.
pub(crate) struct Body(VecDeque<Result<Bytes, NetError>>);

impl Body {
    /// The chunks of `body`; of one longer than `bytes_max`, as many as fit, then the error.
    pub(crate) fn new(body: &Bytes, bytes_max: usize) -> Self {
        let fits = body.len().min(bytes_max);
        let starts = (0..fits).step_by(CHUNK_BYTES_MAX);
        let mut chunks: VecDeque<_> =
            starts.map(|at| Ok(body.slice(at..fits.min(at + CHUNK_BYTES_MAX)))).collect();
        if fits < body.len() {
            chunks.push_back(Err(NetError::TooLarge(bytes_max)));
        }
        Self(chunks)
    }
}

impl BodyStream for Body {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, NetError>>> {
        Box::pin(future::ready(self.0.pop_front()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    fn get(path: &str, response_bytes_max: usize) -> HttpRequest {
        let timeout = Duration::from_secs(1);
        HttpRequest { body: None, path: path.into(), timeout, response_bytes_max }
    }

    fn collected(http: &ScriptedHttp, request: HttpRequest) -> Result<Bytes, NetError> {
        let response = http.send(EndpointId(0), request).now_or_never().unwrap()?;
        response.collect().now_or_never().unwrap()
    }

    #[test]
    fn the_script_answers_and_requests_are_remembered() {
        let http = ScriptedHttp::new(|endpoint, request| match endpoint {
            EndpointId(0) => Ok(Answer::ok(request.path.clone())),
            EndpointId(n) => Err(NetError::NoEndpoint(n)),
        });
        assert_eq!(collected(&http, get("/here", 100)), Ok(Bytes::from_static(b"/here")));
        let elsewhere = http.send(EndpointId(3), get("", 100)).now_or_never().unwrap();
        assert_eq!(elsewhere.err(), Some(NetError::NoEndpoint(3)));
        drop(http.send(EndpointId(0), get("never asked", 100)));
        let requests = http.take_requests();
        let asked: Vec<_> = requests.iter().map(|(id, r)| (id.0, r.path.as_str())).collect();
        assert_eq!(asked, [(0, "/here"), (3, "")]);
        assert!(http.requests().is_empty());
    }

    #[test]
    fn a_body_comes_whole_up_to_its_limit_and_fails_beyond() {
        for len in [0, 1, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 3 * CHUNK_BYTES_MAX] {
            let body = Bytes::from(vec![7; len]);
            let scripted = body.clone();
            let http = ScriptedHttp::new(move |_, _| Ok(Answer::ok(scripted.clone())));
            assert_eq!(collected(&http, get("", len)), Ok(body));
            if len > 0 {
                assert_eq!(collected(&http, get("", len - 1)), Err(NetError::TooLarge(len - 1)));
            }
        }
    }
}
