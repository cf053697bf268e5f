//! Numbers that could be mistaken for one another.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Number of an L2 block. Genesis is 0; numbers have no gaps.
    L2BlockNumber(u32)
}
number! {
    /// Number of an L1 batch. Genesis is 0; numbers have no gaps.
    L1BatchNumber(u32)
}
number! {
    /// Enumeration index of a storage slot, from 1 in order of first write.
    LeafIndex(u64)
}
number! {
    /// Seconds since the Unix epoch.
    UnixSeconds(u64)
}
number! {
    /// Chain id of an L1, a settlement layer or an L2.
    ChainId(u64)
}

impl L2BlockNumber {
    /// The number after this one.
    ///
    /// # Panics
    ///
    /// At `u32::MAX`, which a chain with one block a second reaches after 136 years.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("block numbers fit in 32 bits"))
    }

    /// The number before this one; `None` for genesis.
    pub fn prev(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl L1BatchNumber {
    /// The number after this one.
    ///
    /// # Panics
    ///
    /// At `u32::MAX`.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("batch numbers fit in 32 bits"))
    }

    /// The number before this one; `None` for genesis.
    pub fn prev(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}
