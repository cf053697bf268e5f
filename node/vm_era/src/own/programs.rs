//! Decoded programs, kept across batches and calls.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use zksync_types::U256;
use zksync_vm2::Program;

use super::{observer::Observer, world::World};

/// A decoded program. Cloning it is cheap.
pub(crate) type Code = Program<Observer, World>;

/// Bytes of memory for a byte of code: the code itself, and 24 bytes for each instruction of 8.
const EXPANSION: usize = 4;

/// What a program was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Code of a contract, by versioned hash.
    Contract(U256),
    /// Code of a bootloader, by versioned hash: some of its writes call the operator.
    Bootloader(U256),
}

/// How full the cache is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramCacheStats {
    /// Programs in memory.
    pub programs: usize,
    /// Memory that they take, bytes, as estimated from the size of their code.
    pub bytes: usize,
    /// Bound for `bytes`.
    pub bytes_max: usize,
    /// Lookups that found their program.
    pub hits: u64,
    /// Lookups that did not, so that code was decoded.
    pub misses: u64,
}

/// A cache of decoded programs, bounded by the memory that they take; the one that was not used for
/// longest goes first.
pub(crate) struct Programs(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    /// Keys by when they were used last.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    stats: ProgramCacheStats,
}

struct Entry {
    code: Code,
    bytes: usize,
    used: u64,
}

impl Programs {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let stats = ProgramCacheStats { bytes_max, ..ProgramCacheStats::default() };
        Self(Mutex::new(Inner { stats, ..Inner::default() }))
    }

    pub(crate) fn get(&self, key: Key) -> Option<Code> {
        self.lock().get(key)
    }

    /// Decodes `bytes` and keeps the program. Decoding happens outside of the lock: two threads may
    /// do it at the same time, to the same end.
    pub(crate) fn decode(&self, key: Key, bytes: &[u8]) -> Code {
        let code = Program::new(bytes, matches!(key, Key::Bootloader(_)));
        self.lock().insert(key, &code, bytes.len() * EXPANSION);
        code
    }

    pub(crate) fn stats(&self) -> ProgramCacheStats {
        self.lock().stats
    }

    /// No method panics half-way, so what a panicking thread left is whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn get(&mut self, key: Key) -> Option<Code> {
        let Some(entry) = self.entries.get_mut(&key) else {
            self.stats.misses += 1;
            return None;
        };
        self.stats.hits += 1;
        self.uses += 1;
        self.by_use.remove(&entry.used);
        self.by_use.insert(self.uses, key);
        entry.used = self.uses;
        Some(entry.code.clone())
    }

    fn insert(&mut self, key: Key, code: &Code, bytes: usize) {
        if bytes > self.stats.bytes_max || self.entries.contains_key(&key) {
            return;
        }
        while self.stats.bytes + bytes > self.stats.bytes_max {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            if let Some(gone) = self.entries.remove(&oldest) {
                self.stats.bytes -= gone.bytes;
            }
        }
        self.uses += 1;
        self.by_use.insert(self.uses, key);
        self.entries.insert(key, Entry { code: code.clone(), bytes, used: self.uses });
        self.stats.bytes += bytes;
        self.stats.programs = self.entries.len();
    }
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Programs").field(&self.stats()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        Key::Contract(U256::from(number))
    }

    #[test]
    fn the_program_that_was_not_used_for_longest_goes_first() {
        let programs = Programs::new(3 * 32 * EXPANSION);
        for number in 0..3 {
            programs.decode(key(number), &[0; 32]);
        }
        assert!(programs.get(key(0)).is_some());
        programs.decode(key(3), &[0; 32]);
        assert!(programs.get(key(1)).is_none());
        assert!([0, 2, 3].iter().all(|number| programs.get(key(*number)).is_some()));
    }

    #[test]
    fn memory_stays_below_the_bound() {
        let programs = Programs::new(1_000);
        for (number, words) in (0..100).zip((0..9).cycle()) {
            programs.decode(key(number), &vec![0; 32 * words]);
            let stats = programs.stats();
            assert!(stats.bytes <= stats.bytes_max, "{stats:?}");
        }
        let stats = programs.stats();
        assert!(stats.programs > 0 && stats.bytes > 0, "{stats:?}");
    }

    #[test]
    fn a_program_above_the_bound_is_decoded_and_not_kept() {
        let programs = Programs::new(100);
        let code = programs.decode(key(1), &[0; 32]);
        assert_eq!(code.code_page().len(), 1);
        assert_eq!(programs.stats().programs, 0);
    }

    #[test]
    fn a_bootloader_is_not_taken_for_a_contract_with_the_same_code() {
        let programs = Programs::new(1 << 20);
        programs.decode(Key::Bootloader(U256::one()), &[0; 32]);
        assert!(programs.get(key(1)).is_none());
    }
}
