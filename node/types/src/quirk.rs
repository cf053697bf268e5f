//! Historical divergences that are known and tolerated: data, one entry each.

use crate::{ChainId, L1BatchNumber, L2BlockNumber, TxHash};

/// Which comparison comes out differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuirkCheck {
    /// The root of a batch against the main node's.
    Root,
    /// The commitment of a batch against the main node's.
    Commitment,
    /// The commit transaction of a batch.
    L1Commit,
    /// Running stored blocks again.
    Execution,
}

/// A historical divergence that is known and tolerated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quirk {
    /// The L2 chain.
    pub chain_id: ChainId,
    /// The batch.
    pub batch: L1BatchNumber,
    /// Only in this block of it; only with [`QuirkCheck::Execution`].
    pub block: Option<L2BlockNumber>,
    /// Only in this transaction; only with [`QuirkCheck::Execution`].
    pub transaction: Option<TxHash>,
    /// The comparison that comes out differently.
    pub check: QuirkCheck,
    /// Why it does.
    pub why: String,
    /// Where that is told in public: a URL.
    pub source: String,
}

/// Why a table of quirks is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuirk {
    /// Nobody could tell why it is tolerated.
    #[error("the quirk of chain {chain} at batch {batch} needs {field}")]
    Unexplained {
        /// The chain.
        chain: ChainId,
        /// The batch.
        batch: L1BatchNumber,
        /// What is missing.
        field: &'static str,
    },
    /// Batches are compared as a whole.
    #[error(
        "the quirk of chain {chain} at batch {batch} names a block or a transaction: only the \
         check `execution` has those"
    )]
    TooNarrow {
        /// The chain.
        chain: ChainId,
        /// The batch.
        batch: L1BatchNumber,
    },
    /// The same is there twice.
    #[error("the quirk of chain {chain} at batch {batch} is there twice")]
    Twice {
        /// The chain.
        chain: ChainId,
        /// The batch.
        batch: L1BatchNumber,
    },
}

/// The known divergences of one chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quirks(Vec<Quirk>);

impl Quirks {
    /// Checks all of `quirks` and keeps those of `chain`.
    ///
    /// # Errors
    ///
    /// [`BadQuirk`]: correct the table.
    pub fn of_chain(quirks: &[Quirk], chain: ChainId) -> Result<Self, BadQuirk> {
        for (index, quirk) in quirks.iter().enumerate() {
            let (chain, batch) = (quirk.chain_id, quirk.batch);
            if quirk.why.trim().is_empty() {
                return Err(BadQuirk::Unexplained { chain, batch, field: "`why`" });
            }
            if !quirk.source.starts_with("https://") {
                let field = "`source`, an https:// address";
                return Err(BadQuirk::Unexplained { chain, batch, field });
            }
            let is_narrow = quirk.block.is_some() || quirk.transaction.is_some();
            if is_narrow && quirk.check != QuirkCheck::Execution {
                return Err(BadQuirk::TooNarrow { chain, batch });
            }
            let place = |quirk: &Quirk| {
                (quirk.chain_id, quirk.batch, quirk.block, quirk.transaction, quirk.check)
            };
            if quirks[..index].iter().any(|earlier| place(earlier) == place(quirk)) {
                return Err(BadQuirk::Twice { chain, batch });
            }
        }
        Ok(Self(quirks.iter().filter(|quirk| quirk.chain_id == chain).cloned().collect()))
    }

    /// The entry because of which a difference in `check` of `batch` is tolerated; `None`: it is
    /// not.
    pub fn of_batch(&self, check: QuirkCheck, batch: L1BatchNumber) -> Option<&Quirk> {
        self.0.iter().find(|quirk| quirk.check == check && quirk.batch == batch)
    }

    /// The entry because of which running `block` again, or `tx` in it, may differ.
    pub fn of_execution(
        &self,
        batch: L1BatchNumber,
        block: L2BlockNumber,
        tx: Option<TxHash>,
    ) -> Option<&Quirk> {
        self.0.iter().find(|quirk| {
            quirk.check == QuirkCheck::Execution
                && quirk.batch == batch
                && quirk.block.is_none_or(|only| only == block)
                && quirk.transaction.is_none_or(|only| tx == Some(only))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quirk() -> Quirk {
        Quirk {
            chain_id: ChainId(7),
            batch: L1BatchNumber(3),
            block: None,
            transaction: None,
            check: QuirkCheck::Root,
            why: "it was so".to_owned(),
            source: "https://example.org/1".to_owned(),
        }
    }

    #[test]
    fn a_quirk_counts_for_its_chain_batch_and_check_only() {
        let quirks = Quirks::of_chain(&[quirk()], ChainId(7)).unwrap();
        assert!(quirks.of_batch(QuirkCheck::Root, L1BatchNumber(3)).is_some());
        assert_eq!(quirks.of_batch(QuirkCheck::Root, L1BatchNumber(4)), None);
        assert_eq!(quirks.of_batch(QuirkCheck::Commitment, L1BatchNumber(3)), None);
        assert_eq!(quirks.of_execution(L1BatchNumber(3), L2BlockNumber(1), None), None);
        assert_eq!(Quirks::of_chain(&[quirk()], ChainId(8)).unwrap(), Quirks::default());
    }

    #[test]
    fn an_execution_quirk_may_be_of_one_block() {
        let check = QuirkCheck::Execution;
        let one = Quirk { check, block: Some(L2BlockNumber(9)), ..quirk() };
        let quirks = Quirks::of_chain(&[one], ChainId(7)).unwrap();
        assert!(quirks.of_execution(L1BatchNumber(3), L2BlockNumber(9), None).is_some());
        assert_eq!(quirks.of_execution(L1BatchNumber(3), L2BlockNumber(8), None), None);
    }

    #[test]
    fn quirks_without_a_reason_or_a_source_and_double_ones_are_refused() {
        let refused = |quirks: &[Quirk]| Quirks::of_chain(quirks, ChainId(1)).unwrap_err();
        let silent = refused(&[Quirk { why: " ".to_owned(), ..quirk() }]);
        assert!(silent.to_string().contains("`why`"), "{silent}");
        let hearsay = refused(&[Quirk { source: "a friend".to_owned(), ..quirk() }]);
        assert!(hearsay.to_string().contains("`source`"), "{hearsay}");
        let narrow = refused(&[Quirk { block: Some(L2BlockNumber(1)), ..quirk() }]);
        assert!(narrow.to_string().contains("execution"), "{narrow}");
        assert!(refused(&[quirk(), quirk()]).to_string().contains("twice"));
    }
}
