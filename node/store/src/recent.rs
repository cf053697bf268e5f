//! What was used recently, within a bound of bytes.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Bytes that an entry takes beside what it holds, about: its slot in a table, a count of uses, and
/// what the allocator adds.
const ENTRY_BYTES: usize = 96;

/// Values by key, of which those that were not used for a while go when there is no more room.
///
/// There are two ages. New values, and old ones that are used again, are young; when the young take
/// half of the room, they become the old ones, and those that were old go. So no order of uses has to
/// be kept, and a use is a look-up or two. Values are cloned when they are used: hold them by a
/// count.
pub struct Recent<K, V> {
    bytes_max: usize,
    ages: Mutex<Ages<K, V>>,
    hit_count: AtomicU64,
    miss_count: AtomicU64,
}

/// How much is held, and how often it was of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentLoad {
    /// Bytes of all values, about.
    pub bytes: usize,
    /// Values.
    pub count: usize,
    /// How often a value was there that was asked for.
    pub hit_count: u64,
    /// How often one was not.
    pub miss_count: u64,
}

struct Age<K, V> {
    values: HashMap<K, (V, usize)>,
    bytes: usize,
}

struct Ages<K, V> {
    young: Age<K, V>,
    old: Age<K, V>,
}

impl<K: Copy + Eq + Hash, V: Clone> Recent<K, V> {
    /// Holds about `bytes_max` bytes at most; nothing if that is 0.
    pub fn new(bytes_max: usize) -> Self {
        let (hit_count, miss_count) = Default::default();
        let ages = Mutex::new(Ages { young: Age::new(), old: Age::new() });
        Self { bytes_max, ages, hit_count, miss_count }
    }

    /// The value of `key`, if it is there and `is_wanted`.
    pub fn get(&self, key: &K, is_wanted: impl FnOnce(&V) -> bool) -> Option<V> {
        let (value, gone) = self.with(|ages| ages.get(key, self.bytes_max / 2));
        drop(gone); // Outside of the lock.
        let value = value.filter(is_wanted);
        let count = if value.is_some() { &self.hit_count } else { &self.miss_count };
        count.fetch_add(1, Ordering::Relaxed);
        value
    }

    /// Holds `value`, which takes `bytes`, in the place of what was there. One that takes more than
    /// half of the room is not held. Says whether what was young is old now, and what was old is
    /// gone: once for every so many bytes, a good time to look at the [`load`](Self::load).
    pub fn put(&self, key: K, value: V, bytes: usize) -> bool {
        let bytes = bytes + size_of::<(K, V)>() + ENTRY_BYTES;
        let gone = self.with(|ages| ages.put(key, (value, bytes), self.bytes_max / 2));
        gone.is_some() // And dropped outside of the lock.
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let all =
            self.with(|ages| std::mem::replace(ages, Ages { young: Age::new(), old: Age::new() }));
        drop(all); // Outside of the lock.
    }

    /// How much is held.
    pub fn load(&self) -> RecentLoad {
        let (bytes, count) = self.with(|Ages { young, old }| {
            (young.bytes + old.bytes, young.values.len() + old.values.len())
        });
        let [hit_count, miss_count] =
            [&self.hit_count, &self.miss_count].map(|count| count.load(Ordering::Relaxed));
        RecentLoad { bytes, count, hit_count, miss_count }
    }

    /// A panic while the lock is held, in `hash` or `clone`, leaves at worst a wrong count of bytes.
    fn with<T>(&self, work: impl FnOnce(&mut Ages<K, V>) -> T) -> T {
        work(&mut self.ages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a use gives, and what went because of it.
type Used<K, V> = (Option<V>, Option<Age<K, V>>);

impl<K: Copy + Eq + Hash, V: Clone> Ages<K, V> {
    fn get(&mut self, key: &K, age_bytes_max: usize) -> Used<K, V> {
        if let Some((value, _)) = self.young.values.get(key) {
            return (Some(value.clone()), None);
        }
        let Some(found) = self.old.remove(key) else { return (None, None) };
        let value = found.0.clone();
        (Some(value), self.put(*key, found, age_bytes_max))
    }

    /// Gives back what went to make room.
    fn put(
        &mut self,
        key: K,
        (value, bytes): (V, usize),
        age_bytes_max: usize,
    ) -> Option<Age<K, V>> {
        self.young.remove(&key);
        self.old.remove(&key);
        if bytes > age_bytes_max {
            return None;
        }
        let is_full = self.young.bytes + bytes > age_bytes_max;
        let gone = is_full.then(|| {
            let young = std::mem::replace(&mut self.young, Age::new());
            std::mem::replace(&mut self.old, young)
        });
        self.young.bytes += bytes;
        self.young.values.insert(key, (value, bytes));
        gone
    }
}

impl<K: Eq + Hash, V> Age<K, V> {
    fn new() -> Self {
        Self { values: HashMap::new(), bytes: 0 }
    }

    fn remove(&mut self, key: &K) -> Option<(V, usize)> {
        let removed = self.values.remove(key)?;
        self.bytes -= removed.1;
        Some(removed)
    }
}

impl<K: Copy + Eq + Hash, V: Clone> fmt::Debug for Recent<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent")
            .field("bytes_max", &self.bytes_max)
            .field("load", &self.load())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn recent(count: usize) -> Recent<u32, Arc<u32>> {
        let one = Recent::new(usize::MAX);
        one.put(0, Arc::new(0), 1_000);
        Recent::new(one.load().bytes * count)
    }

    fn has(recent: &Recent<u32, Arc<u32>>, key: u32) -> bool {
        recent.get(&key, |value| **value == key).is_some()
    }

    #[test]
    fn what_is_held_stays_within_its_bound() {
        let recent = recent(10);
        for key in 0..1_000 {
            recent.put(key, Arc::new(key), 1_000);
            recent.put(key, Arc::new(key), 1_000);
            assert!(has(&recent, key));
            let load = recent.load();
            assert!(load.bytes <= recent.bytes_max, "{load:?}");
            assert_eq!(load.bytes, load.count * recent.bytes_max / 10);
        }
        assert!(recent.load().count >= 5);
        recent.put(999, Arc::new(999), recent.bytes_max / 2);
        assert!(!has(&recent, 999), "it takes more than half of the room");
        recent.clear();
        let expected = RecentLoad { bytes: 0, count: 0, ..recent.load() };
        assert_eq!(recent.load(), expected);
    }

    #[test]
    fn what_is_used_again_stays_longer() {
        let recent = recent(10);
        recent.put(0, Arc::new(0), 1_000);
        for key in 1..100 {
            recent.put(key, Arc::new(key), 1_000);
            assert!(has(&recent, 0), "after {key} others");
        }
        assert!(!has(&recent, 1));
        let RecentLoad { hit_count, miss_count, .. } = recent.load();
        assert_eq!((hit_count, miss_count), (99, 1));
    }

    #[test]
    fn nothing_is_held_where_there_is_no_room() {
        let recent = recent(0);
        recent.put(0, Arc::new(0), 0);
        assert!(!has(&recent, 0));
        assert_eq!(recent.load(), RecentLoad { miss_count: 1, ..RecentLoad::default() });
    }

    #[test]
    fn a_value_that_is_not_wanted_is_not_given() {
        let recent = recent(10);
        recent.put(0, Arc::new(5), 0);
        assert_eq!(recent.get(&0, |value| **value == 4), None);
        assert_eq!(recent.get(&0, |value| **value == 5), Some(Arc::new(5)));
    }
}
