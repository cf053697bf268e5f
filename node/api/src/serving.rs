//! Which methods are served, and how large and how long an answer may be.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// Which methods are served, and how large and how long an answer may be. The limits of a single
/// method's work are in [`ApiConfig`](crate::ApiConfig); those of connections, bodies and batches
/// are the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Methods of other namespaces are not there: code −32601.
    pub namespaces: Namespaces,
    /// Bytes of a result; a longer one becomes an error with code −32008. The reference node's
    /// `max_response_body_size`.
    pub response_bytes_max: usize,
    /// The same for single methods, by name; the reference node's `max_response_body_size_overrides`.
    pub response_bytes_max_of: BTreeMap<String, usize>,
    /// A request that is not answered after this long gets an error with code 503; `None`: it may
    /// take as long as the limits of its kind let it. The reference node's `request_timeout`.
    pub request_time_max: Option<Duration>,
    /// Requests that read a few rows, at once. Others wait.
    pub reads_max: usize,
    /// Requests that read many rows, at once: logs, proofs, everything that looks through blocks.
    /// Others wait.
    pub scans_max: usize,
    /// How long a request waits for its turn before it gets an error with code 503.
    pub wait_max: Duration,
}

impl Default for Serving {
    /// Every namespace; 10 MiB; no limit of time; 16 reads and 4 scans, for which 10 s are waited.
    fn default() -> Self {
        Self {
            namespaces: Namespaces::all(),
            response_bytes_max: 10 << 20,
            response_bytes_max_of: BTreeMap::new(),
            request_time_max: None,
            reads_max: 16,
            scans_max: 4,
            wait_max: Duration::from_secs(10),
        }
    }
}

impl Serving {
    /// Bytes of a result of `method`.
    pub fn response_bytes_max(&self, method: &str) -> usize {
        self.response_bytes_max_of.get(method).copied().unwrap_or(self.response_bytes_max)
    }

    /// Bytes of the longest result there can be.
    pub fn response_bytes_max_of_any(&self) -> usize {
        let overrides = self.response_bytes_max_of.values().copied();
        overrides.fold(self.response_bytes_max, usize::max)
    }
}

/// What methods that belong together are switched on and off by, in the order of [`ALL`].
const ALL: [&str; 12] = [
    "eth",
    "net",
    "web3",
    "zks",
    "en",
    "pubsub",
    "debug",
    "snapshots",
    "unstable",
    "txpool",
    "trace",
    "ots",
];

/// A set of namespaces, written as `eth,net,…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces(u16);

/// There is no such namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no API namespace `{0}`: use {all}", all = ALL.join(","))]
pub struct UnknownNamespace(String);

impl Namespaces {
    /// Every namespace.
    pub fn all() -> Self {
        Self((1 << ALL.len()) - 1)
    }

    /// Whether the namespace of `method` is in the set. Methods without a namespace always are.
    pub fn have(self, method: &str) -> bool {
        let prefix = match method {
            // Clients that cannot subscribe have no use for the rest of it.
            "eth_subscribe" | "eth_unsubscribe" => "pubsub",
            method => method.split_once('_').map_or("", |(prefix, _)| prefix),
        };
        bit(prefix).is_none_or(|bit| self.0 & bit != 0)
    }
}

fn bit(namespace: &str) -> Option<u16> {
    let index = ALL.iter().position(|name| *name == namespace)?;
    Some(1 << index)
}

impl FromStr for Namespaces {
    type Err = UnknownNamespace;

    fn from_str(list: &str) -> Result<Self, UnknownNamespace> {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        names
            .map(|name| bit(name).ok_or_else(|| UnknownNamespace(name.to_owned())))
            .try_fold(Self(0), |set, bit| Ok(Self(set.0 | bit?)))
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ALL.iter().filter(|name| bit(name).is_some_and(|bit| self.0 & bit != 0));
        f.write_str(&names.copied().collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_read_as_they_are_written() {
        let some: Namespaces = " eth, pubsub,,ots".parse().unwrap();
        assert_eq!(some.to_string(), "eth,pubsub,ots");
        assert!(some.have("eth_call") && some.have("eth_subscribe") && some.have("ots_x"));
        assert!(!some.have("zks_getProof") && !some.have("net_version"));
        let eth: Namespaces = "eth".parse().unwrap();
        assert!(!eth.have("eth_subscribe") && !eth.have("eth_unsubscribe"));
        assert_eq!(Namespaces::all().to_string().parse(), Ok(Namespaces::all()));
        let error = "eth,nope".parse::<Namespaces>().unwrap_err().to_string();
        assert!(error.contains("`nope`") && error.contains("eth,net,web3"), "{error}");
    }
}
