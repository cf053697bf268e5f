//! `GET /metrics` in Prometheus' text format. Names that dashboards of the reference node use are
//! there for what both have; the rest begins with `lockstep_`.

use std::{fmt::Write as _, fs, sync::Arc};

use lockstep_api::{ApiStats, MethodCount, TIME_BUCKETS_S};
use lockstep_io_net::HealthHandler;
use lockstep_replica::{Observed, Observer, Status};
use lockstep_types::L1BatchNumber;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers from what `observer` sees and what the API has counted.
pub(crate) fn handler(observer: Observer, api: ApiStats) -> HealthHandler {
    Arc::new(move |path| match path {
        "/metrics" | "/" => match observer.observe() {
            Ok(observed) => (200, TEXT, text(&observed, &observer.table_bytes(), &api)),
            Err(fault) => (503, "text/plain; charset=utf-8", format!("{fault}\n")),
        },
        _ => (404, "text/plain; charset=utf-8", "there is /metrics\n".to_owned()),
    })
}

/// Collects lines.
#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes everything");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.family(name, kind, help);
            self.line(format_args!("{name} {value}"));
        }
    }
}

fn text(observed: &Observed, tables: &[(&'static str, u64)], api: &ApiStats) -> String {
    let mut page = Page::default();
    chain(&mut page, observed);
    page.family("lockstep_disk_bytes", "gauge", "Approximate bytes on disk, by table.");
    for (table, bytes) in tables {
        page.line(format_args!("lockstep_disk_bytes{{table=\"{table}\"}} {bytes}"));
    }
    let help = "Bytes of memory that the process holds.";
    page.single("process_resident_memory_bytes", "gauge", help, resident_bytes());
    calls(&mut page, &api.by_method());
    let help = "Subscriptions that are open.";
    page.single("lockstep_api_subscriptions", "gauge", help, Some(api.subscriptions()));
    let help = "Subscriptions that were dropped because their client was too slow.";
    let slow = api.slow_subscribers();
    page.single("lockstep_api_slow_subscribers_total", "counter", help, Some(slow));
    let (forwarded, refused) = api.forwarded_and_refused();
    let help = "Transactions that the main node took from here.";
    page.single("lockstep_transactions_forwarded_total", "counter", help, Some(forwarded));
    let help = "Transactions that were refused, here or by the main node.";
    page.single("lockstep_transactions_refused_total", "counter", help, Some(refused));
    page.0
}

fn chain(page: &mut Page, observed: &Observed) {
    let Observed { status, tip, head, is_in_step, .. } = observed;
    let is_halted = matches!(status, Status::Halted { .. });
    let help = "1 if writes are halted.";
    page.single("lockstep_halted", "gauge", help, Some(u64::from(is_halted)));
    let help = "1 if the newest block is as good as the main node's newest.";
    page.single("external_node_synced", "gauge", help, Some(u64::from(*is_in_step)));
    let lag = tip.zip(*head).map(|(tip, head)| u64::from(tip.0.saturating_sub(head.0)));
    page.single("external_node_sync_lag", "gauge", "Blocks behind the main node.", lag);
    let help = "The newest block of the main node.";
    page.single("lockstep_tip_block", "gauge", help, tip.map(|tip| u64::from(tip.0)));
    if let Some(head) = head {
        page.family("server_miniblock_number", "gauge", "The newest block.");
        page.line(format_args!("server_miniblock_number{{stage=\"sealed\"}} {}", head.0));
    }
    let help = "The newest batch that has come so far.";
    page.family("server_block_number", "gauge", help);
    let stages: [(&str, Option<L1BatchNumber>); 6] = [
        ("sealed", observed.sealed_batch),
        ("agreed", observed.agreed_batch),
        ("commitment_computed", observed.commitment_batch),
        ("commitment_agreed", observed.compared_batch),
        ("l1_checked", observed.l1_checked_batch),
        ("l1_executed", observed.final_batch),
    ];
    for (stage, batch) in stages {
        if let Some(batch) = batch {
            page.line(format_args!("server_block_number{{stage=\"{stage}\"}} {}", batch.0));
        }
    }
}

fn calls(page: &mut Page, by_method: &std::collections::BTreeMap<&'static str, MethodCount>) {
    const NAME: &str = "api_web3_call";
    page.family(NAME, "histogram", "Seconds that calls took, by method.");
    for (method, count) in by_method {
        let mut so_far = 0;
        for (index, calls) in count.by_time.iter().enumerate() {
            so_far += calls;
            let bound = TIME_BUCKETS_S.get(index).map_or("+Inf".to_owned(), f64::to_string);
            let labels = format!("{{method=\"{method}\",le=\"{bound}\"}}");
            page.line(format_args!("{NAME}_bucket{labels} {so_far}"));
        }
        let seconds = count.time.as_secs_f64();
        page.line(format_args!("{NAME}_sum{{method=\"{method}\"}} {seconds}"));
        page.line(format_args!("{NAME}_count{{method=\"{method}\"}} {}", count.calls));
    }
    const ERRORS: &str = "lockstep_api_errors_total";
    page.family(ERRORS, "counter", "Calls that ended with an error, by method.");
    for (method, count) in by_method.iter().filter(|(_, count)| count.errors != 0) {
        page.line(format_args!("{ERRORS}{{method=\"{method}\"}} {}", count.errors));
    }
}

/// As the kernel says; `None` where it does not say.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use lockstep_types::L2BlockNumber;

    use super::*;

    #[test]
    fn numbers_are_lines_that_prometheus_can_read() {
        let observed = Observed {
            status: Status::Running,
            tip: Some(L2BlockNumber(100)),
            head: Some(L2BlockNumber(7)),
            is_in_step: false,
            sealed_batch: Some(L1BatchNumber(2)),
            agreed_batch: None,
            commitment_batch: None,
            compared_batch: None,
            l1_checked_batch: None,
            final_batch: Some(L1BatchNumber(0)),
        };
        let text = text(&observed, &[("blocks", 5)], &ApiStats::default());
        for line in [
            "external_node_sync_lag 93",
            "external_node_synced 0",
            "server_miniblock_number{stage=\"sealed\"} 7",
            "server_block_number{stage=\"sealed\"} 2",
            "lockstep_disk_bytes{table=\"blocks\"} 5",
            "lockstep_transactions_forwarded_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("agreed"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
        assert!(resident_bytes().is_some_and(|bytes| bytes > 0));
    }
}
