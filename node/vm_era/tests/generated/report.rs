//! What was run, and whether it was enough of everything.

use lockstep_types::{ProtocolVersion, TxOutcome, TxStatus, U256};

use crate::{
    generator::{Counts, Drawn, Kind},
    sign::Envelope,
};

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) txs: usize,
    pub(crate) batches: usize,
    pub(crate) fast_batches: usize,
    pub(crate) halted: usize,
    reverted: usize,
    succeeded: usize,
    /// Reverted, with next to nothing of the gas left.
    used_up: usize,
    kinds: Counts<(Kind, &'static str)>,
    envelopes: Counts<Option<Envelope>>,
    versions: Counts<ProtocolVersion>,
}

impl Report {
    pub(crate) fn count(&mut self, version: ProtocolVersion, drawn: &Drawn, outcome: &TxOutcome) {
        self.txs += 1;
        *self.versions.entry(version).or_default() += 1;
        let has_succeeded = outcome.status == TxStatus::Success;
        let left = U256::from(outcome.gas_refunded) * U256::from(20);
        let end = if has_succeeded {
            self.succeeded += 1;
            "succeeded"
        } else if left < drawn.tx.gas_limit() {
            self.reverted += 1;
            self.used_up += 1;
            "used up its gas"
        } else {
            self.reverted += 1;
            "reverted"
        };
        *self.kinds.entry((drawn.kind, end)).or_default() += 1;
        *self.envelopes.entry(drawn.envelope).or_default() += 1;
    }

    #[expect(clippy::print_stderr, reason = "for whoever wants to know")]
    pub(crate) fn print(&self, origin: &str, seed: u64) {
        for (version, count) in &self.versions {
            eprintln!("  {version}: {count}");
        }
        for ((kind, end), count) in &self.kinds {
            eprintln!("  {kind:?} {end}: {count}");
        }
        let Self { txs, batches, fast_batches, halted, reverted, used_up, .. } = self;
        eprintln!(
            "{origin}: {txs} transactions in {batches} batches ({fast_batches} on the fast machine too), \
             {halted} halted, {reverted} reverted ({used_up} with no gas left), 0 differences, \
             seed {seed}"
        );
    }

    pub(crate) fn check_spread(&self) {
        let of_kind = |kind| self.kinds.keys().any(|(seen, _)| *seen == kind);
        let missing = Kind::ALL.map(|(kind, _)| kind).into_iter().filter(|kind| !of_kind(*kind));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::new(), "kinds that never came");
        for envelope in Envelope::ALL.map(Some).into_iter().chain([None]) {
            assert!(self.envelopes.contains_key(&envelope), "no {envelope:?}");
        }
        for kind in [Kind::EvmDeploy, Kind::EvmCall, Kind::EraDeploy, Kind::Precompile] {
            for end in ["succeeded", "reverted"] {
                assert!(self.kinds.contains_key(&(kind, end)), "no {kind:?} {end}");
            }
        }
        // The bootloader keeps most of the gas of a priority operation that fails.
        for end in ["succeeded", "used up its gas"] {
            assert!(self.kinds.contains_key(&(Kind::Priority, end)), "no priority operation {end}");
        }
        assert!(self.succeeded * 3 > self.txs, "too few succeed");
        assert!(self.reverted * 10 > self.txs, "too few revert");
        assert!(self.used_up > 0, "none uses up its gas");
        assert!(self.halted > 0, "no batch was halted");
        // There is no fast machine for later ones.
        let has_fast = self.versions.keys().any(|version| version.0 <= 29);
        assert!(self.fast_batches > 0 || !has_fast, "no batch on the fast machine");
    }
}
