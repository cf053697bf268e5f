//! `GET /health`: 200 while blocks are followed, 503 with the reason while they are not. Either way
//! it says how full the VM's caches are.

use std::sync::Arc;

use lockstep_io_net::{HealthAnswer, HealthHandler};
use lockstep_replica::Status;
use lockstep_vm_era::VmCaches;
use serde_json::json;

const JSON: &str = "application/json";

/// Answers from `status`.
pub(crate) fn handler(
    status: impl Fn() -> (Status, VmCaches) + Send + Sync + 'static,
) -> HealthHandler {
    Arc::new(move |path| match path {
        "/health" | "/" => {
            let (status, caches) = status();
            answer(&status, caches)
        }
        _ => (404, "text/plain; charset=utf-8", "there is /health\n".to_owned()),
    })
}

fn answer(status: &Status, caches: VmCaches) -> HealthAnswer {
    let VmCaches { programs, idle_machines } = caches;
    let mut body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "caches": {
            "programs": {
                "count": programs.programs, "bytes": programs.bytes,
                "bytesMax": programs.bytes_max, "hits": programs.hits, "misses": programs.misses,
            },
            "idleMachines": {"count": idle_machines, "countMax": VmCaches::IDLE_MACHINES_MAX},
        },
    });
    let code = match status {
        Status::Running => {
            body["status"] = json!("ready");
            200
        }
        Status::Halted { code, reason } => {
            body["status"] = json!("affected");
            body["code"] = json!(code);
            body["reason"] = json!(reason);
            503
        }
        Status::Stopping => {
            body["status"] = json!("shutting_down");
            503
        }
    };
    (code, JSON, body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_is_unhealthy_and_says_why() {
        let caches = VmCaches::default();
        let (status, _, body) = answer(&Status::Running, caches);
        assert_eq!(status, 200);
        assert!(body.contains("\"ready\"") && body.contains("\"bytesMax\":0"), "{body}");
        let halted = Status::Halted { code: "root_mismatch", reason: "batch 3".to_owned() };
        let (status, _, body) = answer(&halted, caches);
        assert_eq!(status, 503);
        assert!(body.contains("root_mismatch") && body.contains("batch 3"), "{body}");
    }
}
