//! Poseidon2 over the Goldilocks field, width 12: the permutation behind the commitments to the
//! bootloader's heap and to the events queue.
//!
//! A batch costs about two million permutations, one after the other, so this is written for
//! speed: elements are kept below 2⁶⁴ but not below the modulus until they are printed, linear
//! layers are summed in 128 bits and reduced once per element, and round constants are added
//! before that reduction.

mod constants;

use self::constants::ROUND_CONSTANTS;

/// Elements of the state.
pub const WIDTH: usize = 12;
/// Elements that a block overwrites.
pub const RATE: usize = 8;

/// The modulus: 2⁶⁴ − 2³² + 1.
const MODULUS: u64 = 0xffff_ffff_0000_0001;
/// What 2⁶⁴ is worth modulo [`MODULUS`].
const EPSILON: u64 = 0xffff_ffff;

/// First partial round; the full rounds before it are as many as those after the last one.
const FIRST_PARTIAL: usize = 4;
/// The full round after the partial ones.
const LAST_FULL: usize = 26;

/// Logarithms of the diagonal of the inner matrix.
const DIAGONAL: [u32; WIDTH] = [4, 14, 11, 8, 0, 5, 2, 9, 13, 6, 3, 12];

const ZEROS: [u64; WIDTH] = [0; WIDTH];

/// What the linear layer before the first partial round adds.
const FIRST_PARTIAL_CONSTANTS: [u64; WIDTH] = {
    let mut row = ZEROS;
    row[0] = ROUND_CONSTANTS[FIRST_PARTIAL][0];
    row
};

/// State of the permutation. Elements are residues, not always the least ones: see
/// [`canonical`].
pub type State = [u64; WIDTH];

/// Permutes `state`.
pub fn permute(state: &mut State) {
    outer_layer(state, &ROUND_CONSTANTS[0]);
    for row in &ROUND_CONSTANTS[1..FIRST_PARTIAL] {
        seventh_powers(state);
        outer_layer(state, row);
    }
    seventh_powers(state);
    outer_layer(state, &FIRST_PARTIAL_CONSTANTS);
    for row in &ROUND_CONSTANTS[FIRST_PARTIAL + 1..LAST_FULL] {
        partial_round(state, row[0]);
    }
    partial_round(state, 0);
    for (element, constant) in state.iter_mut().zip(ROUND_CONSTANTS[LAST_FULL]) {
        *element = add(*element, constant);
    }
    for row in &ROUND_CONSTANTS[LAST_FULL + 1..] {
        seventh_powers(state);
        outer_layer(state, row);
    }
    seventh_powers(state);
    outer_layer(state, &ZEROS);
}

/// Puts `block` in the place of the first elements of `state`, then permutes.
pub fn absorb(state: &mut State, block: &[u64; RATE]) {
    state[..RATE].copy_from_slice(block);
    permute(state);
}

/// The least residue of an element.
pub fn canonical(element: u64) -> u64 {
    if element >= MODULUS { element - MODULUS } else { element }
}

/// The first four elements, each as eight big-endian bytes of its least residue.
pub fn digest(state: &State) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, element) in bytes.chunks_exact_mut(8).zip(state) {
        chunk.copy_from_slice(&canonical(*element).to_be_bytes());
    }
    bytes
}

/// Reduces to some residue below 2⁶⁴, using 2⁶⁴ = 2³² − 1 and 2⁹⁶ = −1.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn reduce(wide: u128) -> u64 {
    let low = wide as u64;
    let high = (wide >> 64) as u64;
    let (mut difference, borrow) = low.overflowing_sub(high >> 32);
    if borrow {
        // One product in 2³²: a branch that is predicted costs less than arithmetic. What is left
        // is at least 2⁶⁴ − 2³², so this does not borrow again.
        rare();
        difference = difference.wrapping_sub(EPSILON);
    }
    add(difference, times_epsilon(high & EPSILON))
}

/// Reduces a number below 2⁹⁶, best one of not much more than 64 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn reduce_short(wide: u128) -> u64 {
    let (mut sum, carry) = (wide as u64).overflowing_add(times_epsilon((wide >> 64) as u64));
    if carry {
        rare();
        sum = sum.wrapping_add(EPSILON);
    }
    sum
}

/// Tells the compiler that what calls it is rare, so that it becomes a jump: as arithmetic it would
/// cost every product something.
#[cold]
#[inline(never)]
fn rare() {}

/// `x` is below 2³², so that nothing overflows.
#[inline(always)]
fn times_epsilon(x: u64) -> u64 {
    (x << 32).wrapping_sub(x)
}

/// A residue of the sum. `b` is at most 2⁶⁴ − 2³² + 1, so that the carry cannot carry again.
#[inline(always)]
fn add(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(EPSILON & 0_u64.wrapping_sub(u64::from(carry)))
}

#[inline(always)]
fn multiply(a: u64, b: u64) -> u64 {
    reduce(u128::from(a) * u128::from(b))
}

#[inline(always)]
fn seventh_power(x: u64) -> u64 {
    let square = multiply(x, x);
    let cube = multiply(square, x);
    let fourth = multiply(square, square);
    multiply(cube, fourth)
}

#[inline(always)]
fn seventh_powers(state: &mut State) {
    for element in state {
        *element = seventh_power(*element);
    }
}

/// The circulant of 4×4 blocks (2M, M, M), then `added`.
#[inline(always)]
fn outer_layer(state: &mut State, added: &[u64; WIDTH]) {
    let mut wide = [0; WIDTH];
    for block in 0..3 {
        let from = 4 * block;
        let x = [state[from], state[from + 1], state[from + 2], state[from + 3]];
        wide[from..from + 4].copy_from_slice(&small_matrix(x.map(u128::from)));
    }
    for column in 0..4 {
        // Each is below 2⁶⁸, so a sum of a few is far below 2⁹⁶.
        let sum = wide[column] + wide[column + 4] + wide[column + 8];
        for index in [column, column + 4, column + 8] {
            state[index] = reduce_short(wide[index] + sum + u128::from(added[index]));
        }
    }
}

/// The matrix [[5, 7, 1, 3], [4, 6, 1, 1], [1, 3, 5, 7], [1, 1, 4, 6]] by additions.
#[inline(always)]
fn small_matrix([a, b, c, d]: [u128; 4]) -> [u128; 4] {
    let first = a + b;
    let second = c + d;
    let third = 2 * b + second;
    let fourth = 2 * d + first;
    let last = 4 * second + fourth;
    let other = 4 * first + third;
    [fourth + other, other, third + last, last]
}

/// A partial round: the seventh power of the first element, then the sum of all elements added to
/// each, itself multiplied by its power of two, then `constant` added to the first.
///
/// Nothing wraps, since no number here reaches 2⁸⁰; saying so spares the checks for it.
#[inline(always)]
fn partial_round(state: &mut State, constant: u64) {
    // The first element comes last, so that the rest need not wait for its power.
    let (left, right) = (&state[1..6], &state[6..]);
    let rest = wide_sum(left).wrapping_add(wide_sum(right));
    let first = u128::from(seventh_power(state[0]));
    let sum = rest.wrapping_add(first);
    let first = (first << DIAGONAL[0]).wrapping_add(u128::from(constant));
    state[0] = reduce_short(first.wrapping_add(sum));
    for (element, shift) in state.iter_mut().zip(DIAGONAL).skip(1) {
        *element = reduce_short((u128::from(*element) << shift).wrapping_add(sum));
    }
}

#[inline(always)]
fn wide_sum(elements: &[u64]) -> u128 {
    elements.iter().fold(0_u128, |sum, element| sum.wrapping_add(u128::from(*element)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn permuted(mut state: State) -> State {
        permute(&mut state);
        state.map(canonical)
    }

    #[test]
    fn permutation_of_zeros_is_the_known_one() {
        let expected = [
            0x78e8_6c27_e831_c353,
            0xc4c1_3a50_5ffd_93b8,
            0xc3a6_d7d7_f797_1adc,
            0xf6ff_8f53_ab94_d8c7,
        ];
        assert_eq!(permuted([0; WIDTH])[..4], expected);
    }

    #[test]
    fn permutation_of_small_numbers_is_the_known_one() {
        let expected = [
            0x5d82_c16b_87f0_7f98,
            0x3655_af22_bb2f_037d,
            0x82c1_535d_fb4b_df90,
            0x4d31_8cfd_afd2_378e,
        ];
        assert_eq!(permuted([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])[..4], expected);
    }

    /// The permutation as the paper states it, with a division after every operation.
    fn plain(state: State) -> State {
        let p = u128::from(MODULUS);
        let modulo = |wide: u128| u64::try_from(wide % p).unwrap();
        let seventh =
            |x: u64| (0..7).fold(1, |product, _| modulo(u128::from(product) * u128::from(x)));
        let m4: [[u128; 4]; 4] = [[5, 7, 1, 3], [4, 6, 1, 1], [1, 3, 5, 7], [1, 1, 4, 6]];
        let outer = |s: State| -> State {
            std::array::from_fn(|i| {
                let terms = (0..WIDTH).map(|j| {
                    let twice = if i / 4 == j / 4 { 2 } else { 1 };
                    twice * m4[i % 4][j % 4] * (u128::from(s[j]) % p)
                });
                modulo(terms.sum())
            })
        };
        let inner = |s: State| -> State {
            let sum: u128 = s.iter().map(|x| u128::from(*x) % p).sum();
            std::array::from_fn(|i| modulo(sum + ((u128::from(s[i]) % p) << DIAGONAL[i])))
        };
        let mut s = outer(state);
        for (round, row) in ROUND_CONSTANTS.iter().enumerate() {
            let is_partial = (FIRST_PARTIAL..LAST_FULL).contains(&round);
            for i in 0..if is_partial { 1 } else { WIDTH } {
                s[i] = seventh(modulo(u128::from(s[i]) + u128::from(row[i])));
            }
            s = if is_partial { inner(s) } else { outer(s) };
        }
        s
    }

    fn any_element() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            MODULUS - 2..=u64::MAX,
            0..3_u64,
            u64::from(u32::MAX) - 1..=1 << 33
        ]
    }

    /// The ways in which a reduction borrows or carries are too rare to be found by chance.
    #[test]
    fn reductions_that_borrow_or_carry_equal_division() {
        let p = u128::from(MODULUS);
        let edges = [0, 1, 1 << 32, (1 << 32) - 1, p - 1, p, p + 1, u128::from(u64::MAX), 1 << 63];
        for high in edges {
            for low in edges {
                let wide = high << 64 | low;
                assert_eq!(u128::from(canonical(reduce(wide))), wide % p, "{wide:#x}");
                let halves = (u64::try_from(high).unwrap(), u64::try_from(low).unwrap());
                let short = wide & ((1 << 96) - 1);
                assert_eq!(u128::from(canonical(reduce_short(short))), short % p, "{short:#x}");
                assert_eq!(u128::from(canonical(multiply(halves.0, halves.1))), low * high % p);
            }
        }
    }

    proptest! {
        #[test]
        fn permutation_equals_the_plain_one(state in prop::array::uniform12(any_element())) {
            prop_assert_eq!(permuted(state), plain(state));
        }

        #[test]
        fn reduction_equals_division(wide in any::<u128>(), factors in (any_element(), any_element())) {
            let product = u128::from(factors.0) * u128::from(factors.1);
            for wide in [wide, product, wide >> 60] {
                let expected = u64::try_from(wide % u128::from(MODULUS)).unwrap();
                prop_assert_eq!(canonical(reduce(wide)), expected);
                let short = wide >> 32;
                let expected = u64::try_from(short % u128::from(MODULUS)).unwrap();
                prop_assert_eq!(canonical(reduce_short(short)), expected);
            }
        }
    }
}
