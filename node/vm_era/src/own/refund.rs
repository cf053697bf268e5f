//! What the operator gives back of the gas that a transaction paid for.

use lockstep_types::FeeInput;
use zksync_types::U256;

/// What a refund depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefundTerms<'a> {
    pub(crate) fees: &'a FeeInput,
    /// Price of a unit of gas, wei.
    pub(crate) base_fee: u64,
    pub(crate) gas_limit: u64,
    /// What the bootloader would give back by itself.
    pub(crate) bootloader_refund: u64,
    pub(crate) gas_for_pubdata: u64,
    pub(crate) gas_per_pubdata: u32,
    /// Bytes that the transaction published.
    pub(crate) pubdata: u32,
}

/// The refund that makes a transaction pay a fair price: that of its computation, and that of its
/// pubdata, though no more for a byte than it agreed to.
pub(crate) fn refund(terms: &RefundTerms<'_>) -> u64 {
    let RefundTerms { fees, base_fee, gas_limit, .. } = *terms;
    let base_fee = U256::from(base_fee);
    let gas_used = gas_limit.saturating_sub(terms.bootloader_refund);
    let compute_gas = gas_used.saturating_sub(terms.gas_for_pubdata);
    let agreed_price = base_fee * U256::from(terms.gas_per_pubdata);
    let fair_price = U256::from(fees.fair_pubdata_price.unwrap_or(0));
    let fair_fee = U256::from(compute_gas) * U256::from(fees.fair_l2_gas_price)
        + U256::from(terms.pubdata) * agreed_price.min(fair_price);
    let paid = U256::from(gas_limit) * base_fee;
    let back = paid.saturating_sub(fair_fee);
    if base_fee.is_zero() {
        return 0;
    }
    // No more than what was paid, so it fits.
    (back / base_fee + U256::from(u8::from(!(back % base_fee).is_zero()))).low_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refund_is_rounded_up_to_whole_gas() {
        let fees =
            FeeInput { l1_gas_price: 0, fair_l2_gas_price: 90, fair_pubdata_price: Some(1_000) };
        let terms = RefundTerms {
            fees: &fees,
            base_fee: 100,
            gas_limit: 1_000,
            bootloader_refund: 400,
            gas_for_pubdata: 100,
            gas_per_pubdata: 9,
            pubdata: 3,
        };
        // 500 gas of computation by 90, 3 bytes by 900 (the agreed price), of 100 000 paid.
        assert_eq!(refund(&terms), (100_000_u64 - 45_000 - 2_700).div_ceil(100));
    }

    #[test]
    fn nothing_is_given_back_of_nothing() {
        let fees = FeeInput::default();
        let terms = RefundTerms {
            fees: &fees,
            base_fee: 0,
            gas_limit: 1,
            bootloader_refund: 2,
            gas_for_pubdata: 3,
            gas_per_pubdata: 4,
            pubdata: 5,
        };
        assert_eq!(refund(&terms), 0);
    }
}
