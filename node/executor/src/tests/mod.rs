//! The executor over toy blocks: what it stores, what it refuses, and what a restart changes.

mod model;
mod refused;
mod restart;
mod stored;
mod world;
