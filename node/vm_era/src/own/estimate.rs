//! Estimates: the least gas with which a block would run a transaction to its end.

use std::sync::Arc;

use lockstep_types::{B256, Bytes, FeeInput, StorageSlot, U256, storage::Nonces};
use lockstep_vm::{
    EstimateRules, Estimated, GasEstimate, SimulatedKind, SimulationEnd, SimulationEnv, VmError,
    VmStorage,
};

use super::{
    batch::{GAS_PER_PUBDATA_MAX, base_fee},
    encode::COMPUTE_GAS_MAX,
    layout::BATCH_GAS_LIMIT,
    memory::{Terms, TxMode},
    simulate::{Simulation, gas_per_pubdata, is_success},
    trials::{How, Trials},
    words::{b256_of, number_of},
    world::World,
};

impl Simulation<'_> {
    /// The least gas that works, scaled.
    pub(crate) fn estimate(
        &self,
        storage: Box<dyn VmStorage>,
        rules: &EstimateRules,
    ) -> Result<Estimated, VmError> {
        let limit = self.tx.gas_per_pubdata_limit.min(GAS_PER_PUBDATA_MAX);
        let fee_input = with_pubdata_limit(self.env.fee_input, limit);
        let env = SimulationEnv { fee_input, ..self.env.clone() };
        let inner = Simulation { env: &env, with_trace: false, ..*self };
        let mut world = inner.world(storage);
        inner.make_payable(&mut world);
        let price = base_fee(&env.fee_input);
        let given = self.bootloaders.for_estimates(env.version, &env.base_contracts);
        let terms = Terms { base_fee: price, is_new: given.is_none() };
        let contracts = given.unwrap_or_else(|| Arc::clone(&env.base_contracts));
        let how = How { contracts, terms, mode: TxMode::Full, price: U256::from(price) };
        let mut trials = Trials::open(&inner, world, how)?;
        let estimated = inner.search(&mut trials, rules)?;
        trials.end();
        Ok(estimated)
    }

    /// Lets the payer have all that the transaction may cost, and the sender the nonce it names.
    fn make_payable(&self, world: &mut World) {
        let tx = self.tx;
        if tx.kind == SimulatedKind::Priority {
            return;
        }
        let payer = if tx.paymaster.paymaster.is_zero() { tx.from } else { tx.paymaster.paymaster };
        let slot = StorageSlot::balance(payer);
        let balance = number_of(world.value(&slot));
        let price = U256::from(base_fee(&self.env.fee_input));
        let fee = U256::from(BATCH_GAS_LIMIT).saturating_mul(price);
        world.set(&slot, B256::from(balance.saturating_add(fee)));
        if let Some(nonce) = tx.nonce {
            let slot = StorageSlot::nonces(tx.from);
            let nonces = Nonces::from_value(b256_of(world.value(&slot)));
            let value = (nonces.deployment << 128) | U256::from(nonce);
            world.set(&slot, B256::from(value));
        }
    }

    fn search(&self, trials: &mut Trials<'_>, rules: &EstimateRules) -> Result<Estimated, VmError> {
        let price = base_fee(&self.env.fee_input);
        let gas_per_pubdata = gas_per_pubdata(&self.env.fee_input, price);
        let overhead = trials.overhead();
        let gas_max = self.tx.gas_limit.unwrap_or(BATCH_GAS_LIMIT).min(BATCH_GAS_LIMIT);
        let mut attempt = |gas: u64| trials.run(gas.saturating_add(overhead).min(gas_max));
        let first = attempt(gas_max)?;
        if !is_success(&first.end) {
            return Ok(Estimated::Fails(first.end));
        }
        let pubdata = u64::try_from(first.pubdata).unwrap_or(0);
        let is_priority = self.tx.kind == SimulatedKind::Priority;
        let for_pubdata = if is_priority { 0 } else { pubdata.saturating_mul(gas_per_pubdata) };
        let highest = COMPUTE_GAS_MAX.saturating_add(for_pubdata).min(gas_max);
        // What it used is near the least that works.
        let used = first.gas_used.saturating_sub(overhead).min(highest);
        let mut bounds = Bounds {
            low: for_pubdata.min(used),
            high: highest,
            tolerance: rules.acceptable_overestimation,
        };
        if let Some(end) = bounds.close_in(used, |gas| Ok(attempt(gas)?.end))? {
            return Ok(Estimated::Fails(end));
        }
        let scaled = u128::from(bounds.high) * u128::from(rules.scale_per_mille) / 1_000;
        let scaled = u64::try_from(scaled).unwrap_or(u64::MAX);
        let gas_limit = scaled.saturating_add(overhead);
        if gas_limit > BATCH_GAS_LIMIT {
            let reason = Some("exceeds block gas limit".to_owned());
            return Ok(Estimated::Fails(SimulationEnd::Reverted { reason, data: Bytes::new() }));
        }
        let last = attempt(scaled)?;
        if !is_success(&last.end) {
            return Ok(Estimated::Fails(last.end));
        }
        Ok(Estimated::Gas(GasEstimate { gas_limit, base_fee_per_gas: price, gas_per_pubdata }))
    }
}

/// Between what is the least gas that works.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Does not work, or was never tried and is below what can.
    low: u64,
    /// Works, or is all that there may be.
    high: u64,
    /// How far apart they may be in the end.
    tolerance: u64,
}

impl Bounds {
    /// Tries what is likely first: a bit more than what was `used`, then further and further from
    /// that until there is something on both sides that was tried, then halfway between. `Some` if
    /// it was stopped.
    fn close_in(
        &mut self,
        used: u64,
        mut attempt: impl FnMut(u64) -> Result<SimulationEnd, VmError>,
    ) -> Result<Option<SimulationEnd>, VmError> {
        let tolerance = self.tolerance.max(1);
        // Calls get 63/64 of the gas that is left, so what worked with all gas may want as much more.
        let (mut down, mut up) = (tolerance, (used / 64).max(tolerance));
        let (mut has_worked, mut has_failed) = (false, false);
        let mut guess = used.saturating_add(tolerance / 2);
        while self.high - self.low > tolerance {
            let middle = guess.clamp(self.low + 1, self.high - 1);
            let end = attempt(middle)?;
            if end == SimulationEnd::Stopped {
                return Ok(Some(end));
            }
            if is_success(&end) {
                (self.high, has_worked) = (middle, true);
                guess = self.high.saturating_sub(down);
                down = down.saturating_mul(2);
            } else {
                (self.low, has_failed) = (middle, true);
                guess = self.low.saturating_add(up);
                up = up.saturating_mul(2);
            }
            if has_worked && has_failed {
                guess = self.low + (self.high - self.low) / 2;
            }
        }
        Ok(None)
    }
}

/// Prices at which a byte of pubdata costs no more than `limit` gas.
fn with_pubdata_limit(fees: FeeInput, limit: u64) -> FeeInput {
    if gas_per_pubdata(&fees, base_fee(&fees)) <= limit {
        return fees;
    }
    let price = fees.fair_l2_gas_price.saturating_mul(limit.saturating_sub(1));
    FeeInput { fair_pubdata_price: Some(price), ..fees }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_gas_is_found_with_few_attempts_if_it_is_near_what_was_used() {
        let used = 300_000;
        for (least, attempts_max) in [
            (used, 3),
            (used - 5_000, 8),
            (used + 400, 3),
            (used + 4_800, 6),
            (used + 60_000, 12),
            (30_000, 20),
            (79_000_000, 32),
        ] {
            let mut attempts = 0;
            let mut bounds = Bounds { low: 20_000, high: 80_000_000, tolerance: 1_000 };
            let stopped = bounds.close_in(used, |gas| {
                attempts += 1;
                Ok(if gas >= least {
                    SimulationEnd::Success { output: Bytes::new() }
                } else {
                    SimulationEnd::Reverted { reason: None, data: Bytes::new() }
                })
            });
            assert_eq!(stopped, Ok(None));
            assert!(bounds.low < least && least <= bounds.high, "{bounds:?}, {least}");
            assert!(bounds.high - bounds.low <= 1_000, "{bounds:?}");
            assert!(attempts <= attempts_max, "{attempts} attempts for {least}");
        }
    }

    #[test]
    fn the_pubdata_price_is_lowered_to_what_a_transaction_agrees_to() {
        let fees =
            FeeInput { l1_gas_price: 1, fair_l2_gas_price: 100, fair_pubdata_price: Some(100_000) };
        assert_eq!(with_pubdata_limit(fees, 1_000), fees);
        for limit in [1, 2, 7, 800, 999] {
            let lowered = with_pubdata_limit(fees, limit);
            assert!(gas_per_pubdata(&lowered, base_fee(&lowered)) <= limit, "{limit}");
        }
    }
}
