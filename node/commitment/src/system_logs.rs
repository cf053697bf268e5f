//! What the system contracts tell L1 about a batch (from v18 on).

use lockstep_types::{Address, B256, L2ToL1Log, ProtocolVersion, U256, address, keccak256};

/// Something that a system log can say. Sender and key tell which; both depend on the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemLog {
    /// Root of the tree over user logs.
    LogsRoot,
    /// Keccak-256 of the pubdata (before v26).
    PubdataHash,
    /// Hash of the state diffs (before v26).
    StateDiffsHash,
    /// Timestamps of the batch and of its last block, sixteen bytes each.
    Timestamps,
    /// Root of the batch before.
    PreviousRoot,
    /// Chain over the priority operations.
    PriorityOpsHash,
    /// Number of priority operations.
    L1TxCount,
    /// What the DA validator on L2 returned (from v26 on).
    DaOutputHash,
    /// The DA validator on L2 (from v26 on).
    DaValidator,
    /// Chain over how the transactions ended (from v29 on).
    StatusHash,
    /// Hash of the upgrade transaction, in a batch that begins with one.
    UpgradeTxHash,
}

impl SystemLog {
    /// Who sends the log.
    pub fn sender(self) -> Address {
        match self {
            Self::LogsRoot
            | Self::PubdataHash
            | Self::StateDiffsHash
            | Self::DaOutputHash
            | Self::DaValidator => address::L1_MESSENGER,
            Self::Timestamps | Self::PreviousRoot => address::SYSTEM_CONTEXT,
            Self::PriorityOpsHash | Self::L1TxCount | Self::StatusHash | Self::UpgradeTxHash => {
                address::BOOTLOADER
            }
        }
    }

    /// The log's key; `None` if the version has no such log.
    pub fn key(self, version: ProtocolVersion) -> Option<u8> {
        if version < ProtocolVersion::BOOJUM {
            return None;
        }
        let is_gateway = version >= ProtocolVersion::GATEWAY;
        match self {
            Self::LogsRoot => Some(0),
            Self::PreviousRoot => Some(4),
            Self::PubdataHash => (!is_gateway).then_some(1),
            Self::StateDiffsHash => (!is_gateway).then_some(2),
            Self::Timestamps => Some(if is_gateway { 1 } else { 3 }),
            Self::PriorityOpsHash => Some(if is_gateway { 2 } else { 5 }),
            Self::L1TxCount => Some(if is_gateway { 3 } else { 6 }),
            Self::DaOutputHash => is_gateway.then_some(5),
            Self::DaValidator => is_gateway.then_some(6),
            Self::StatusHash => (version.0 >= 29).then_some(8),
            Self::UpgradeTxHash => Some(match version.0 {
                0..=20 | 26..=28 => 7,
                21 | 22 | 29.. => 9,
                23..=25 => 13,
            }),
        }
    }

    /// What `logs` say; `None` if they do not.
    pub fn find(self, logs: &[L2ToL1Log], version: ProtocolVersion) -> Option<B256> {
        let key = B256::from(U256::from(self.key(version)?));
        let log = logs.iter().find(|log| log.sender == self.sender() && log.key == key)?;
        Some(log.value)
    }
}

/// Hash of a batch's system logs, in order of emission.
pub fn system_logs_hash(logs: &[L2ToL1Log]) -> B256 {
    keccak256(serialized(logs))
}

/// Logs one after the other.
pub(crate) fn serialized(logs: &[L2ToL1Log]) -> Vec<u8> {
    logs.iter().flat_map(L2ToL1Log::to_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_known_by_its_sender_too() {
        let log = |sender, value| L2ToL1Log {
            shard_id: 0,
            is_service: true,
            tx_index_in_batch: 0,
            sender,
            key: B256::with_last_byte(4),
            value: B256::with_last_byte(value),
        };
        let logs = [log(address::L1_MESSENGER, 1), log(address::SYSTEM_CONTEXT, 2)];
        let found = SystemLog::PreviousRoot.find(&logs, ProtocolVersion(29));
        assert_eq!(found, Some(B256::with_last_byte(2)));
        assert_eq!(SystemLog::LogsRoot.find(&logs, ProtocolVersion(29)), None);
        assert_eq!(SystemLog::PreviousRoot.find(&logs, ProtocolVersion(17)), None);
        assert_eq!(SystemLog::PubdataHash.key(ProtocolVersion(26)), None);
    }
}
