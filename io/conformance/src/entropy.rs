//! The promises of [`Entropy`].

use std::collections::BTreeSet;

use lockstep_io::{DetRng, Entropy};
use rand_chacha::rand_core::RngCore;

/// Checks every promise of a source of chance.
///
/// # Panics
///
/// Where a promise is broken.
pub fn check(entropy: &dyn Entropy) {
    every_stream_is_its_own(entropy);
    a_draw_in_one_stream_does_not_shift_another(entropy);
    secrets_fill_the_buffer_and_differ(entropy);
}

fn first_draws(mut rng: DetRng) -> [u64; 4] {
    std::array::from_fn(|_| rng.next_u64())
}

fn every_stream_is_its_own(entropy: &dyn Entropy) {
    let labels = ["fetch", "fetch", "retry", "retry", "fetcH", "", "", "fetch"];
    let draws: BTreeSet<_> =
        labels.iter().map(|label| first_draws(entropy.stream(label))).collect();
    assert_eq!(draws.len(), labels.len(), "two streams begin with the same numbers");
    for draw in draws {
        let numbers: BTreeSet<_> = draw.iter().collect();
        assert_eq!(numbers.len(), draw.len(), "a stream repeats itself: {draw:?}");
    }
}

fn a_draw_in_one_stream_does_not_shift_another(entropy: &dyn Entropy) {
    let held = entropy.stream("held");
    let expected = first_draws(held.clone());
    let mut other = entropy.stream("other");
    for _ in 0..100 {
        other.next_u64();
    }
    assert_eq!(first_draws(held), expected);
}

fn secrets_fill_the_buffer_and_differ(entropy: &dyn Entropy) {
    entropy.secret(&mut []);
    for len in [1, 31, 32, 33, 4096] {
        // A byte that is never written stays what it was; a written one does so every time with a
        // chance of 256^-16.
        let mut changed = vec![false; len];
        for _ in 0..16 {
            let mut buf = vec![0xa5; len];
            entropy.secret(&mut buf);
            for (changed, byte) in changed.iter_mut().zip(&buf) {
                *changed |= *byte != 0xa5;
            }
        }
        assert!(changed.iter().all(|changed| *changed), "a secret of {len} bytes has a hole");
    }
    let secrets: BTreeSet<[u8; 32]> = (0..100)
        .map(|_| {
            let mut secret = [0; 32];
            entropy.secret(&mut secret);
            secret
        })
        .collect();
    assert_eq!(secrets.len(), 100, "two secrets are equal");
}
