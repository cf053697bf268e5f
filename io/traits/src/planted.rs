//! Planted bugs: mistakes that the simulator must find.
//!
//! Each has an id, such as `X07`. At its place in the node, [`planted!`](crate::planted!) chooses
//! between what is right and what is wrong. In builds without debug assertions, which is what
//! production runs, the choice is the constant `false` and nothing of the wrong side is left in the
//! program. In builds with them a bug is there only if the process was [told to](plant) have it,
//! which nobody but the simulator does. A cargo feature would not do: it would be on for every
//! program that is built together with the simulator.

use std::{collections::BTreeMap, sync::Mutex};

/// Chooses `$wrong` if the bug `$id` is planted, and `$correct` otherwise.
#[macro_export]
macro_rules! planted {
    ($id:literal, $correct:expr, $wrong:expr $(,)?) => {
        if const { $crate::planted::ARE_COMPILED_IN } && $crate::planted::is_planted($id) {
            $wrong
        } else {
            $correct
        }
    };
}

/// Whether planted bugs can be chosen in this build.
pub const ARE_COMPILED_IN: bool = cfg!(debug_assertions);

static KEPT: Mutex<BTreeMap<Vec<u8>, Vec<u8>>> = Mutex::new(BTreeMap::new());

static CHOSEN: Mutex<Option<&'static str>> = Mutex::new(None);

/// Plants the bug `id` in this process, and no other; does nothing if they are not
/// [compiled in](ARE_COMPILED_IN).
pub fn plant(id: Option<&'static str>) {
    *CHOSEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = id;
}

/// Whether the bug `id` is planted.
pub fn is_planted(id: &str) -> bool {
    *CHOSEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner) == Some(id)
}

/// What a bug that is planted keeps for others, who should not see it.
pub fn keep(key: &[u8], value: &[u8]) {
    let mut kept = KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    kept.insert(key.to_vec(), value.to_vec());
}

/// What was [kept](keep) under `key` in this process.
pub fn kept(key: &[u8]) -> Option<Vec<u8>> {
    KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(key).cloned()
}
