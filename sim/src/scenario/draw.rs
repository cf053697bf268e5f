//! Scenarios by chance: swarm configuration.
//!
//! A run has few kinds of trouble, and different ones each time: a run in which everything goes
//! wrong gets nowhere, and finds only what is found at the beginning.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

use super::{
    DiskFault, DiskRates, Event, ExecMode, Keep, NetRates, ReplicaKnobs, Scenario, Schedule, Seed,
    Step, When,
};
use crate::{
    clients::ClientPlan,
    model::{ModelEvent, ModelPlan},
};

/// What may go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weather {
    net: bool,
    process: bool,
    disk: bool,
    slow: bool,
    upstream: bool,
    /// Twice as much of everything.
    storm: bool,
}

/// Chance, in words.
struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// `one` in `of`.
    fn chance(&mut self, one: u64, of: u64) -> bool {
        self.below(of) < one
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let count = u64::try_from(from.len()).unwrap_or(1);
        from[usize::try_from(self.below(count)).unwrap_or(0)].clone()
    }

    fn maybe<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if self.chance(1, 2) { Some(self.pick(from)) } else { None }
    }

    /// Between `from` and `to`, each order of magnitude as likely as another.
    fn magnitude(&mut self, from: u64, to: u64) -> u64 {
        let mut top = from.max(1);
        while top < to && self.chance(2, 3) {
            top = (top * 3).min(to);
        }
        self.between(from.min(top), top)
    }
}

impl Weather {
    fn draw(dice: &mut Dice) -> Self {
        match dice.below(100) {
            0..10 => Self::default(),
            10..40 => match dice.below(5) {
                0 => Self { net: true, ..Self::default() },
                1 => Self { process: true, ..Self::default() },
                2 => Self { disk: true, ..Self::default() },
                3 => Self { slow: true, ..Self::default() },
                _ => Self { upstream: true, ..Self::default() },
            },
            other => Self {
                net: dice.chance(1, 2),
                process: dice.chance(1, 2),
                disk: dice.chance(1, 4),
                slow: dice.chance(1, 3),
                upstream: dice.chance(1, 2),
                storm: other >= 85,
            },
        }
    }
}

impl Scenario {
    /// The scenario of `seed`.
    pub fn draw(seed: Seed) -> Self {
        let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed.0 ^ 0x5ce_4a71_0000));
        let weather = Weather::draw(&mut dice);
        let model = ModelPlan::draw(&mut dice.0);
        let heal_at_ms = dice.pick(&[5_000, 20_000, 45_000, 90_000]);
        let mut script = Vec::new();
        let most = if weather.storm { 8 } else { 4 };
        if weather.process {
            for _ in 0..dice.between(1, most) {
                script.push(deadly(&mut dice, heal_at_ms));
            }
        }
        if weather.disk {
            for _ in 0..dice.between(1, 2) {
                let event = Event::Disk(disk_fault(&mut dice));
                script.push(Step { when: moment(&mut dice, heal_at_ms), event });
            }
        }
        if weather.slow {
            for _ in 0..dice.between(1, most) {
                let event = slowness(&mut dice);
                script.push(Step { when: moment(&mut dice, heal_at_ms), event });
            }
        }
        if weather.upstream {
            for _ in 0..dice.between(1, most) {
                let event = if dice.chance(1, 6) {
                    let count = u64::try_from(model.main_node_count + model.l1_node_count);
                    let count = count.unwrap_or(1);
                    let endpoint = dice.chance(2, 3).then(|| dice.below(count));
                    let endpoint = endpoint.and_then(|endpoint| usize::try_from(endpoint).ok());
                    Event::Outage { endpoint, ms: dice.magnitude(300, 60_000) }
                } else {
                    Event::Model(ModelEvent::draw(&model, &mut dice.0))
                };
                script.push(Step { when: moment(&mut dice, heal_at_ms), event });
            }
        }
        let net =
            if weather.net { net_rates(&mut dice, weather.storm) } else { calm_net(&mut dice) };
        Self {
            note: String::new(),
            seed,
            exec: ExecMode::Toy,
            schedule: Schedule::Random,
            heal_at_ms,
            patience_ms: 1_800_000,
            replica: ReplicaKnobs::draw(&mut dice),
            clients: ClientPlan::draw(&mut dice.0),
            disk: DiskRates {
                job_ms_max: dice.pick(&[0, 1, 5, 50]),
                cpu_ms_max: dice.pick(&[0, 5, 40, 400]),
            },
            model,
            net,
            script,
        }
    }
}

impl Scenario {
    /// The scenario of `seed` on a recorded chain: deaths, slowness and faults of the network.
    ///
    /// No stale or misdirected answers: what the recording does not hold, it could not tell from
    /// what is not there yet.
    pub fn draw_era(seed: Seed) -> Self {
        let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed.0 ^ 0xe4a_0000));
        let heal_at_ms = dice.pick(&[5_000, 15_000]);
        let mut script = Vec::new();
        for _ in 0..dice.between(1, 5) {
            script.push(deadly(&mut dice, heal_at_ms));
        }
        if dice.chance(1, 3) {
            let event = slowness(&mut dice);
            script.push(Step { when: moment(&mut dice, heal_at_ms), event });
        }
        let mut net = calm_net(&mut dice);
        if dice.chance(1, 2) {
            net = net_rates(&mut dice, false);
            (net.stale, net.misdirected) = (0, 0);
        }
        Self {
            exec: ExecMode::Era,
            heal_at_ms,
            replica: ReplicaKnobs::draw(&mut dice),
            disk: DiskRates { job_ms_max: dice.pick(&[0, 5]), cpu_ms_max: dice.pick(&[0, 40]) },
            net,
            script,
            ..Self::calm(seed)
        }
    }
}

impl ReplicaKnobs {
    fn draw(dice: &mut Dice) -> Self {
        Self {
            chunk_blocks: dice.maybe(&[1, 2, 3, 10]),
            chunks_ahead_max: dice.maybe(&[1, 2, 8]),
            blocks_ahead_max: dice.maybe(&[1, 2, 64]),
            sealed_batches_max: dice.maybe(&[1, 2]),
            rollback_changes_max: dice.maybe(&[1, 4, 50]),
            tree_cache_bytes: dice.maybe(&[0, 2_000, 1 << 20]),
            batch_entries_max: dice.maybe(&[1, 2, 20]),
            in_flight_max: dice.maybe(&[1, 4]),
        }
    }
}

fn keep(dice: &mut Dice) -> Keep {
    dice.pick(&[Keep::Oldest, Keep::Newest, Keep::Middle, Keep::Random])
}

/// When something is to happen before the healing.
fn moment(dice: &mut Dice, heal_at_ms: u64) -> When {
    if dice.chance(1, 4) {
        let methods = [
            "en_syncL2Block",
            "zks_getL1BatchDetails",
            "eth_blockNumber",
            "eth_getTransactionReceipt",
            "zks_getBlockDetails",
        ];
        let method = dice.pick(&methods).to_owned();
        When::Request { method, nth: dice.magnitude(1, 60) }
    } else {
        // Most happens in the beginning, when blocks are caught up with.
        let until = if dice.chance(1, 2) { heal_at_ms / 8 } else { heal_at_ms };
        When::AtMs(dice.below(until))
    }
}

/// A death, and when.
fn deadly(dice: &mut Dice, heal_at_ms: u64) -> Step {
    let down_ms = dice.pick(&[10, 500, 5_000]);
    let event = match dice.below(10) {
        0..4 => Event::Kill { down_ms },
        4..8 => Event::PowerLoss { keep: keep(dice), down_ms },
        _ => Event::Terminate { grace_ms: dice.pick(&[0, 50, 10_000]), down_ms },
    };
    let when = if !matches!(event, Event::Terminate { .. }) && dice.chance(2, 3) {
        When::StoreCall { nth: dice.magnitude(1, 150), after: dice.chance(1, 2) }
    } else {
        moment(dice, heal_at_ms)
    };
    Step { when, event }
}

fn disk_fault(dice: &mut Dice) -> DiskFault {
    match dice.below(10) {
        0..3 => DiskFault::Full { ms: dice.maybe(&[100, 5_000]) },
        3..6 => DiskFault::WriteError,
        6..9 => DiskFault::ReadError,
        _ => DiskFault::Rot,
    }
}

fn slowness(dice: &mut Dice) -> Event {
    match dice.below(6) {
        0..2 => Event::Pause { ms: dice.magnitude(100, 3_600_000) },
        2 => {
            let ms = i64::try_from(dice.magnitude(1_000, 315_000_000_000)).unwrap_or(0);
            Event::ClockJump { ms: if dice.chance(1, 2) { ms } else { -ms } }
        }
        3 | 4 => {
            Event::StarveCpu { factor: dice.pick(&[10, 100]), ms: dice.magnitude(100, 30_000) }
        }
        _ => Event::Disk(DiskFault::Slow {
            call_ms: dice.magnitude(100, 20_000),
            ms: dice.magnitude(1_000, 60_000),
        }),
    }
}

fn calm_net(dice: &mut Dice) -> NetRates {
    NetRates {
        latency_ms: dice.pick(&[0, 5, 50, 300]),
        jitter_ms: dice.pick(&[0, 10, 200]),
        ..NetRates::default()
    }
}

fn net_rates(dice: &mut Dice, storm: bool) -> NetRates {
    let mut net = calm_net(dice);
    net.period_ms = dice.pick(&[0, 0, 4_000, 20_000]);
    for (_, rate) in net.all() {
        if dice.chance(1, 2) {
            let most = if storm { 200 } else { 60 };
            *rate = u32::try_from(dice.magnitude(2, most)).unwrap_or(0);
        }
    }
    net
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_draws_the_same_and_others_draw_others() {
        let seeds = 0..200;
        for seed in seeds.clone() {
            assert_eq!(Scenario::draw(Seed(seed)), Scenario::draw(Seed(seed)));
        }
        let mut all: Vec<_> = seeds.map(|seed| Scenario::draw(Seed(seed)).to_text()).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 200);
    }

    #[test]
    fn text_says_everything() {
        for seed in 0..200 {
            let scenario = Scenario::draw(Seed(seed));
            let text = scenario.to_text();
            assert_eq!(Scenario::from_text(&text), Ok(scenario), "{text}");
        }
    }
}
