//! The log.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Makes the process log to stderr what `filter` lets through.
///
/// # Errors
///
/// If `filter` cannot be understood.
pub(crate) fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let parsed = EnvFilter::builder()
        .parse(filter)
        .with_context(|| format!("--log {filter:?} is not `level` or `target=level,…`"))?;
    let log = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            log.with_target(false)
                .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
                .init();
        }
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
