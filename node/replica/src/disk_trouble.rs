//! What is done when the disk fails: the store is opened again in the same process, once there is
//! space if that was missing, and given up when that does not help.

use std::time::Duration;

use lockstep_io::{Mono, StoreError, Stores};
use lockstep_pipeline::StageError;
use lockstep_store::StoreFault;
use lockstep_types::L2BlockNumber;

/// Trouble with the disk, in a row.
#[derive(Debug)]
pub(crate) struct DiskTrouble {
    /// How often it came without a block between.
    count: u32,
    head: L2BlockNumber,
    at: Mono,
}

/// What may be done about a failed disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cure {
    /// Nothing: it is not that kind of failure, or it came too often.
    None,
    /// Opening the store again after a pause.
    OpenAgain,
    /// The same, once there is space.
    WaitForSpace,
}

impl DiskTrouble {
    /// A store whose writes fail this often in a row is left as it is.
    const COUNT_MAX: u32 = 5;
    /// Trouble after so long a time is new trouble.
    const FORGET: Duration = Duration::from_secs(600);
    const PAUSE_MIN: Duration = Duration::from_secs(1);
    const PAUSE_MAX: Duration = Duration::from_secs(60);
    /// Free bytes without which no attempt is made: what is written first takes some.
    const FREE_BYTES_MIN: u64 = 64 << 20;
    /// How long whoever holds a view of the old store is waited for.
    pub(crate) const CLOSE_PATIENCE: Duration = Duration::from_secs(120);
    /// Pause between looks whether somebody still does.
    pub(crate) const CLOSE_PAUSE: Duration = Duration::from_millis(100);

    /// Trouble after `before`, when `head` was the newest block.
    pub(crate) fn after(before: Option<&Self>, head: Option<L2BlockNumber>, now: Mono) -> Self {
        let same = before.filter(|before| {
            let is_recent = now.since(before.at) < Self::FORGET;
            // While the store is closed, nobody knows.
            is_recent && head.is_none_or(|head| head == before.head)
        });
        let head = head.or(before.map(|before| before.head)).unwrap_or_default();
        Self { count: same.map_or(0, |before| before.count) + 1, head, at: now }
    }

    /// What to do about `reason`.
    pub(crate) fn cure(&self, reason: &StageError) -> Cure {
        let StageError::Store(StoreFault::Disk(error)) = reason else { return Cure::None };
        match error {
            StoreError::Full(_) => Cure::WaitForSpace,
            StoreError::Io(_) | StoreError::Poisoned if self.count <= Self::COUNT_MAX => {
                Cure::OpenAgain
            }
            StoreError::Io(_)
            | StoreError::Poisoned
            | StoreError::Corrupt { .. }
            | StoreError::NotInMemory
            | StoreError::Fenced
            | StoreError::Locked(_)
            | StoreError::Schema(_) => Cure::None,
        }
    }

    /// How long to wait before the store is opened again, or before space is looked for again.
    pub(crate) fn pause(&self) -> Duration {
        let doublings = self.count.saturating_sub(1).min(10);
        Self::PAUSE_MIN.saturating_mul(1 << doublings).min(Self::PAUSE_MAX)
    }

    /// Whether there is space, as far as that is known.
    pub(crate) fn has_space(stores: &dyn Stores) -> bool {
        let free = stores.usage().ok().and_then(|usage| usage.free_bytes);
        free.is_none_or(|free| free >= Self::FREE_BYTES_MIN)
    }
}

/// Whether `fault` says that somebody still holds the store as it was.
pub(crate) fn is_held(fault: &StoreFault) -> bool {
    matches!(fault, StoreFault::Disk(StoreError::Locked(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Option<L2BlockNumber> = Some(L2BlockNumber(7));

    fn store(error: StoreError) -> StageError {
        StageError::Store(StoreFault::Disk(error))
    }

    #[test]
    fn a_disk_that_fails_again_and_again_is_given_up_and_a_full_one_is_not() {
        let (io, full) = (store(StoreError::Poisoned), store(StoreError::Full("x".to_owned())));
        let mut trouble = DiskTrouble::after(None, HEAD, Mono(0));
        let mut pauses = Vec::new();
        while trouble.cure(&io) == Cure::OpenAgain {
            pauses.push(trouble.pause().as_secs());
            trouble = DiskTrouble::after(Some(&trouble), HEAD, Mono(0));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16]);
        assert_eq!(trouble.cure(&full), Cure::WaitForSpace);
        for _ in 0..40 {
            trouble = DiskTrouble::after(Some(&trouble), None, Mono(0));
        }
        assert_eq!(trouble.pause(), DiskTrouble::PAUSE_MAX);
        assert_eq!(trouble.cure(&full), Cure::WaitForSpace);
        let newer = DiskTrouble::after(Some(&trouble), Some(L2BlockNumber(8)), Mono(0));
        assert_eq!(newer.cure(&io), Cure::OpenAgain, "a block was stored between");
        let later = DiskTrouble::after(Some(&trouble), HEAD, Mono(601_000_000_000));
        assert_eq!(later.cure(&io), Cure::OpenAgain, "it was long ago");
    }

    #[test]
    fn damage_and_other_owners_are_not_cured_by_opening_again() {
        let trouble = DiskTrouble::after(None, HEAD, Mono(0));
        let damage = StoreError::Corrupt { table: "t".to_owned(), detail: "x".to_owned() };
        for error in [damage, StoreError::Fenced, StoreError::Locked("x".to_owned())] {
            assert_eq!(trouble.cure(&store(error)), Cure::None);
        }
        assert_eq!(trouble.cure(&StageError::Stopped), Cure::None);
    }
}
