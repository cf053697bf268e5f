//! What is wrong with the disk just now.

use std::time::Duration;

use lockstep_io::{StoreError, Table};

use crate::{scenario::DiskFault, trace::hash_words};

/// Of the rows of a disk that rots, one in this many is damaged.
const ROTTEN_ONE_IN: u64 = 48;

/// What is wrong with the disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Writes fail until then.
    full_until: Option<Duration>,
    /// The next write fails.
    write_error: bool,
    /// This many reads from now on, one fails.
    read_error_in: Option<u64>,
    /// Says which rows are damaged.
    rot: Option<u64>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: DiskFault, now: Duration, salt: u64) {
        match fault {
            DiskFault::Full { ms } => {
                let until = ms.map_or(Duration::MAX, |ms| now + Duration::from_millis(ms));
                self.full_until = Some(until);
            }
            DiskFault::WriteError => self.write_error = true,
            DiskFault::ReadError => self.read_error_in = Some(salt % 64),
            DiskFault::Rot => self.rot = Some(salt),
            // Takes time, which is the tasks' affair.
            DiskFault::Slow { .. } => {}
        }
    }

    /// What a write call fails with.
    pub(super) fn on_write(&mut self, now: Duration) -> Result<(), StoreError> {
        if std::mem::take(&mut self.write_error) {
            return Err(StoreError::Io("the simulated disk failed to write".to_owned()));
        }
        match self.full_until {
            Some(until) if now < until => {
                Err(StoreError::Full("the simulated disk has no space".to_owned()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What a read of `key` fails with.
    pub(super) fn on_read(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        match &mut self.read_error_in {
            Some(0) => {
                self.read_error_in = None;
                return Err(StoreError::Io("the simulated disk failed to read".to_owned()));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let Some(salt) = self.rot else { return Ok(()) };
        let index = u64::try_from(table.index).unwrap_or(u64::MAX);
        if hash_words(&[salt, index], key).is_multiple_of(ROTTEN_ONE_IN) {
            let detail = "a checksum does not match".to_owned();
            return Err(StoreError::Corrupt { table: table.name.to_owned(), detail });
        }
        Ok(())
    }
}
