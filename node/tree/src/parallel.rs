//! Parallel maps over slices, with results in the order of the items.

use std::sync::OnceLock;

use lockstep_io::Par;

/// Does one after the other: for callers that have no pool.
#[derive(Debug)]
pub(crate) struct Serial;

impl Par for Serial {
    fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
        for index in 0..count {
            f(index);
        }
    }
}

/// Calls `f` with pieces of `items`, each at most `piece` long, and joins what it returned in the
/// order of `items`.
pub(crate) fn map_pieces<T: Sync, R: Send + Sync>(
    par: &dyn Par,
    items: &[T],
    piece: usize,
    f: &(impl Fn(&[T]) -> Vec<R> + Sync),
) -> Vec<R> {
    if items.len() <= piece {
        return f(items);
    }
    let pieces: Vec<&[T]> = items.chunks(piece).collect();
    let results: Vec<OnceLock<Vec<R>>> = pieces.iter().map(|_| OnceLock::new()).collect();
    par.for_each(pieces.len(), &|index| {
        let place = lockstep_io::planted!("X53", index, free_place(&results));
        let first = results[place].set(f(pieces[index])).is_ok();
        assert!(first, "Par calls once for each index");
    });
    results
        .into_iter()
        .flat_map(|result| result.into_inner().expect("Par calls once for each index"))
        .collect()
}

/// Where the next result goes if they are kept as they come.
fn free_place<R>(results: &[OnceLock<R>]) -> usize {
    results.iter().position(|result| result.get().is_none()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Backwards;

    impl Par for Backwards {
        fn for_each(&self, count: usize, f: &(dyn Fn(usize) + Sync)) {
            for index in (0..count).rev() {
                f(index);
            }
        }
    }

    #[test]
    fn results_keep_the_order_of_items() {
        let items: Vec<usize> = (0..100).collect();
        let double = |piece: &[usize]| piece.iter().map(|item| item * 2).collect();
        let expected: Vec<usize> = (0..100).map(|item| item * 2).collect();
        assert_eq!(map_pieces(&Backwards, &items, 7, &double), expected);
        assert_eq!(map_pieces(&Serial, &items, 100, &double), expected);
    }
}
