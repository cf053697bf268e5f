//! Roots and commitments at the main node, true and false.

use lockstep_io::EndpointId;
use lockstep_types::B256;
use serde_json::{Value, json};

use super::*;
use crate::tests::{BATCHES, MAIN_NODE, World, commitment, details, root, root_of, row};

fn say(endpoint: EndpointId, method: &str, params: &Value) -> Value {
    assert_eq!((endpoint, method), (MAIN_NODE, "zks_getL1BatchDetails"));
    details(u32::try_from(params[0].as_u64().unwrap()).unwrap())
}

struct Run {
    world: World,
    ended: Arc<std::sync::Mutex<Option<StageError>>>,
    views: Views,
    commitments: lockstep_store::CommitmentsWriter,
    _rooted: watch::Sender<(L1BatchNumber, StateRoot)>,
}

fn start(world: World, computed: u32) -> Run {
    let (views, mut writers) = world.store();
    let rows: Vec<_> = (1..=computed).map(row).collect();
    writers.commitments.persist(&rows).unwrap();
    let rooted = watch::Sender::new((L1BatchNumber(BATCHES), root(BATCHES)));
    let agreement = Agreement::open(
        &world.memory.io(),
        MainNode::new(world.client("main node", MAIN_NODE)),
        views.clone(),
        AgreementParts {
            writer: writers.claims,
            rooted: rooted.subscribe(),
            root_of: root_of(),
            quirks: world.quirks.clone(),
            config: AgreementConfig::default(),
        },
    )
    .unwrap();
    let ended = world.run(Box::pin(agreement.run()));
    Run { world, ended, views, commitments: writers.commitments, _rooted: rooted }
}

impl Run {
    fn end(&self) -> Option<StageError> {
        self.ended.lock().unwrap().clone()
    }

    fn claimed(&self, batch: u32) -> Option<Commitment> {
        self.views.now().claim(L1BatchNumber(batch)).unwrap().and_then(|claim| claim.commitment)
    }

    fn compared(&self) -> Option<u32> {
        self.views.now().compared_batch().unwrap().map(|batch| batch.0)
    }
}

const LIE: B256 = B256::repeat_byte(0x11);

/// Says of batch 3 that `field` is `value`.
fn with_3(field: &'static str, value: Value) -> World {
    let world = World::new(say);
    world.twist(move |_, _, params, result| {
        if params[0] == json!(3) {
            result[field] = value.clone();
        }
    });
    world
}

#[test]
fn commitments_are_compared_when_both_sides_have_them() {
    let run = start(World::new(say), 2);
    run.world.sleep(10);
    assert_eq!((run.end(), run.compared()), (None, Some(2)));
    let mut run = run;
    run.commitments.persist(&[row(3), row(4)]).unwrap();
    run.world.sleep(10);
    assert_eq!((run.end(), run.compared()), (None, Some(BATCHES)));
    assert_eq!(run.claimed(4), Some(commitment(4)));
}

#[test]
fn without_commitments_of_our_own_nothing_is_compared() {
    let run = start(with_3("commitment", json!(LIE)), 0);
    run.world.sleep(60);
    assert_eq!((run.end(), run.compared()), (None, None));
}

/// Mutation, what becomes of it, what is stored.
#[test]
#[expect(clippy::print_stdout, reason = "the table is the point")]
fn every_lie_in_batch_details_has_its_reaction() {
    let halts = |run: &Run, code| {
        let end = run.end().unwrap();
        assert_eq!(end.code(), code);
        assert_ne!(end.reaction(), lockstep_pipeline::Reaction::AskAgain);
    };
    let run = start(with_3("commitment", json!(LIE)), BATCHES);
    run.world.sleep(60);
    halts(&run, "commitment_mismatch");
    assert_eq!((run.claimed(3), run.compared()), (None, Some(2)));
    println!("details  commitment                  commitment_mismatch after 3 reads, not stored");

    let run = start(with_3("rootHash", json!(LIE)), BATCHES);
    run.world.sleep(60);
    halts(&run, "root_mismatch");
    assert_eq!(run.views.now().agreed_batch().unwrap(), Some(L1BatchNumber(2)));
    assert_eq!(run.views.now().claim(L1BatchNumber(3)).unwrap(), None);
    println!("details  rootHash                    root_mismatch, not stored");

    let waits = [
        ("number", json!(4)),
        ("number", Value::Null),
        ("rootHash", Value::Null),
        ("rootHash", json!("0x11")),
        ("commitment", json!("0x11")),
    ];
    for (field, value) in waits {
        let run = start(with_3(field, value.clone()), BATCHES);
        run.world.sleep(60);
        assert_eq!(run.end(), None, "{field}: {value}");
        assert_eq!(run.views.now().claim(L1BatchNumber(3)).unwrap(), None, "{field}: {value}");
        println!("details  {field:12} {value:14} waits, asks again, not stored");
    }
    let run = start(with_3("commitment", Value::Null), BATCHES);
    run.world.sleep(60);
    assert_eq!((run.end(), run.claimed(3), run.compared()), (None, None, Some(2)));
    run.world.be_honest();
    run.world.sleep(10);
    assert_eq!((run.end(), run.compared()), (None, Some(BATCHES)));
    println!("details  commitment   null           waits, then compared");
}

/// The claim came first, ours later: what was stored is found to differ and asked for again.
#[test]
fn a_commitment_that_was_stored_before_ours_is_compared_all_the_same() {
    let mut run = start(with_3("commitment", json!(LIE)), 0);
    run.world.sleep(10);
    assert_eq!(run.claimed(3), Some(Commitment(LIE)));
    let rows: Vec<_> = (1..=BATCHES).map(row).collect();
    run.commitments.persist(&rows).unwrap();
    run.world.sleep(3);
    assert_eq!((run.end(), run.compared()), (None, Some(2)), "one read is not enough");
    run.world.sleep(30);
    let (ours, theirs) = (commitment(3), Commitment(LIE));
    let batch = L1BatchNumber(3);
    assert_eq!(run.end(), Some(StageError::CommitmentMismatch { batch, ours, theirs }));
}

#[test]
fn a_lie_that_passes_is_corrected() {
    let mut run = start(with_3("commitment", json!(LIE)), 0);
    run.world.sleep(10);
    let rows: Vec<_> = (1..=BATCHES).map(row).collect();
    run.commitments.persist(&rows).unwrap();
    run.world.be_honest();
    run.world.sleep(10);
    assert_eq!((run.end(), run.compared()), (None, Some(BATCHES)));
    assert_eq!(run.claimed(3), Some(commitment(3)));
}

#[test]
fn a_main_node_that_is_down_is_waited_for() {
    let world = World::new(say);
    world.fail(|_| Some(Err(lockstep_io::NetError::TimedOut)));
    let run = start(world, BATCHES);
    run.world.sleep(600);
    assert_eq!((run.end(), run.compared()), (None, None));
    run.world.be_honest();
    run.world.sleep(120);
    assert_eq!((run.end(), run.compared()), (None, Some(BATCHES)));
}

#[test]
fn a_known_divergence_of_the_main_node_is_tolerated_and_no_other() {
    for (field, check) in [("rootHash", QuirkCheck::Root), ("commitment", QuirkCheck::Commitment)] {
        let world = with_3(field, json!(LIE)).knowing(check, 3);
        let run = start(world, BATCHES);
        run.world.sleep(60);
        assert_eq!((run.end(), run.compared()), (None, Some(BATCHES)), "{field}");

        let world = with_3(field, json!(LIE)).knowing(check, 2);
        let run = start(world, BATCHES);
        run.world.sleep(60);
        assert!(run.end().is_some(), "{field}: batch 2 is batch 3 is not");
    }
}
