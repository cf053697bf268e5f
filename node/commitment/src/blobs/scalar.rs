//! The scalar field of BLS12-381, as far as blobs need it: Montgomery form over 256-bit integers.

use lockstep_types::U256;

/// Order of the field.
const MODULUS: U256 = U256::from_limbs([
    0xffff_ffff_0000_0001,
    0x53bd_a402_fffe_5bfe,
    0x3339_d808_09a1_d805,
    0x73ed_a753_299d_7d48,
]);
/// Minus the inverse of the modulus, modulo 2⁶⁴.
const MINUS_INVERSE: u64 = 0xffff_fffe_ffff_ffff;
/// 2⁵¹² modulo the modulus.
const R_SQUARED: U256 = U256::from_limbs([
    0xc999_e990_f3f2_9c6d,
    0x2b6c_edcb_8792_5c23,
    0x05d3_1496_7254_398f,
    0x0748_d9d9_9f59_ff11,
]);
/// A generator of the multiplicative group, by which Ethereum chose its roots of unity.
const GENERATOR: u64 = 7;

/// An element of the field, in Montgomery form and below the modulus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scalar(U256);

impl Scalar {
    /// The residue of `value`, which is below the modulus.
    pub(super) fn new(value: U256) -> Self {
        assert!(value < MODULUS, "a scalar is below the modulus");
        Self(value.mul_redc(R_SQUARED, MODULUS, MINUS_INVERSE))
    }

    /// At most 31 bytes, the least significant first.
    pub(super) fn from_le_bytes(bytes: &[u8]) -> Self {
        Self::new(U256::from_le_slice(bytes))
    }

    pub(super) fn to_be_bytes(self) -> [u8; 32] {
        self.0.mul_redc(U256::from(1), MODULUS, MINUS_INVERSE).to_be_bytes()
    }

    fn times(self, other: Self) -> Self {
        Self(self.0.mul_redc(other.0, MODULUS, MINUS_INVERSE))
    }

    fn plus(self, other: Self) -> Self {
        // Twice the modulus fits in 256 bits.
        let sum = self.0.wrapping_add(other.0);
        Self(if sum >= MODULUS { sum.wrapping_sub(MODULUS) } else { sum })
    }

    fn minus(self, other: Self) -> Self {
        let (difference, borrow) = self.0.overflowing_sub(other.0);
        Self(if borrow { difference.wrapping_add(MODULUS) } else { difference })
    }

    fn power(self, exponent: U256) -> Self {
        let mut product = Self::new(U256::from(1));
        for bit in (0..exponent.bit_len()).rev() {
            product = product.times(product);
            if exponent.bit(bit) {
                product = product.times(self);
            }
        }
        product
    }
}

/// Values of the polynomial at the roots of unity, in bit-reversed order of their exponents.
/// `coefficients` begin with the constant one and are a power of two.
pub(super) fn evaluations(coefficients: &[Scalar]) -> Vec<Scalar> {
    let size = coefficients.len();
    assert!(size.is_power_of_two(), "roots of unity come in powers of two");
    let mut values = coefficients.to_vec();
    let mut length = size;
    let mut root = root_of_unity(size);
    // Splitting by frequency leaves the values in bit-reversed order, as wanted.
    while length > 1 {
        let half = length / 2;
        let mut powers = vec![Scalar::new(U256::from(1))];
        powers.extend((1..half).scan(powers[0], |power, _| {
            *power = power.times(root);
            Some(*power)
        }));
        for block in values.chunks_exact_mut(length) {
            let (low, high) = block.split_at_mut(half);
            for ((a, b), power) in low.iter_mut().zip(high).zip(&powers) {
                let difference = a.minus(*b);
                *a = a.plus(*b);
                *b = difference.times(*power);
            }
        }
        root = root.times(root);
        length = half;
    }
    values
}

/// Value of the polynomial at `point`; the coefficient of the highest power comes first.
pub(super) fn value_at(coefficients: &[Scalar], point: Scalar) -> Scalar {
    let zero = Scalar::new(U256::ZERO);
    coefficients.iter().fold(zero, |value, coefficient| value.times(point).plus(*coefficient))
}

fn root_of_unity(order: usize) -> Scalar {
    let exponent = (MODULUS - U256::from(1)) / U256::from(order);
    Scalar::new(U256::from(GENERATOR)).power(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_what_they_are_said_to_be() {
        let r = (U256::MAX % MODULUS).add_mod(U256::from(1), MODULUS);
        assert_eq!(R_SQUARED, r.mul_mod(r, MODULUS));
        assert_eq!(MODULUS.as_limbs()[0].wrapping_mul(MINUS_INVERSE), u64::MAX);
        let seven = Scalar::new(U256::from(7));
        assert_eq!(seven.to_be_bytes(), U256::from(7).to_be_bytes::<32>());
        assert_eq!(seven.power(MODULUS - U256::from(1)), Scalar::new(U256::from(1)));
    }

    #[test]
    fn evaluations_equal_values_at_each_root() {
        let scalar = |value: u64| Scalar::new(U256::from(value));
        let coefficients: Vec<_> = [5, 1, 4, 1, 3, 9, 2, 6].map(scalar).into();
        let values = evaluations(&coefficients);
        let highest_first: Vec<_> = coefficients.iter().rev().copied().collect();
        let root = root_of_unity(8);
        assert_ne!(root.power(U256::from(4)), scalar(1));
        for (place, exponent) in [0, 4, 2, 6, 1, 5, 3, 7].into_iter().enumerate() {
            let point = root.power(U256::from(exponent));
            assert_eq!(values[place], value_at(&highest_first, point), "{place}");
        }
    }
}
