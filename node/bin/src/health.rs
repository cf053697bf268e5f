//! `GET /health` in the shape of the reference node: 200 while blocks are followed, 503 with the
//! reason while they are not. Either way it says how full the VM's caches are.

use std::sync::Arc;

use lockstep_io_net::{HealthAnswer, HealthHandler};
use lockstep_replica::{Observed, Observer, Status};
use lockstep_vm_era::VmCaches;
use serde_json::{Value, json};

const JSON: &str = "application/json";

/// Answers from what `observer` sees and what `caches` says.
pub(crate) fn handler(
    observer: Observer,
    caches: impl Fn() -> VmCaches + Send + Sync + 'static,
) -> HealthHandler {
    Arc::new(move |path| match path {
        "/health" | "/" => match observer.observe() {
            Ok(observed) => answer(&observed, caches()),
            Err(fault) => {
                let body = json!({
                    "status": "panicked", "code": "store", "reason": fault.to_string(),
                });
                (503, JSON, body.to_string())
            }
        },
        _ => (404, "text/plain; charset=utf-8", "there is /health\n".to_owned()),
    })
}

/// The node as a whole, then its components. The whole is as healthy as blocks are followed: a node
/// that is behind serves what it has.
fn answer(observed: &Observed, caches: VmCaches) -> HealthAnswer {
    let VmCaches { programs, idle_machines } = caches;
    let version = env!("CARGO_PKG_VERSION");
    let mut body = json!({
        "details": {"name": "lockstep", "version": version},
        "version": version,
        "components": components(observed),
        "caches": {
            "programs": {
                "count": programs.programs, "bytes": programs.bytes,
                "bytesMax": programs.bytes_max, "hits": programs.hits, "misses": programs.misses,
            },
            "idleMachines": {"count": idle_machines, "countMax": VmCaches::IDLE_MACHINES_MAX},
        },
    });
    let status = match &observed.status {
        Status::Running => {
            body["status"] = json!("ready");
            200
        }
        Status::Halted { code, reason } => {
            body["status"] = json!("not_ready");
            body["code"] = json!(code);
            body["reason"] = json!(reason);
            503
        }
        Status::Stopping => {
            body["status"] = json!("shutting_down");
            503
        }
    };
    (status, JSON, body.to_string())
}

fn components(observed: &Observed) -> Value {
    let Observed { status, tip, head, is_in_step, .. } = observed;
    let (api, writes) = match status {
        Status::Running => ("ready", "ready"),
        Status::Halted { .. } => ("ready", "not_ready"),
        Status::Stopping => ("shutting_down", "shutting_down"),
    };
    let reached = |batch: Option<lockstep_types::L1BatchNumber>| json!({"status": writes, "details": {"l1_batch": batch.map(|batch| batch.0)}});
    json!({
        "http_api": {"status": api},
        "ws_api": {"status": api},
        "sync_state": {
            "status": if *is_in_step { "ready" } else { "affected" },
            "details": {
                "is_synced": is_in_step,
                "main_node_block": tip.map(|tip| tip.0),
                "local_block": head.map(|head| head.0),
            },
        },
        "state_keeper": reached(observed.sealed_batch),
        "commitment_generator": reached(observed.commitment_batch),
        "consistency_checker": reached(observed.l1_checked_batch),
        "reorg_detector": reached(observed.agreed_batch),
        "transaction_finality_updater": reached(observed.final_batch),
    })
}

#[cfg(test)]
mod tests {
    use lockstep_types::{L1BatchNumber, L2BlockNumber};

    use super::*;

    fn observed(status: Status) -> Observed {
        Observed {
            status,
            tip: Some(L2BlockNumber(100)),
            head: Some(L2BlockNumber(7)),
            is_in_step: false,
            sealed_batch: Some(L1BatchNumber(2)),
            agreed_batch: Some(L1BatchNumber(1)),
            commitment_batch: None,
            compared_batch: None,
            l1_checked_batch: None,
            final_batch: Some(L1BatchNumber(0)),
        }
    }

    fn said(status: Status) -> (u16, Value) {
        let (code, _, body) = answer(&observed(status), VmCaches::default());
        (code, serde_json::from_str(&body).unwrap())
    }

    #[test]
    fn a_halt_is_unhealthy_and_says_why() {
        let halted = Status::Halted { code: "root_mismatch", reason: "batch 3".to_owned() };
        let (status, body) = said(halted);
        assert_eq!(status, 503);
        assert_eq!(
            (&body["status"], &body["code"]),
            (&json!("not_ready"), &json!("root_mismatch"))
        );
        assert_eq!(body["reason"], "batch 3");
        assert_eq!(body["components"]["http_api"]["status"], "ready");
    }

    #[test]
    fn a_node_that_is_behind_serves_what_it_has_and_says_that_it_is_behind() {
        let (status, body) = said(Status::Running);
        assert_eq!((status, &body["status"]), (200, &json!("ready")));
        let sync = &body["components"]["sync_state"];
        let details = json!({"is_synced": false, "main_node_block": 100, "local_block": 7});
        assert_eq!((&sync["status"], &sync["details"]), (&json!("affected"), &details));
        assert_eq!(body["caches"]["programs"]["bytesMax"], 0);
        assert_eq!(body["components"]["state_keeper"]["details"]["l1_batch"], 2);
        assert_eq!(said(Status::Stopping).0, 503);
    }
}
