//! Reports in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lockstep_io::{ReportError, Reports, is_report_name};

/// Reports in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryReports(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    reports: BTreeMap<String, Vec<u8>>,
    is_full: bool,
}

impl MemoryReports {
    /// No reports yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All reports by name.
    pub fn all(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().reports.clone()
    }

    /// Has every later report refused, as a full disk does, or taken again.
    pub fn refuse(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reports for MemoryReports {
    fn write(&self, name: &str, content: &[u8]) -> Result<String, ReportError> {
        let mut state = self.state();
        if !is_report_name(name) {
            return Err(ReportError::BadName(name.to_owned()));
        }
        if state.is_full {
            let reason = "no space left".to_owned();
            return Err(ReportError::Failed { name: name.to_owned(), reason });
        }
        if state.reports.contains_key(name) {
            return Err(ReportError::Exists(name.to_owned()));
        }
        state.reports.insert(name.to_owned(), content.to_vec());
        Ok(format!("reports/{name}"))
    }
}
