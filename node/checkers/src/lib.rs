//! Is it true? Compares what this replica computed with what others say.

#![warn(missing_docs)]

mod agreement;

pub use self::agreement::{Agreement, AgreementConfig, RootOf};
