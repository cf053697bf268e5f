//! `eth_simulateV1`: whole blocks that are only tried out, on top of a stored one.
//!
//! As the execution APIs say, with what is different on this chain:
//!
//! - The blocks form a batch of no number of its own; `l1BatchNumber` is `null`. Their hashes are
//!   those that blocks with these transactions would have, and contracts see them.
//! - Without `validation` a call is what `eth_call` makes of it, and sees the base fee that follows
//!   from the prices, not zero. With it, a call is a whole
//!   transaction: the bootloader asks the account (which agrees, as if the signature were good),
//!   checks the nonce, and takes the fee at the block's base fee.
//! - There is always a transfer log of the base token's contract. With `traceTransfers` it is shown
//!   as one of a token at 0xeeee…eeee, where tools look for it.
//! - Precompiles cannot be moved, and what a block of this chain always has (difficulty, gas limit,
//!   fee recipient, randomness, blob fee, withdrawals) cannot be overridden: an error names it.

use std::sync::Arc;

use lockstep_types::{
    Address, B256, Bloom, Bytes, Event, FeeInput, L2BlockHash, L2BlockNumber, StorageSlot, TxHash,
    U256, UnixSeconds, address::BASE_TOKEN, keccak256, log::bloom_of, storage::Nonces,
};
use lockstep_vm::{SimulatedKind, SimulatedTx, SimulationEnd};
use lockstep_wire::eth::{
    self, BlockId, BlockNumberOrTag, BlockOverrides, BlockStateCall, BlockTransactions,
    CallFailure, FilledParts, SimulatePayload, SimulatedBlock, SimulatedCall,
};

use super::{
    Engine, Simulation,
    bundles::{check_count, returned},
    ending,
    request::narrow,
    sequence::{Run, Sequence},
};
use crate::{
    call::Methods,
    error::{ApiError, ApiResult},
};

/// Most blocks of one request, empty ones between them included.
const BLOCKS_MAX: u32 = 256;
/// Gas of a validated transaction that names none: more than any can compute with.
const VALIDATED_GAS: u64 = 80_000_000;
/// Code of a call that failed without being undone by a contract.
const CALL_FAILED: i32 = -32_015;
/// Code of a call that a contract undid.
const CALL_REVERTED: i32 = 3;
/// Where tools look for transfers of the base token.
const TRANSFER_TOKEN: Address = Address::repeat_byte(0xee);
/// Gas that a byte of pubdata costs, at most.
const GAS_PER_PUBDATA_MAX: u64 = 50_000;

/// Why blocks cannot be tried out, with the codes of the execution APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SimulateError {
    /// Numbers must go up.
    #[error("block numbers must be in order: {next} <= {before}")]
    NumberNotInOrder {
        /// The block before.
        before: u64,
        /// The one that was asked for.
        next: u64,
    },
    /// Time must go on.
    #[error("block timestamps must be in order: {next} <= {before}")]
    TimeNotInOrder {
        /// Of the block before.
        before: u64,
        /// That was asked for.
        next: u64,
    },
    /// More blocks than one request may try out.
    #[error("too many blocks: at most {BLOCKS_MAX}")]
    TooManyBlocks,
    /// The transaction pays less than the block asks for.
    #[error("max fee per gas less than block base fee: {price} < {base_fee}")]
    FeeTooLow {
        /// Wei.
        base_fee: U256,
        /// Wei.
        price: U256,
    },
    /// The transaction was sent already.
    #[error("nonce too low: next nonce {expected}, tx nonce {nonce}")]
    NonceTooLow {
        /// The sender's next.
        expected: U256,
        /// The transaction's.
        nonce: U256,
    },
    /// Others must be sent before the transaction.
    #[error("nonce too high: next nonce {expected}, tx nonce {nonce}")]
    NonceTooHigh {
        /// The sender's next.
        expected: U256,
        /// The transaction's.
        nonce: U256,
    },
    /// The sender cannot pay.
    #[error("insufficient funds for gas * price + value: have {balance}, want {needed}")]
    NoFunds {
        /// Wei.
        needed: U256,
        /// Wei.
        balance: U256,
    },
}

impl SimulateError {
    /// The code that goes with it.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::NumberNotInOrder { .. } => -38_020,
            Self::TimeNotInOrder { .. } => -38_021,
            Self::TooManyBlocks => -38_026,
            Self::NonceTooLow { .. } => -38_010,
            Self::NonceTooHigh { .. } => -38_011,
            Self::FeeTooLow { .. } => -38_012,
            Self::NoFunds { .. } => -38_014,
        }
    }
}

pub(super) fn register(methods: &mut Methods, engine: &Arc<Engine>) {
    methods.add_simulation(engine, "eth_simulateV1", |simulation, params| {
        let payload: SimulatePayload = params.next()?;
        let id: Option<BlockId> = params.optional_next()?;
        simulate(simulation, payload, id)
    });
}

/// How blocks are shown.
#[derive(Clone, Copy, Debug)]
struct Style {
    traces_transfers: bool,
    shows_transactions: bool,
}

/// Blocks that are being tried out.
struct Blocks<'a> {
    simulation: &'a Simulation<'a>,
    sequence: Sequence<'a>,
    validates: bool,
    style: Style,
    /// Fees as they are without overrides.
    fees: FeeInput,
    done: Vec<SimulatedBlock>,
}

fn simulate(
    simulation: &Simulation<'_>,
    payload: SimulatePayload,
    id: Option<BlockId>,
) -> ApiResult<Vec<SimulatedBlock>> {
    let SimulatePayload {
        block_state_calls,
        trace_transfers,
        validation,
        return_full_transactions,
    } = payload;
    if block_state_calls.is_empty() {
        return Err(ApiError::BadRequest("`blockStateCalls` is empty".to_owned()));
    }
    check_count(block_state_calls.iter().map(|block| block.calls.len()).sum())?;
    // What follows a block follows all of it: the pending block is the first that is tried out.
    let id = match id {
        None | Some(BlockId::Number(BlockNumberOrTag::Pending)) => {
            BlockId::Number(BlockNumberOrTag::Latest)
        }
        Some(named) => named,
    };
    let place = simulation.place(Some(id))?;
    let env = simulation.following(&place)?;
    let fees = env.fee_input;
    let mut blocks = Blocks {
        simulation,
        sequence: Sequence::new(simulation, &place, env, None)?,
        validates: validation,
        style: Style {
            traces_transfers: trace_transfers,
            shows_transactions: return_full_transactions,
        },
        fees,
        done: Vec::new(),
    };
    let params = &place.header.params;
    let (mut number, mut time) = (params.number, params.timestamp);
    for block in block_state_calls {
        (number, time) = blocks.add((number, time), block)?;
    }
    Ok(blocks.done)
}

impl Blocks<'_> {
    /// Tries out the next block, with empty ones up to it. Gives back its number and time.
    fn add(
        &mut self,
        (before, time_before): (L2BlockNumber, UnixSeconds),
        block: BlockStateCall,
    ) -> ApiResult<(L2BlockNumber, UnixSeconds)> {
        let BlockStateCall { block_overrides, state_overrides, calls } = block;
        let mut overrides = block_overrides.unwrap_or_default();
        let number = match overrides.number.take() {
            None => before.next(),
            Some(number) => L2BlockNumber(narrow(number, "number")?),
        };
        let Some(gap) = number.0.checked_sub(before.0).filter(|gap| *gap > 0) else {
            let (before, next) = (u64::from(before.0), u64::from(number.0));
            return Err(SimulateError::NumberNotInOrder { before, next }.into());
        };
        if usize::try_from(gap).map_or(true, |gap| self.done.len() + gap > BLOCKS_MAX as usize) {
            return Err(SimulateError::TooManyBlocks.into());
        }
        let named_time = overrides.time.take().map(|time| narrow(time, "time")).transpose()?;
        let mut last = (before, time_before);
        for _ in 1..gap {
            let next = (last.0.next(), UnixSeconds(last.1.0.saturating_add(1)));
            self.run(next, BlockOverrides::default(), Vec::new())?;
            last = next;
        }
        let time = UnixSeconds(named_time.unwrap_or(last.1.0.saturating_add(1)));
        if time <= last.1 {
            let (before, next) = (last.1.0, time.0);
            return Err(SimulateError::TimeNotInOrder { before, next }.into());
        }
        self.sequence.state.override_with(state_overrides)?;
        self.run((number, time), overrides, calls)?;
        Ok((number, time))
    }

    fn run(
        &mut self,
        (number, time): (L2BlockNumber, UnixSeconds),
        overrides: BlockOverrides,
        calls: Vec<eth::CallRequest>,
    ) -> ApiResult<()> {
        self.sequence.begin_block(number, time);
        let base_fee = overrides.base_fee_per_gas;
        // Number, time and fee are dealt with here; the rest is always an error.
        let rest = BlockOverrides { base_fee_per_gas: None, ..overrides };
        super::env::override_block(&mut self.sequence.env, rest)?;
        let base_fee = base_fee.map(|fee| narrow(fee, "baseFeePerGas")).transpose()?;
        self.set_base_fee(base_fee);
        let mut txs = Vec::with_capacity(calls.len());
        for request in calls {
            let tx = self.sequence.transaction(request)?;
            txs.push(self.transact(tx)?);
        }
        self.end(txs)
    }

    /// The block's base fee if it is named; otherwise it follows from the prices.
    fn set_base_fee(&mut self, named: Option<u64>) {
        let env = &mut self.sequence.env;
        (env.fee_input, env.base_fee_per_gas) = (self.fees, named);
        if let (Some(fee), true) = (named, self.validates) {
            // A whole transaction is run by a bootloader that derives the base fee itself.
            let pubdata_max = fee.saturating_mul(GAS_PER_PUBDATA_MAX);
            let pubdata = self.fees.fair_pubdata_price.map(|price| price.min(pubdata_max));
            (env.fee_input.fair_l2_gas_price, env.fee_input.fair_pubdata_price) = (fee, pubdata);
        }
    }

    fn base_fee(&self) -> ApiResult<u64> {
        let env = &self.sequence.env;
        let limits = self.simulation.execution.vm.limits(env.version, &env.fee_input)?;
        Ok(env.base_fee_per_gas.unwrap_or(limits.base_fee_per_gas))
    }

    fn transact(&mut self, mut tx: SimulatedTx) -> ApiResult<Tried> {
        let slot = StorageSlot::nonces(tx.from);
        let nonces = Nonces::from_value(self.sequence.state.read(&slot)?);
        if self.validates {
            self.check(&mut tx, &nonces)?;
        }
        let id = self.identify(&tx, &nonces)?;
        let run = if self.validates {
            self.sequence.run_unsigned(tx)?
        } else {
            self.sequence.call_tx(tx, None, false)?
        };
        let time_max = self.simulation.call.config.call_time_max;
        let failure = match &run.simulated.end {
            SimulationEnd::Success { .. } => None,
            SimulationEnd::Stopped => return Err(ApiError::TimedOut(time_max)),
            SimulationEnd::Reverted { reason: _, data } => {
                Some((CALL_REVERTED, Some(data.clone())))
            }
            SimulationEnd::Refused { message: _ } => Some((CALL_FAILED, None)),
        };
        let failure = failure.map(|(code, data)| {
            let message = ending::message(&run.simulated.end);
            CallFailure { code, message, data }
        });
        self.sequence.keep(&run);
        if !self.validates {
            // A call counts no transaction, but the next one is another.
            let deployment = Nonces::from_value(self.sequence.state.read(&slot)?).deployment;
            let next = nonces.tx.wrapping_add(U256::from(1)) & U256::from(u128::MAX);
            self.sequence.state.set(slot, B256::from((deployment << 128) | next));
        }
        Ok(Tried { id, run, failure })
    }

    /// What a block would refuse to take at all.
    fn check(&mut self, tx: &mut SimulatedTx, nonces: &Nonces) -> ApiResult<()> {
        let base_fee = U256::from(self.base_fee()?);
        let gas = *tx.gas_limit.get_or_insert(VALIDATED_GAS);
        let price = *tx.gas_price.get_or_insert(base_fee);
        if price < base_fee {
            return Err(SimulateError::FeeTooLow { base_fee, price }.into());
        }
        if let Some(nonce) = tx.nonce.map(U256::from) {
            let expected = nonces.tx;
            if nonce < expected {
                return Err(SimulateError::NonceTooLow { expected, nonce }.into());
            }
            if nonce > expected {
                return Err(SimulateError::NonceTooHigh { expected, nonce }.into());
            }
        }
        if tx.paymaster.paymaster.is_zero() {
            let fee = price.saturating_mul(U256::from(gas));
            let needed = fee.saturating_add(tx.value);
            let slot = StorageSlot::balance(tx.from);
            let balance = U256::from_be_bytes(self.sequence.state.read(&slot)?.0);
            if balance < needed {
                return Err(SimulateError::NoFunds { needed, balance }.into());
            }
        }
        Ok(())
    }

    /// What a transaction is called in its block: the hash of what its sender would sign.
    fn identify(&self, tx: &SimulatedTx, nonces: &Nonces) -> ApiResult<Identified> {
        let transaction_type = match tx.kind {
            SimulatedKind::Legacy => 0,
            SimulatedKind::Eip2930 => 1,
            SimulatedKind::Eip1559 => 2,
            SimulatedKind::Eip712 => 0x71,
            SimulatedKind::Priority => 0xff,
        };
        let price = tx.gas_price.unwrap_or_default();
        let parts = FilledParts {
            transaction_type,
            chain_id: U256::from(self.sequence.env.chain_id.0),
            from: tx.from,
            to: tx.to,
            nonce: tx.nonce.map_or(nonces.tx, U256::from),
            gas: U256::from(tx.gas_limit.unwrap_or(self.sequence.gas_max)),
            gas_price: (transaction_type != 2).then_some(price),
            max_fee_per_gas: (transaction_type == 2).then_some(price),
            max_priority_fee_per_gas: None,
            value: tx.value,
            input: tx.input.clone(),
        };
        let hash = keccak256([tx.from.as_slice(), &parts.unsigned()].concat());
        Ok(Identified { parts, hash: TxHash(hash) })
    }

    fn end(&mut self, tried: Vec<Tried>) -> ApiResult<()> {
        let base_fee = self.base_fee()?;
        let env = &self.sequence.env;
        let limits = self.simulation.execution.vm.limits(env.version, &env.fee_input)?;
        let (number, time, parent) = (env.block, env.block_timestamp, env.parent);
        let tx_hashes: Vec<TxHash> = tried.iter().map(|tried| tried.id.hash).collect();
        let hash = self.sequence.end_block(&tx_hashes);
        let place = Place { number, time, hash };
        let gas_used = tried.iter().map(|tried| tried.run.simulated.gas_used);
        let gas_used = gas_used.fold(0, u64::saturating_add);
        let bloom = bloom_of(tried.iter().flat_map(|tried| &tried.run.simulated.events));
        let transactions = if self.style.shows_transactions {
            let shown = (0..).zip(&tried);
            let shown = shown.map(|(index, tried)| place.transaction(&tried.id, index, base_fee));
            BlockTransactions::Full(shown.collect())
        } else {
            BlockTransactions::Hashes(tx_hashes.iter().map(|hash| hash.0).collect())
        };
        let mut first_log = 0;
        let mut calls = Vec::with_capacity(tried.len());
        for (index, tried) in (0..).zip(tried) {
            let logs = place.logs(&tried, index, first_log, self.style);
            first_log += u64::try_from(logs.len()).unwrap_or(u64::MAX);
            calls.push(SimulatedCall {
                return_data: returned(&tried.run.simulated.end),
                logs,
                gas_used: U256::from(tried.run.simulated.gas_used),
                status: u64::from(tried.failure.is_none()),
                error: tried.failure,
            });
        }
        let gas = [limits.gas_limit, gas_used, base_fee].map(U256::from);
        let block = place.block(parent, gas, bloom, transactions);
        self.done.push(SimulatedBlock { block, calls });
        Ok(())
    }
}

/// A transaction, and its name in the block.
#[derive(Debug)]
struct Identified {
    parts: FilledParts,
    hash: TxHash,
}

/// A transaction that was tried out.
#[derive(Debug)]
struct Tried {
    id: Identified,
    run: Run,
    failure: Option<CallFailure>,
}

/// A block that was tried out, as its parts name it.
#[derive(Clone, Copy, Debug)]
struct Place {
    number: L2BlockNumber,
    time: UnixSeconds,
    hash: L2BlockHash,
}

impl Place {
    fn block(
        &self,
        parent: L2BlockHash,
        [gas_limit, gas_used, base_fee_per_gas]: [U256; 3],
        logs_bloom: Bloom,
        transactions: BlockTransactions,
    ) -> eth::Block {
        eth::Block {
            hash: self.hash.0,
            parent_hash: parent.0,
            sha3_uncles: eth::Block::NO_UNCLES,
            miner: Address::ZERO,
            state_root: B256::ZERO,
            transactions_root: B256::ZERO,
            receipts_root: B256::ZERO,
            number: u64::from(self.number.0),
            l1_batch_number: None,
            gas_used,
            gas_limit,
            base_fee_per_gas,
            extra_data: Bytes::new(),
            logs_bloom,
            timestamp: self.time.0,
            l1_batch_timestamp: None,
            difficulty: U256::ZERO,
            total_difficulty: U256::ZERO,
            seal_fields: Vec::new(),
            uncles: Vec::new(),
            transactions,
            size: U256::ZERO,
            mix_hash: B256::ZERO,
            nonce: Default::default(),
        }
    }

    fn transaction(&self, id: &Identified, index: u64, base_fee: u64) -> eth::Transaction {
        let parts = &id.parts;
        let is_legacy = parts.transaction_type == 0;
        let signature = eth::Signature {
            y_parity: (!is_legacy).then_some(0),
            v: Some(0),
            r: Some(U256::ZERO),
            s: Some(U256::ZERO),
        };
        let max = parts.gas_price.or(parts.max_fee_per_gas).unwrap_or_default();
        eth::Transaction {
            hash: id.hash.0,
            nonce: parts.nonce,
            block_hash: Some(self.hash.0),
            block_number: Some(u64::from(self.number.0)),
            transaction_index: Some(index),
            from: Some(parts.from),
            to: parts.to,
            value: parts.value,
            gas_price: Some(parts.gas_price.unwrap_or(U256::from(base_fee))),
            gas: parts.gas,
            input: parts.input.clone(),
            signature,
            transaction_type: Some(parts.transaction_type),
            max_fee_per_gas: Some(max),
            max_priority_fee_per_gas: Some(U256::ZERO),
            chain_id: parts.chain_id,
            l1_batch_number: None,
            l1_batch_tx_index: None,
        }
    }

    fn logs(&self, tried: &Tried, index: u64, first: u64, style: Style) -> Vec<eth::Log> {
        let events = (0..).zip(&tried.run.simulated.events);
        events.map(|(in_tx, event)| self.log(tried, index, (first, in_tx), event, style)).collect()
    }

    fn log(
        &self,
        tried: &Tried,
        index: u64,
        (first, in_tx): (u64, u64),
        event: &Event,
        style: Style,
    ) -> eth::Log {
        let is_transfer = event.address == BASE_TOKEN && event.topics.first() == Some(&transfer());
        let is_moved = style.traces_transfers && is_transfer;
        eth::Log {
            address: if is_moved { TRANSFER_TOKEN } else { event.address },
            topics: event.topics.clone(),
            data: event.data.clone(),
            block_hash: Some(self.hash.0),
            block_number: Some(u64::from(self.number.0)),
            l1_batch_number: None,
            transaction_hash: Some(tried.id.hash.0),
            transaction_index: Some(index),
            log_index: Some(first + in_tx),
            transaction_log_index: Some(in_tx),
            log_type: None,
            removed: Some(false),
            block_timestamp: Some(self.time.0),
        }
    }
}

/// The topic of `Transfer(address,address,uint256)`.
fn transfer() -> B256 {
    keccak256("Transfer(address,address,uint256)")
}
