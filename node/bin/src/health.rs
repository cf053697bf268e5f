//! `GET /health`: 200 while blocks are followed, 503 with the reason while they are not.

use std::sync::Arc;

use lockstep_io_net::{HealthAnswer, HealthHandler};
use lockstep_replica::Status;
use serde_json::json;

const JSON: &str = "application/json";

/// Answers from `status`.
pub(crate) fn handler(status: impl Fn() -> Status + Send + Sync + 'static) -> HealthHandler {
    Arc::new(move |path| match path {
        "/health" | "/" => answer(&status()),
        _ => (404, "text/plain; charset=utf-8", "there is /health\n".to_owned()),
    })
}

fn answer(status: &Status) -> HealthAnswer {
    let version = env!("CARGO_PKG_VERSION");
    match status {
        Status::Running => (200, JSON, json!({"status": "ready", "version": version}).to_string()),
        Status::Halted { code, reason } => {
            let body = json!({
                "status": "affected", "version": version, "code": code, "reason": reason,
            });
            (503, JSON, body.to_string())
        }
        Status::Stopping => {
            (503, JSON, json!({"status": "shutting_down", "version": version}).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_is_unhealthy_and_says_why() {
        assert_eq!(answer(&Status::Running).0, 200);
        let halted = Status::Halted { code: "root_mismatch", reason: "batch 3".to_owned() };
        let (status, _, body) = answer(&halted);
        assert_eq!(status, 503);
        assert!(body.contains("root_mismatch") && body.contains("batch 3"), "{body}");
    }
}
