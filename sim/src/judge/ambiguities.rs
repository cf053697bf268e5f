//! What is let pass although it may look wrong, each with the reason.
//!
//! | What | Why |
//! |---|---|
//! | A write set whose call failed may be on disk or not. | C5 of the store's contract. After such a failure heads are read from the disk, not from what was written. |
//! | Between a write and its observation an API answer may show either side. | Views are taken inside a request; a request is judged by every chain that the disk had from its beginning to its end. |
//! | While a rollback goes on, only blocks and state are judged, not the relations between tables. | It removes rows in several write sets; views show a shorter and shorter chain, and nothing else reads the rest. |
//! | Steps of a batch on L1 may be known in any order. | Commits and executions are believed by themselves, by their own receipts, proofs beside one of these; a provider that is behind may show one and not another. |
//! | Writes may be halted by a lie that was told, until the operator starts the process again. | The answer was wrong every time it was asked for. Which codes each lie may lead to says [`LieKind::halts`](crate::model::LieKind::halts). |
//! | While two chains are told by turns, a rollback may begin at a batch where neither leaves ours. | Asked often enough, the answers of the wrong chain come in a row, as after a reorg. What was taken from it does not pass its hashes. |
//! | `received_timestamp_ms` and `ethBlock` of a transaction may be anything that was told. | Nothing binds them, in no version; they are informational. |
//! | An API call may fail with an internal error while the disk is made to fail. | There is nothing that it could answer with. |
//! | Precommits may be stored or not. | Those of batches that are final when somebody first asks are left out: they say nothing more. |
//! | A batch that settles on another layer than L1 never becomes final here. | Its steps are looked at only where an endpoint of that layer is configured. |
