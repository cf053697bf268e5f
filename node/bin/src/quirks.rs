//! The table of known divergences that this program was built with.

use anyhow::Context as _;
use lockstep_types::{
    B256, ChainId, L1BatchNumber, L2BlockNumber, Quirk, QuirkCheck, Quirks, TxHash,
};
use serde::Deserialize;

const TABLE: &str = include_str!("quirks.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    quirk: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    chain_id: u64,
    batch: u32,
    check: Check,
    block: Option<u32>,
    transaction: Option<String>,
    why: String,
    source: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Check {
    Root,
    Commitment,
    L1Commit,
    Execution,
}

/// The known divergences of `chain`.
///
/// # Errors
///
/// If the table is wrong, which is this program's fault.
pub(crate) fn of_chain(chain: ChainId) -> anyhow::Result<Quirks> {
    read(TABLE, chain).context("the table of known divergences in this build is wrong")
}

fn read(table: &str, chain: ChainId) -> anyhow::Result<Quirks> {
    let table: Table = toml::from_str(table)?;
    let quirks = table.quirk.into_iter().map(quirk).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Quirks::of_chain(&quirks, chain)?)
}

fn quirk(entry: Entry) -> anyhow::Result<Quirk> {
    let hash = |text: String| -> anyhow::Result<TxHash> {
        let hash = text.parse::<B256>();
        Ok(TxHash(hash.with_context(|| format!("{text} is no transaction hash"))?))
    };
    Ok(Quirk {
        chain_id: ChainId(entry.chain_id),
        batch: L1BatchNumber(entry.batch),
        block: entry.block.map(L2BlockNumber),
        transaction: entry.transaction.map(hash).transpose()?,
        check: match entry.check {
            Check::Root => QuirkCheck::Root,
            Check::Commitment => QuirkCheck::Commitment,
            Check::L1Commit => QuirkCheck::L1Commit,
            Check::Execution => QuirkCheck::Execution,
        },
        why: entry.why,
        source: entry.source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_right_for_every_known_chain() {
        for chain in [ChainId(324), ChainId(300), ChainId(260)] {
            of_chain(chain).unwrap();
        }
    }

    #[test]
    fn a_made_up_table_is_read() {
        let hash = format!("0x{}", "11".repeat(32));
        let table = format!(
            r#"
            [[quirk]]
            chain-id = 7
            batch = 3
            check = "l1-commit"
            why = "made up"
            source = "https://example.org"

            [[quirk]]
            chain-id = 7
            batch = 4
            check = "execution"
            transaction = "{hash}"
            why = "made up"
            source = "https://example.org"
            "#
        );
        let quirks = read(&table, ChainId(7)).unwrap();
        assert!(quirks.of_batch(QuirkCheck::L1Commit, L1BatchNumber(3)).is_some());
        let (batch, block) = (L1BatchNumber(4), L2BlockNumber(9));
        let tx = Some(TxHash(B256::repeat_byte(0x11)));
        assert!(quirks.of_execution(batch, block, tx).is_some());
        assert_eq!(quirks.of_execution(batch, block, None), None);
        let other = read(&table, ChainId(8)).unwrap();
        assert_eq!(other.of_batch(QuirkCheck::L1Commit, L1BatchNumber(3)), None);
    }

    #[test]
    fn a_wrong_table_is_refused() {
        let bad = |line: &str| {
            let table = format!(
                "[[quirk]]\nchain-id = 7\nbatch = 3\ncheck = \"root\"\nwhy = \"x\"\n{line}\n"
            );
            read(&table, ChainId(7)).unwrap_err().to_string()
        };
        assert!(bad("").contains("source"));
        assert!(bad("source = \"hearsay\"").contains("https://"));
        assert!(bad("source = \"https://x\"\nblock = 1").contains("execution"));
        assert!(bad("source = \"https://x\"\nblokc = 1").contains("blokc"));
    }
}
