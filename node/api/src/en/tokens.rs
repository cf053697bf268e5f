//! `en_syncTokens`: tokens that bridges made, found in the events of the chain.
//!
//! The index of logs says where bridges deployed something; only those blocks are read. What has been
//! found is kept in memory, and up to which block, so each request looks for what is new since, and
//! reads no more rows of the index than a request for logs may. After a rollback of blocks that were
//! looked into, everything is looked for again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jsonrpsee::types::params::ParamsSequence;
use lockstep_store::{LogClause, LogRole, LogStep};
use lockstep_types::{
    Address, Event, L2BlockHash, L2BlockNumber, U256, address::CONTRACT_DEPLOYER,
    alloy_primitives::address, keccak256,
};
use lockstep_wire::{
    Announced,
    en::{TokenInfo, TokenMetadata},
};
use tokio::sync::watch;

use crate::{
    call::{Call, Methods},
    error::{ApiError, ApiResult},
};

/// The native token vault, which deploys bridged tokens.
const NATIVE_TOKEN_VAULT: Address = address!("0000000000000000000000000000000000010004");

/// Rows of the index that each request may read.
const ROWS_MIN: u64 = 4;

/// Topic of a deployment that says by whom.
const DEPLOYER: u8 = 1;

pub(super) fn register(methods: &mut Methods, announced: &watch::Receiver<Announced>) {
    let announced = announced.clone();
    let known = Arc::new(Mutex::new(Scan::default()));
    methods.add("en_syncTokens", move |call, params| {
        let legacy = announced.borrow().bridges.as_ref().and_then(|it| it.l2_legacy_shared_bridge);
        tokens(call, params, &known, legacy)
    });
}

/// Tokens that there were after a block, ether first.
fn tokens(
    call: &Call,
    params: &mut ParamsSequence<'_>,
    known: &Mutex<Scan>,
    legacy_bridge: Option<Address>,
) -> ApiResult<Vec<TokenInfo>> {
    let head = call.head()?;
    let until = params.optional_next()?.map_or(head, L2BlockNumber).min(head);
    let bridges = [Some(NATIVE_TOKEN_VAULT), legacy_bridge.filter(|bridge| !bridge.is_zero())];
    // Looked for without the lock: nobody waits for the disk of another.
    let mut scan = lock(known).clone().valid_for(call, bridges)?;
    let goal = until.next();
    scan.go_on(call, goal)?;
    let tokens = (scan.next >= goal).then(|| scan.tokens_until(until));
    let done = scan.next;
    let mut known = lock(known);
    if known.bridges != scan.bridges || known.next < scan.next || known.is_off(call)? {
        *known = scan;
    }
    tokens.ok_or(ApiError::StillLooking { done, of: goal })
}

/// A panic while the lock is held leaves a whole scan behind.
fn lock(known: &Mutex<Scan>) -> MutexGuard<'_, Scan> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tokens in the blocks before `next`.
#[derive(Clone, Debug, Default)]
struct Scan {
    next: L2BlockNumber,
    /// Of the block before `next`.
    hash: L2BlockHash,
    /// Whose deployments are tokens.
    bridges: [Option<Address>; 2],
    found: Vec<(L2BlockNumber, TokenInfo)>,
}

impl Scan {
    /// This, or the beginning of one if what was looked into is gone or something else was looked
    /// for.
    fn valid_for(self, call: &Call, bridges: [Option<Address>; 2]) -> ApiResult<Self> {
        if self.bridges == bridges && !self.is_off(call)? {
            return Ok(self);
        }
        Ok(Self { bridges, ..Self::default() })
    }

    /// Whether what was looked into is not part of the chain.
    fn is_off(&self, call: &Call) -> ApiResult<bool> {
        let Some(last) = self.next.prev() else { return Ok(false) };
        Ok(call.view.block(last)?.is_none_or(|header| header.hash != self.hash))
    }

    /// Looks for tokens up to `goal`, or as far as one request may.
    fn go_on(&mut self, call: &Call, goal: L2BlockNumber) -> ApiResult<()> {
        let Some(last) = goal.prev().filter(|_| self.next < goal) else { return Ok(()) };
        let deployers = self.bridges.iter().flatten().map(|bridge| bridge.into_word());
        let clauses = [
            LogClause { role: LogRole::Emitter, words: vec![CONTRACT_DEPLOYER.into_word()] },
            LogClause { role: LogRole::Topic(DEPLOYER), words: deployers.collect() },
        ];
        // With fewer, a request might not get to the next block.
        let rows_max = call.config.log_rows_max.max(ROWS_MIN);
        let mut candidates = call.view.log_candidates(&clauses, [self.next, last], rows_max);
        let mut done = goal;
        loop {
            match candidates.step()? {
                LogStep::Found { block, receipts: _ } => self.look_into(call, block)?,
                LogStep::Spent(block) => {
                    done = block;
                    break;
                }
                LogStep::End => break,
            }
        }
        self.next = done;
        if let Some(last) = done.prev() {
            self.hash = call.header(last)?.hash;
        }
        Ok(())
    }

    fn look_into(&mut self, call: &Call, number: L2BlockNumber) -> ApiResult<()> {
        let receipts = call.view.receipts(number)?;
        let events: Vec<_> = receipts.iter().flat_map(|receipt| &receipt.events).collect();
        let deployed = events.iter().filter_map(|event| self.deployed(event));
        let tokens = deployed.filter_map(|at| events.iter().find_map(|event| token(at, event)));
        let tokens: Vec<_> = tokens.map(|token| (number, token)).collect();
        self.found.extend(tokens);
        Ok(())
    }

    /// The contract that a bridge deployed.
    fn deployed(&self, event: &Event) -> Option<Address> {
        let &[signature, deployer, _bytecode, contract] = event.topics.as_slice() else {
            return None;
        };
        let is_deployment = event.address == CONTRACT_DEPLOYER
            && signature == keccak256("ContractDeployed(address,bytes32,address)");
        let deployer = Some(Address::from_word(deployer));
        (is_deployment && self.bridges.contains(&deployer)).then(|| Address::from_word(contract))
    }

    fn tokens_until(&mut self, until: L2BlockNumber) -> Vec<TokenInfo> {
        let found = self.found.iter().filter(|(block, _)| *block <= until);
        [ether()].into_iter().chain(found.map(|(_, token)| token.clone())).collect()
    }
}

fn ether() -> TokenInfo {
    TokenInfo {
        l1_address: Address::ZERO,
        l2_address: Address::ZERO,
        metadata: TokenMetadata {
            name: "Ether".to_owned(),
            symbol: "ETH".to_owned(),
            decimals: 18,
        },
    }
}

/// What the contract at `l2_address` says of itself when it becomes a bridged token, if `event` is
/// that and can be read.
fn token(l2_address: Address, event: &Event) -> Option<TokenInfo> {
    let &[signature, l1_token] = event.topics.as_slice() else { return None };
    let is_beginning = ["BridgeInitialize", "BridgeInitialization"]
        .iter()
        .any(|name| signature == keccak256(format!("{name}(address,string,string,uint8)")));
    if event.address != l2_address || !is_beginning {
        return None;
    }
    let metadata = TokenMetadata {
        name: text(&event.data, 0)?,
        symbol: text(&event.data, 1)?,
        decimals: u8::try_from(word(&event.data, 2 * WORD)?).ok()?,
    };
    Some(TokenInfo { l1_address: Address::from_word(l1_token), l2_address, metadata })
}

/// Bytes of a word of the ABI.
const WORD: usize = 32;

/// The string that parameter `index` of `data` points to.
fn text(data: &[u8], index: usize) -> Option<String> {
    let offset = usize::try_from(word(data, index * WORD)?).ok()?;
    let length = usize::try_from(word(data, offset)?).ok()?;
    let start = offset.checked_add(WORD)?;
    let bytes = data.get(start..start.checked_add(length)?)?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

fn word(data: &[u8], offset: usize) -> Option<U256> {
    Some(U256::from_be_slice(data.get(offset..offset.checked_add(WORD)?)?))
}
