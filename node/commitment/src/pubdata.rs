//! Pubdata of a batch: what must be available for everybody to rebuild the state (from v18 on).

use lockstep_types::L2ToL1Log;

use crate::{state_diffs::list_of, system_logs::serialized};

/// The parts of pubdata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pubdata {
    /// User logs, serialized.
    pub logs: Vec<[u8; L2ToL1Log::BYTES]>,
    /// Messages to L1, in order.
    pub messages: Vec<Vec<u8>>,
    /// Bytecodes that were published, in order.
    pub bytecodes: Vec<Vec<u8>>,
    /// Compressed state diffs.
    pub state_diffs: Vec<u8>,
}

impl Pubdata {
    /// Pubdata that begins with `logs`.
    pub fn with_logs(logs: &[L2ToL1Log]) -> Self {
        let logs = serialized(logs).as_chunks().0.to_vec();
        Self { logs, ..Self::default() }
    }

    /// The bytes that are published.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = list_of(self.logs.len());
        bytes.extend_from_slice(self.logs.as_flattened());
        for list in [&self.messages, &self.bytecodes] {
            bytes.extend(list_of(list.len()));
            for item in list {
                bytes.extend(list_of(item.len()));
                bytes.extend_from_slice(item);
            }
        }
        bytes.extend_from_slice(&self.state_diffs);
        bytes
    }

    /// Reads published bytes; `None` if they end early. State diffs are whatever comes last.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let log_count = count(&mut bytes)?;
        let logs = bytes.split_off(..log_count.checked_mul(L2ToL1Log::BYTES)?)?;
        let logs = logs.as_chunks().0.to_vec();
        let messages = items(&mut bytes)?;
        let bytecodes = items(&mut bytes)?;
        Some(Self { logs, messages, bytecodes, state_diffs: bytes.to_vec() })
    }
}

fn count(bytes: &mut &[u8]) -> Option<usize> {
    let count = bytes.split_off(..4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(count)).ok()
}

fn items(bytes: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let count_of_items = count(bytes)?;
    let mut items = Vec::new();
    for _ in 0..count_of_items {
        let length = count(bytes)?;
        items.push(bytes.split_off(..length)?.to_vec());
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_reads_what_encoding_wrote() {
        let pubdata = Pubdata {
            logs: vec![[1; 88], [2; 88]],
            messages: vec![vec![3; 5], Vec::new()],
            bytecodes: vec![vec![4; 32]],
            state_diffs: vec![5, 6],
        };
        let bytes = pubdata.encode();
        assert_eq!(bytes.len(), 4 + 176 + 4 + 4 + 5 + 4 + 4 + 4 + 32 + 2);
        assert_eq!(Pubdata::decode(&bytes), Some(pubdata));
        for end in 0..bytes.len() - 2 {
            assert_eq!(Pubdata::decode(&bytes[..end]), None, "{end}");
        }
    }

    #[test]
    fn an_absurd_count_is_no_pubdata() {
        assert_eq!(Pubdata::decode(&[0xff; 100]), None);
    }
}
