//! Finding logs by their words: the receipts that may hold them, block by block.
//!
//! Each word that is asked for has rows in order of blocks; what is sought is where all clauses
//! have rows for the same receipt. Whichever clause is furthest ahead says where the others go on,
//! by stepping if that is near and by a new scan if it is not, so the rarest word decides how much
//! is read, not the most common one.

use std::fmt;

use lockstep_io::{Dir, KeyRange, Scan};
use lockstep_types::{B256, L2BlockNumber};

use crate::{
    ChainView, StoreFault, StoreResult,
    codec::{LogPlaces, LogRole, PREFIX_BYTES, block_of_log_key, log_key, log_places, word_prefix},
    tables,
};

/// Rows that are passed over one by one before a scan begins anew further on.
const STEPS_MAX: usize = 16;

/// What a log must have: one of `words`, as `role`. An address has the form of a topic: 12 zero
/// bytes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogClause {
    /// As what.
    pub role: LogRole,
    /// Any of these; none means that nothing is found. Each costs reading a row or two.
    pub words: Vec<B256>,
}

/// What [`LogCandidates::step`] came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogStep {
    /// The next block with receipts that may hold what is sought, and their indices, ascending.
    /// The index after the last transaction's is the fictive block's own share.
    Found {
        /// The block.
        block: L2BlockNumber,
        /// At least one.
        receipts: Vec<u32>,
    },
    /// As many rows as allowed have been read; nothing is known of this block and those after it.
    Spent(L2BlockNumber),
    /// There is nothing more.
    End,
}

/// Receipts that may hold what is sought, in the order of blocks.
///
/// None is left out. One that is named holds a word for each clause, perhaps in different logs, and
/// hardly ever another word of the same hash; so the receipt has to be looked at.
#[derive(Debug)]
pub struct LogCandidates<'v> {
    clauses: Vec<Union<'v>>,
    /// Where the next step begins.
    next: L2BlockNumber,
    last: L2BlockNumber,
    rows_left: u64,
}

impl ChainView {
    /// The receipts of blocks `first..=last` that may hold logs of which all of `clauses` are true,
    /// while no more than `rows_max` rows are read for it.
    ///
    /// # Panics
    ///
    /// If there is no clause: then every receipt is meant.
    pub fn log_candidates(
        &self,
        clauses: &[LogClause],
        [first, last]: [L2BlockNumber; 2],
        rows_max: u64,
    ) -> LogCandidates<'_> {
        assert!(!clauses.is_empty(), "an index finds words, and none is asked for");
        let union = |clause: &LogClause| Union {
            cursors: clause.words.iter().map(|word| Cursor::new(self, clause.role, word)).collect(),
        };
        let mut clauses: Vec<_> = clauses.iter().map(union).collect();
        // Few words are likely to be rarer than many; those of the others may never be looked for.
        clauses.sort_by_key(|union| union.cursors.len());
        LogCandidates { clauses, next: first, last, rows_left: rows_max }
    }
}

impl LogCandidates<'_> {
    /// Goes on to the next block.
    ///
    /// # Errors
    ///
    /// [`StoreFault`] if the disk fails or a row is damaged.
    pub fn step(&mut self) -> StoreResult<LogStep> {
        loop {
            let block = match self.agree()? {
                Sought::At(block) => block,
                Sought::End => {
                    self.next = self.last.next();
                    return Ok(LogStep::End);
                }
                Sought::Spent => return Ok(LogStep::Spent(self.next)),
            };
            let receipts = self.receipts_in(block);
            self.next = block.next();
            if !receipts.is_empty() {
                return Ok(LogStep::Found { block, receipts });
            }
        }
    }

    /// The first block that is left in which every clause has a row.
    fn agree(&mut self) -> StoreResult<Sought> {
        'anew: loop {
            if self.next > self.last {
                return Ok(Sought::End);
            }
            for clause in &mut self.clauses {
                match clause.seek([self.next, self.last], &mut self.rows_left)? {
                    Sought::At(block) if block == self.next => {}
                    Sought::At(ahead) => {
                        self.next = ahead;
                        continue 'anew;
                    }
                    ended @ (Sought::End | Sought::Spent) => return Ok(ended),
                }
            }
            return Ok(Sought::At(self.next));
        }
    }

    /// The receipts of `block`, where every clause stands, that all clauses name.
    fn receipts_in(&self, block: L2BlockNumber) -> Vec<u32> {
        let mut clauses = self.clauses.iter();
        let mut named = clauses.next().map_or_else(Vec::new, |clause| clause.receipts_in(block));
        for clause in clauses {
            let others = clause.receipts_in(block);
            named.retain(|index| others.binary_search(index).is_ok());
        }
        named
    }
}

/// Where a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sought {
    At(L2BlockNumber),
    End,
    Spent,
}

/// The rows of a clause's words.
#[derive(Debug)]
struct Union<'v> {
    cursors: Vec<Cursor<'v>>,
}

impl Union<'_> {
    /// The first block from `range` on that has a row of one of the words.
    fn seek(&mut self, range: [L2BlockNumber; 2], rows_left: &mut u64) -> StoreResult<Sought> {
        let mut nearest = Sought::End;
        for cursor in &mut self.cursors {
            match (cursor.seek(range, rows_left)?, nearest) {
                (Sought::Spent, _) => return Ok(Sought::Spent),
                (Sought::At(one), Sought::At(other)) if other <= one => {}
                (Sought::At(one), _) => nearest = Sought::At(one),
                (Sought::End, _) => {}
            }
        }
        Ok(nearest)
    }

    fn receipts_in(&self, block: L2BlockNumber) -> Vec<u32> {
        let here = self.cursors.iter().filter_map(|cursor| match &cursor.at {
            At::Row(at, places) if *at == block => Some(places),
            At::Row(..) | At::Before | At::End => None,
        });
        let mut receipts: Vec<u32> =
            here.flat_map(|places| places.0.iter().map(|(index, _)| *index)).collect();
        receipts.sort_unstable();
        receipts.dedup();
        receipts
    }
}

/// The rows of one word.
struct Cursor<'v> {
    view: &'v ChainView,
    prefix: [u8; PREFIX_BYTES],
    role: u8,
    scan: Option<Scan<'v>>,
    at: At,
}

/// Where a cursor stands.
#[derive(Debug)]
enum At {
    /// Before the first row.
    Before,
    /// On a row in which the word has its role.
    Row(L2BlockNumber, LogPlaces),
    /// After the last row.
    End,
}

impl<'v> Cursor<'v> {
    fn new(view: &'v ChainView, role: LogRole, word: &B256) -> Self {
        Self { view, prefix: word_prefix(word), role: role.bit(), scan: None, at: At::Before }
    }

    /// Goes on to the first row of `from` or later. Never goes back.
    fn seek(
        &mut self,
        [from, last]: [L2BlockNumber; 2],
        rows_left: &mut u64,
    ) -> StoreResult<Sought> {
        match &self.at {
            At::Row(at, _) if *at >= from => return Ok(Sought::At(*at)),
            At::End => return Ok(Sought::End),
            At::Row(..) | At::Before => {}
        }
        let mut passed_over = 0;
        loop {
            let Some(left) = rows_left.checked_sub(1) else { return Ok(Sought::Spent) };
            *rows_left = left;
            let view = self.view;
            let scan = self.scan.get_or_insert_with(|| scan(view, &self.prefix, [from, last]));
            let Some(row) = scan.next() else {
                (self.scan, self.at) = (None, At::End);
                return Ok(Sought::End);
            };
            let (key, row) = row?;
            let block = block_of_log_key(&key);
            let block = block.ok_or_else(|| corrupt(&key, "its key names no block"))?;
            if block < from {
                passed_over += 1;
                if passed_over == STEPS_MAX {
                    self.scan = None;
                }
                continue;
            }
            let mut places = log_places(&row).map_err(|bad| corrupt(&key, bad.0))?;
            places.0.retain(|(_, roles)| roles & self.role != 0);
            if !places.0.is_empty() {
                self.at = At::Row(block, places);
                return Ok(Sought::At(block));
            }
        }
    }
}

/// Everything but the scan, which cannot be shown.
impl fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("prefix", &self.prefix)
            .field("role", &self.role)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

fn scan<'v>(
    view: &'v ChainView,
    prefix: &[u8; PREFIX_BYTES],
    [from, last]: [L2BlockNumber; 2],
) -> Scan<'v> {
    let mut end = log_key(prefix, last).to_vec();
    end.push(0);
    let range = KeyRange::new(log_key(prefix, from), end);
    view.raw().scan(tables::LOG_INDEX, range, Dir::Up)
}

fn corrupt(key: &[u8], detail: &'static str) -> StoreFault {
    StoreFault::corrupt(tables::LOG_INDEX, key, detail)
}

#[cfg(test)]
mod tests {
    use lockstep_io::WriteSet;
    use lockstep_io_memory::MemoryStores;
    use lockstep_types::{Address, L1BatchNumber};
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        Views, Writers, open,
        tests::{batch, block, genesis, receipt},
    };

    /// Events of a receipt: who, and with which topics.
    type Events = Vec<(u8, Vec<u8>)>;
    /// What receipts may hold, and what a clause asks for: as what, and any of which words.
    type Wish = (u8, Vec<u8>);

    struct Chain {
        views: Views,
        writers: Writers,
        _disk: MemoryStores,
        /// Receipts by block, from block 0. Each block is a batch.
        blocks: Vec<Vec<Events>>,
    }

    impl Chain {
        fn new() -> Self {
            let disk = MemoryStores::new();
            let (views, mut writers) = open(&disk).unwrap();
            writers.chain.persist_genesis(&genesis(), WriteSet::new()).unwrap();
            Self { views, writers, _disk: disk, blocks: vec![Vec::new()] }
        }

        fn extend(&mut self, receipts: &[Events]) {
            let number = u32::try_from(self.blocks.len()).unwrap();
            let mut record = block(number, number, &[]);
            record.receipts = receipts
                .iter()
                .map(|events| {
                    let events = events.iter().map(|(address, topics)| (*address, &topics[..]));
                    receipt(&events.collect::<Vec<_>>())
                })
                .collect();
            let sealed = batch(number, number, Vec::new(), 9);
            self.writers.chain.persist_block(&record, Some(&sealed)).unwrap();
            self.blocks.push(receipts.to_vec());
        }

        fn roll_back(&mut self, to: usize) {
            let batch = L1BatchNumber(u32::try_from(to).unwrap());
            let writer = &mut self.writers.rollback;
            writer.begin(&self.views.now(), batch, WriteSet::new()).unwrap();
            assert_eq!(writer.finish(&self.views, 3), Ok(Some(batch)));
            self.blocks.truncate(to + 1);
        }

        /// By reading everything.
        fn expected(&self, wishes: &[Wish], [first, last]: [u32; 2]) -> Vec<(u32, Vec<u32>)> {
            let is_wanted = |events: &Events| {
                wishes.iter().all(|wish| events.iter().any(|event| holds(event, wish)))
            };
            let named = |receipts: &Vec<Events>| {
                let named = (0..).zip(receipts).filter(|(_, events)| is_wanted(events));
                named.map(|(index, _)| index).collect::<Vec<_>>()
            };
            (0..)
                .zip(&self.blocks)
                .filter(|(number, _)| (first..=last).contains(number))
                .map(|(number, receipts)| (number, named(receipts)))
                .filter(|(_, named)| !named.is_empty())
                .collect()
        }

        fn found(&self, wishes: &[Wish], range: [u32; 2]) -> Vec<(u32, Vec<u32>)> {
            let view = self.views.now();
            let range = range.map(L2BlockNumber);
            let mut candidates = view.log_candidates(&clauses(wishes), range, u64::MAX);
            let mut found = Vec::new();
            while let LogStep::Found { block, receipts } = candidates.step().unwrap() {
                found.push((block.0, receipts));
            }
            assert_eq!(candidates.step(), Ok(LogStep::End));
            found
        }
    }

    fn holds((address, topics): &(u8, Vec<u8>), (role, words): &Wish) -> bool {
        match role.checked_sub(1) {
            None => words.contains(address),
            Some(topic) => {
                topics.get(usize::from(topic)).is_some_and(|topic| words.contains(topic))
            }
        }
    }

    fn clauses(wishes: &[Wish]) -> Vec<LogClause> {
        let clause = |(role, words): &Wish| match role.checked_sub(1) {
            None => LogClause {
                role: LogRole::Emitter,
                words: words.iter().map(|it| Address::repeat_byte(*it).into_word()).collect(),
            },
            Some(topic) => LogClause {
                role: LogRole::Topic(topic),
                words: words.iter().map(|it| B256::repeat_byte(*it)).collect(),
            },
        };
        wishes.iter().map(clause).collect()
    }

    fn any_receipts() -> impl Strategy<Value = Vec<Events>> {
        let event = (0..4_u8, vec(0..4_u8, 0..=4));
        vec(vec(event, 0..=3), 0..=4)
    }

    fn any_wishes() -> impl Strategy<Value = Vec<Wish>> {
        vec((0..5_u8, vec(0..5_u8, 0..=3)), 1..=5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn candidates_are_those_of_reading_everything(
            blocks in vec(any_receipts(), 0..40),
            keep in any::<prop::sample::Index>(),
            again in vec(any_receipts(), 0..10),
            wishes in any_wishes(),
            range in (0..50_u32, 0..50_u32),
        ) {
            let mut chain = Chain::new();
            blocks.iter().for_each(|receipts| chain.extend(receipts));
            let range = [range.0, range.1];
            prop_assert_eq!(chain.found(&wishes, range), chain.expected(&wishes, range));
            chain.roll_back(keep.index(chain.blocks.len()));
            prop_assert_eq!(chain.found(&wishes, range), chain.expected(&wishes, range));
            again.iter().for_each(|receipts| chain.extend(receipts));
            prop_assert_eq!(chain.found(&wishes, range), chain.expected(&wishes, range));
        }

        #[test]
        fn a_search_that_ends_early_goes_on_where_it_ended(
            blocks in vec(any_receipts(), 0..40),
            wishes in any_wishes(),
            rows_max in 1..30_u64,
        ) {
            let mut chain = Chain::new();
            blocks.iter().for_each(|receipts| chain.extend(receipts));
            let last = u32::try_from(blocks.len()).unwrap();
            let view = chain.views.now();
            let (mut found, mut first, mut rows_max) = (Vec::new(), L2BlockNumber(0), rows_max);
            'anew: loop {
                let range = [first, L2BlockNumber(last)];
                let mut candidates = view.log_candidates(&clauses(&wishes), range, rows_max);
                let at = loop {
                    match candidates.step().unwrap() {
                        LogStep::Found { block, receipts } => found.push((block.0, receipts)),
                        LogStep::Spent(at) => break at,
                        LogStep::End => break 'anew,
                    }
                };
                if at == first {
                    rows_max *= 2; // It was too little to look into one block.
                }
                first = at;
            }
            prop_assert_eq!(found, chain.expected(&wishes, [0, last]));
        }
    }

    #[test]
    fn the_rarer_word_decides_how_much_is_read() {
        let mut chain = Chain::new();
        for number in 1..=500 {
            let rare = if number == 400 { 9 } else { 2 };
            chain.extend(&[vec![(1, vec![7, rare])]]);
        }
        let wishes = [(0, vec![1]), (1, vec![7]), (2, vec![9])];
        let range = [0, 500].map(L2BlockNumber);
        let view = chain.views.now();
        let mut candidates = view.log_candidates(&clauses(&wishes), range, 100);
        let found = LogStep::Found { block: L2BlockNumber(400), receipts: vec![0] };
        assert_eq!(candidates.step(), Ok(found));
        assert_eq!(candidates.step(), Ok(LogStep::End));
        let read = 100 - candidates.rows_left;
        assert!(read < 50, "{read} rows");
    }

    #[test]
    fn a_damaged_row_is_named() {
        let mut chain = Chain::new();
        chain.extend(&[vec![(1, vec![])]]);
        let key = log_key(&word_prefix(&Address::repeat_byte(1).into_word()), L2BlockNumber(1));
        let mut set = WriteSet::new();
        set.put(tables::LOG_INDEX, key, [0]);
        chain.writers.tree.persist(set).unwrap();
        let view = chain.views.now();
        let range = [0, 9].map(L2BlockNumber);
        let fault = view.log_candidates(&clauses(&[(0, vec![1])]), range, 9).step().unwrap_err();
        assert!(matches!(fault, StoreFault::Corrupt { table: "log_index", .. }), "{fault}");
    }
}
