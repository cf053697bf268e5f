//! Lies of the main node: each changes an honest answer, so that it reads well and is not true.

use lockstep_types::B256;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Dice,
    chain::Chain,
    view::{View, step_time},
};

/// How the main node lies; names begin with the class of the lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LieKind {
    /// A block has another hash.
    B1Hash,
    /// A block has the hash of the one before.
    B1HashOfOther,
    /// A block has no hash.
    B1NoHash,
    /// A block is another one, whole.
    B1OtherBlock,
    /// A transaction is missing.
    B2Dropped,
    /// A transaction is there twice.
    B2Twice,
    /// Two transactions are in the wrong order.
    B2Swapped,
    /// A transaction of an earlier block is there again.
    B2Added,
    /// A field of a transaction is another one.
    B2Field,
    /// A signature is another one.
    B2Signature,
    /// A block is of another batch.
    B3Batch,
    /// A block ends its batch or does not.
    B3LastInBatch,
    /// A block is of another time.
    B3Timestamp,
    /// A block says nothing of pubdata.
    B3PubdataParams,
    /// A batch has another root.
    B4Root,
    /// The code of a base system contract is not what its hash says.
    B5Bytecode,
    /// A block is of another version.
    B5Version,
    /// A block has other base system contracts.
    B5Contracts,
    /// Every other answer is of another chain.
    B6Equivocation,
    /// Everything is of another chain, which is as good as the true one.
    B7Fork,
    /// A batch is said to be committed, proven and executed, by transactions that L1 does not have.
    B8Steps,
    /// As that, by transactions of another batch.
    B8StepsOfOther,
    /// A block has a very long transaction.
    B10Huge,
}

/// How a lie can be told to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detectable {
    /// By the answer alone.
    AtOnce,
    /// By running the block, or by comparing the root.
    ByRunning,
    /// Only by L1 or by others who do not lie.
    ByOthers,
}

impl LieKind {
    /// Every kind.
    pub const ALL: [Self; 23] = [
        Self::B1Hash,
        Self::B1HashOfOther,
        Self::B1NoHash,
        Self::B1OtherBlock,
        Self::B2Dropped,
        Self::B2Twice,
        Self::B2Swapped,
        Self::B2Added,
        Self::B2Field,
        Self::B2Signature,
        Self::B3Batch,
        Self::B3LastInBatch,
        Self::B3Timestamp,
        Self::B3PubdataParams,
        Self::B4Root,
        Self::B5Bytecode,
        Self::B5Version,
        Self::B5Contracts,
        Self::B6Equivocation,
        Self::B7Fork,
        Self::B8Steps,
        Self::B8StepsOfOther,
        Self::B10Huge,
    ];

    /// What tells that it is one.
    pub fn detectable(self) -> Detectable {
        match self {
            Self::B1Hash
            | Self::B1HashOfOther
            | Self::B1NoHash
            | Self::B1OtherBlock
            | Self::B2Dropped
            | Self::B2Twice
            | Self::B2Swapped
            | Self::B2Added
            | Self::B2Field
            | Self::B2Signature
            | Self::B3Timestamp
            | Self::B3PubdataParams
            | Self::B5Bytecode
            | Self::B10Huge => Detectable::AtOnce,
            Self::B3Batch
            | Self::B3LastInBatch
            | Self::B4Root
            | Self::B5Version
            | Self::B5Contracts
            | Self::B8Steps
            | Self::B8StepsOfOther => Detectable::ByRunning,
            Self::B6Equivocation | Self::B7Fork => Detectable::ByOthers,
        }
    }

    /// Codes with which writes may halt because of it.
    pub fn halts(self) -> &'static [&'static str] {
        match self {
            Self::B4Root => &["root_mismatch"],
            Self::B8Steps | Self::B8StepsOfOther => &[],
            Self::B5Version => &["upstream_lie", "unknown_protocol_version"],
            // Endpoints contradict each other, or one contradicts itself.
            Self::B6Equivocation | Self::B7Fork => &[
                "upstream_lie",
                "root_mismatch",
                "execution_diverged",
                "reorg_below_final",
                "unknown_protocol_version",
            ],
            _ => &["upstream_lie"],
        }
    }

    /// The class, such as `B4`.
    pub fn class(self) -> &'static str {
        match self {
            Self::B1Hash | Self::B1HashOfOther | Self::B1NoHash | Self::B1OtherBlock => "B1",
            Self::B2Dropped
            | Self::B2Twice
            | Self::B2Swapped
            | Self::B2Added
            | Self::B2Field
            | Self::B2Signature => "B2",
            Self::B3Batch | Self::B3LastInBatch | Self::B3Timestamp | Self::B3PubdataParams => "B3",
            Self::B4Root => "B4",
            Self::B5Bytecode | Self::B5Version | Self::B5Contracts => "B5",
            Self::B6Equivocation => "B6",
            Self::B7Fork => "B7",
            Self::B8Steps | Self::B8StepsOfOther => "B8",
            Self::B10Huge => "B10",
        }
    }

    /// Changes the honest `result` of a call. `number` is that of the block or the batch asked for.
    /// Does nothing if the lie is about something else.
    pub(crate) fn tell(
        self,
        chain: &Chain,
        view: &View,
        method: &str,
        number: u32,
        result: &mut Value,
        dice: &mut Dice,
    ) {
        if result.is_null() {
            return;
        }
        match method {
            "en_syncL2Block" => self.about_block(chain, view, number, result, dice),
            "zks_getL1BatchDetails" => self.about_batch(view, number, result),
            "zks_getBytecodeByHash" if self == Self::B5Bytecode => *result = json!(vec![7; 32]),
            _ => {}
        }
    }

    fn about_block(
        self,
        chain: &Chain,
        view: &View,
        number: u32,
        block: &mut Value,
        dice: &mut Dice,
    ) {
        let before = chain.block(&view.branch, number.saturating_sub(1)).map(|(_, block)| block);
        match self {
            Self::B1Hash => block["hash"] = json!(B256::repeat_byte(0x11)),
            Self::B1NoHash => block["hash"] = Value::Null,
            Self::B1HashOfOther => {
                if let Some(before) = before {
                    block["hash"] = json!(before.hash.0);
                }
            }
            Self::B1OtherBlock => {
                if let Some(before) = before {
                    *block = Value::clone(&before.json);
                }
            }
            Self::B3Batch => {
                let batch = block["l1BatchNumber"].as_u64().unwrap_or_default();
                let other = if dice.chance(1, 2) { batch + 1 } else { batch.saturating_sub(1) };
                block["l1BatchNumber"] = json!(other);
            }
            Self::B3LastInBatch => {
                block["lastInBatch"] = json!(block["lastInBatch"] != json!(true));
            }
            Self::B3Timestamp => {
                let time = block["timestamp"].as_u64().unwrap_or_default();
                block["timestamp"] = json!(if dice.chance(1, 2) { 5 } else { time + 1_000_000 });
            }
            Self::B3PubdataParams => block["pubdataParams"] = Value::Null,
            Self::B5Version => block["protocolVersion"] = json!("Version98"),
            Self::B5Contracts => {
                block["baseSystemContractsHashes"]["bootloader"] = json!(B256::repeat_byte(0x11));
            }
            Self::B2Dropped
            | Self::B2Twice
            | Self::B2Swapped
            | Self::B2Added
            | Self::B2Field
            | Self::B2Signature
            | Self::B10Huge => {
                if let Some(txs) = block["transactions"].as_array_mut() {
                    self.about_txs(before.map(|block| &*block.json), txs, dice);
                }
            }
            Self::B4Root
            | Self::B5Bytecode
            | Self::B6Equivocation
            | Self::B7Fork
            | Self::B8Steps
            | Self::B8StepsOfOther => {}
        }
    }

    fn about_txs(self, before: Option<&Value>, txs: &mut Vec<Value>, dice: &mut Dice) {
        let Some(last) = txs.len().checked_sub(1) else { return };
        let index = dice.index(txs.len());
        match self {
            Self::B2Dropped => drop(txs.remove(index)),
            Self::B2Twice => txs.push(txs[index].clone()),
            Self::B2Swapped if last > 0 => txs.swap(0, last),
            Self::B2Added => {
                let other = before.and_then(|block| block["transactions"].get(0));
                if let Some(other) = other {
                    txs.push(other.clone());
                }
            }
            Self::B2Field => {
                let execute = &mut txs[index]["execute"];
                if dice.chance(1, 2) {
                    execute["value"] = json!("0x7777");
                } else {
                    execute["calldata"] = json!("0x0700000000000000");
                }
            }
            Self::B2Signature => {
                let signature = txs[index].pointer_mut("/common_data/L2/signature");
                if let Some(Value::Array(bytes)) = signature {
                    bytes[3] = json!(bytes[3].as_u64().unwrap_or(0) ^ 1);
                }
            }
            Self::B10Huge => {
                txs[index]["execute"]["calldata"] = json!(format!("0x{}", "07".repeat(200_000)));
            }
            _ => {}
        }
    }

    fn about_batch(self, view: &View, number: u32, details: &mut Value) {
        match self {
            Self::B4Root if !details["rootHash"].is_null() => {
                details["rootHash"] = json!(B256::repeat_byte(0x11));
            }
            Self::B8Steps | Self::B8StepsOfOther => {
                let of_other = view.steps.range(..number).next_back().map(|(_, steps)| *steps);
                let of_other = of_other.filter(|_| self == Self::B8StepsOfOther);
                let names = ["commit", "prove", "execute"];
                let times = ["committedAt", "provenAt", "executedAt"];
                for (index, (name, time)) in names.into_iter().zip(times).enumerate() {
                    let hash = match of_other {
                        Some(steps) => steps[index],
                        None => Some(B256::repeat_byte(0x22)),
                    };
                    if hash.is_some() && details[format!("{name}TxHash")].is_null() {
                        details[format!("{name}TxHash")] = json!(hash);
                        details[format!("{name}ChainId")] = json!(super::chain::L1.0);
                        // As the truth would be: nothing binds when a step was made, and one that
                        // turns out to be true is not asked for again.
                        details[time] = json!(step_time(number));
                    }
                }
            }
            _ => {}
        }
    }
}
