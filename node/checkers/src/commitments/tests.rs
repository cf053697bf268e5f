//! Commitments follow the tree, in order, and go on where they stopped.

use std::sync::Mutex;

use lockstep_io::{
    Stop, TaskHandle,
    tasks::{CpuJob, DiskJob},
};
use lockstep_pipeline::Reaction;
use serde_json::Value;

use super::*;
use crate::tests::{BATCHES, World, root, row};

type Log = Arc<Mutex<Vec<u32>>>;

fn opened(
    world: &World,
    rooted: &watch::Sender<(L1BatchNumber, StateRoot)>,
    compute: impl Fn(u32) -> Result<BatchCommitment, StageError> + Send + Sync + 'static,
    in_flight_max: usize,
) -> (Commitments, Log, Views) {
    let (views, writers) = world.store();
    let log = Log::default();
    let computed = log.clone();
    let commitment_of: CommitmentOf = Arc::new(move |_, batch| {
        computed.lock().unwrap().push(batch.0);
        compute(batch.0)
    });
    let config = CommitmentsConfig { in_flight_max, ..CommitmentsConfig::default() };
    let io = world.memory.io();
    let writer = writers.commitments;
    let commitments =
        Commitments::open(&io, views.clone(), writer, rooted.subscribe(), commitment_of, config);
    (commitments.unwrap(), log, views)
}

fn tree_at(batch: u32) -> watch::Sender<(L1BatchNumber, StateRoot)> {
    watch::Sender::new((L1BatchNumber(batch), root(batch)))
}

fn world() -> World {
    World::new(|_, _, _| Value::Null)
}

#[test]
fn every_batch_in_the_tree_gets_its_commitment_once() {
    for in_flight_max in [0, 1, 3, 100] {
        let world = world();
        let rooted = tree_at(0);
        let (commitments, log, views) =
            opened(&world, &rooted, |batch| Ok(row(batch)), in_flight_max);
        let ended = world.run(Box::pin(commitments.run()));
        world.sleep(1);
        assert_eq!(views.now().newest_commitment().unwrap(), None);
        for batch in [1, BATCHES] {
            rooted.send_replace((L1BatchNumber(batch), root(batch)));
            world.sleep(1);
            assert_eq!(views.now().newest_commitment().unwrap(), Some(L1BatchNumber(batch)));
        }
        assert_eq!(*log.lock().unwrap(), (1..=BATCHES).collect::<Vec<_>>());
        assert_eq!(views.now().commitment(L1BatchNumber(2)).unwrap(), Some(row(2)));
        assert_eq!(*ended.lock().unwrap(), None);
        drop(rooted);
        world.sleep(1);
        assert_eq!(*ended.lock().unwrap(), None, "why the tree ended, it says itself");
    }
}

#[test]
fn computing_goes_on_where_it_stopped() {
    let world = world();
    let (_, mut writers) = world.store();
    writers.commitments.persist(&[row(1), row(2)]).unwrap();
    drop(writers);
    let rooted = tree_at(BATCHES);
    let (commitments, log, _views) = opened(&world, &rooted, |batch| Ok(row(batch)), 2);
    let computed = commitments.computed();
    assert_eq!(*computed.borrow(), L1BatchNumber(2));
    let _ended = world.run(Box::pin(commitments.run()));
    world.sleep(1);
    assert_eq!(*log.lock().unwrap(), [3, 4]);
    assert_eq!(*computed.borrow(), L1BatchNumber(BATCHES));
}

#[test]
fn a_batch_that_contradicts_itself_halts_writes_and_leaves_no_gap() {
    let world = world();
    let rooted = tree_at(BATCHES);
    let fails = |batch| {
        let detail = "stored things differ".to_owned();
        let error = StageError::Inconsistent { block: Default::default(), detail };
        if batch == 3 { Err(error) } else { Ok(row(batch)) }
    };
    let (commitments, _log, views) = opened(&world, &rooted, fails, 4);
    let ended = world.run(Box::pin(commitments.run()));
    world.sleep(1);
    let end = ended.lock().unwrap().clone().unwrap();
    assert!(matches!(end, StageError::Inconsistent { .. }), "{end}");
    assert_eq!(end.reaction(), Reaction::HaltWrites);
    assert_eq!(views.now().newest_commitment().unwrap(), Some(L1BatchNumber(2)));
}

#[test]
fn a_panic_halts_writes() {
    let world = world();
    let rooted = tree_at(1);
    let (commitments, _log, views) = opened(&world, &rooted, |_| panic!("no such slot"), 1);
    let ended = world.run(Box::pin(commitments.run()));
    world.sleep(1);
    let end = ended.lock().unwrap().clone().unwrap();
    let message = "no such slot".to_owned();
    assert_eq!(end, StageError::Panicked { stage: "commitments", message });
    assert_eq!(views.now().newest_commitment().unwrap(), None);
}

/// Says which jobs give way.
#[derive(Debug)]
struct Noting {
    tasks: Arc<dyn Tasks>,
    give_way: Arc<Mutex<Vec<bool>>>,
}

impl Tasks for Noting {
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle {
        self.tasks.spawn(name, task)
    }

    fn cpu(&self, name: &'static str, job: CpuJob) -> TaskHandle {
        self.give_way.lock().unwrap().push(false);
        self.tasks.cpu(name, job)
    }

    fn background(&self, name: &'static str, job: CpuJob) -> TaskHandle {
        self.give_way.lock().unwrap().push(true);
        self.tasks.background(name, job)
    }

    fn disk(&self, name: &'static str, job: DiskJob) -> TaskHandle {
        self.tasks.disk(name, job)
    }

    fn shutdown(&self) -> Stop {
        self.tasks.shutdown()
    }
}

#[test]
fn commitments_give_way_unless_they_are_far_behind() {
    let world = world();
    let (views, writers) = world.store();
    let give_way = Arc::<Mutex<Vec<bool>>>::default();
    let mut io = world.memory.io();
    io.tasks = Arc::new(Noting { tasks: io.tasks.clone(), give_way: give_way.clone() });
    let rooted = tree_at(BATCHES);
    let config = CommitmentsConfig { in_flight_max: 1, behind_max: 1 };
    let rule: CommitmentOf = Arc::new(|_, batch| Ok(row(batch.0)));
    let writer = writers.commitments;
    let commitments = Commitments::open(&io, views, writer, rooted.subscribe(), rule, config);
    let _ended = world.run(Box::pin(commitments.unwrap().run()));
    world.sleep(1);
    assert_eq!(BATCHES, 4);
    assert_eq!(*give_way.lock().unwrap(), [false, false, true, true]);
}
