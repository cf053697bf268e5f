//! A recorded chain, and the state that its blocks are run on.

use std::{collections::BTreeMap, sync::Arc};

use lockstep_testvectors::{MainNodeRecording, Recording};
use lockstep_types::{
    Address, B256, BaseSystemContracts, BytecodeHash, Bytes, ChainId, L2BlockHash, L2BlockNumber,
    LeafIndex, StateRoot, StorageSlot, U256, address,
    block::{BlockHashInput, block_hash, legacy_block_hash},
};
use lockstep_vm::{BaseContracts, BatchEnv, BlockEnv, Contract, StorageError, VmStorage};
use lockstep_wire::en::{SyncBlock, SyncBlockParts};
use serde_json::{Value, json};

/// Every chain's genesis has this chain id; the real one is set by the first transaction.
const GENESIS_CHAIN_ID: u64 = 270;

/// Slots with values and indices, and bytecodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) slots: BTreeMap<StorageSlot, (B256, LeafIndex)>,
    pub(crate) codes: BTreeMap<BytecodeHash, Bytes>,
}

impl State {
    pub(crate) fn value(&self, slot: &StorageSlot) -> B256 {
        self.slots.get(slot).map_or(B256::ZERO, |(value, _)| *value)
    }

    /// Writes slots that were changed, in canonical order; new ones get the next indices.
    pub(crate) fn write(&mut self, writes: &[(StorageSlot, B256)]) {
        assert!(writes.windows(2).all(|pair| pair[0].0 < pair[1].0), "not in canonical order");
        for (slot, value) in writes {
            let next = LeafIndex(self.slots.len() as u64 + 1);
            self.slots.entry(*slot).or_insert((B256::ZERO, next)).0 = *value;
        }
    }

    pub(crate) fn add_code(&mut self, code: &Bytes) {
        self.codes.insert(BytecodeHash::of_era(code).unwrap(), code.clone());
    }
}

/// Reads of a state; fails from the read on that it is told to.
#[derive(Debug)]
pub(crate) struct Reads {
    pub(crate) state: Arc<State>,
    pub(crate) reads_left: usize,
}

impl Reads {
    pub(crate) fn of(state: &Arc<State>) -> Box<Self> {
        Box::new(Self { state: Arc::clone(state), reads_left: usize::MAX })
    }

    fn read(&mut self) -> Result<&State, StorageError> {
        let left = self.reads_left.checked_sub(1);
        self.reads_left = left.ok_or_else(|| StorageError("planted".to_owned()))?;
        Ok(&self.state)
    }
}

impl VmStorage for Reads {
    fn value(&mut self, slot: &StorageSlot) -> Result<B256, StorageError> {
        Ok(self.read()?.value(slot))
    }

    fn leaf_index(&mut self, slot: &StorageSlot) -> Result<Option<LeafIndex>, StorageError> {
        Ok(self.read()?.slots.get(slot).map(|(_, index)| *index))
    }

    fn bytecode(&mut self, hash: &BytecodeHash) -> Result<Option<Bytes>, StorageError> {
        Ok(self.read()?.codes.get(hash).cloned())
    }
}

/// What the system context of every chain begins with.
pub(crate) fn context_slots(chain_id: u64) -> [(StorageSlot, B256); 4] {
    let context = [(0, chain_id), (3, 1 << 50), (4, 0x8001), (5, 2_500_000_000_000_000)];
    context.map(|(key, value)| (StorageSlot::new(address::SYSTEM_CONTEXT, word(key)), word(value)))
}

/// A recorded block with the hash of the one before.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) parts: SyncBlockParts,
    pub(crate) parent: L2BlockHash,
}

impl Block {
    pub(crate) fn env(&self) -> BlockEnv {
        let params = &self.parts.params;
        BlockEnv {
            number: params.number,
            timestamp: params.timestamp,
            parent: self.parent,
            virtual_block_count: params.virtual_block_count,
            interop_roots: params.interop_roots.clone(),
        }
    }

    pub(crate) fn txs(&self) -> &[lockstep_types::Transaction] {
        self.parts.transactions.as_deref().expect("recorded with transactions")
    }
}

/// A recorded chain.
#[derive(Debug)]
pub(crate) struct Chain {
    main_node: MainNodeRecording,
    chain_id: ChainId,
    /// Of every batch, one after an upgrade may have others.
    base_contracts: Vec<(BaseSystemContracts, Arc<BaseContracts>)>,
    /// Blocks by batch, from batch 1 on.
    pub(crate) batches: Vec<Vec<Block>>,
}

impl Chain {
    pub(crate) fn load(recording: &Recording) -> Self {
        let main_node = recording.main_node();
        let mut parent = legacy_block_hash(L2BlockNumber(0));
        let mut batches: Vec<Vec<Block>> = Vec::new();
        for number in 1..=main_node.head() {
            let answer = main_node.answer("en_syncL2Block", &json!([number, true]));
            let json = answer.unwrap().result().unwrap();
            let parts = SyncBlock::from_json(L2BlockNumber(number), json).unwrap();
            let block = Block { parts: SyncBlockParts::try_from(parts).unwrap(), parent };
            parent = hash_of(&block);
            assert_eq!(Some(parent), block.parts.claimed_hash, "block {number}");
            let batch = block.parts.params.batch.0 as usize;
            batches.resize(batches.len().max(batch), Vec::new());
            batches[batch - 1].push(block);
        }
        batches.retain(|blocks| blocks.last().is_some_and(|last| last.parts.params.is_fictive));
        let mut contracts: Vec<(BaseSystemContracts, Arc<BaseContracts>)> = Vec::new();
        for blocks in &batches {
            let hashes = blocks[0].parts.params.base_system_contracts;
            if contracts.iter().all(|(known, _)| *known != hashes) {
                contracts.push((hashes, Arc::new(base_contracts(&main_node, hashes))));
            }
        }
        let chain_id: String = main_node.answer("eth_chainId", &json!([])).unwrap().parse();
        let chain_id = u64::from_str_radix(chain_id.trim_start_matches("0x"), 16).unwrap();
        Self { main_node, chain_id: ChainId(chain_id), base_contracts: contracts, batches }
    }

    /// The state after block 0, by the rules of a genesis.
    pub(crate) fn genesis(&self) -> State {
        let mut state = State::default();
        let mut slots = BTreeMap::new();
        for contract in address::genesis_contracts() {
            let Some(hash) = self.genesis_code_hash(contract) else { continue };
            state.codes.insert(BytecodeHash(hash), code(&self.main_node, BytecodeHash(hash)));
            slots.insert(StorageSlot::code_hash(contract), hash);
            slots.insert(StorageSlot::known_code(hash), word(1));
        }
        slots.extend(context_slots(GENESIS_CHAIN_ID));
        state.write(&slots.into_iter().collect::<Vec<_>>());
        state
    }

    fn genesis_code_hash(&self, contract: Address) -> Option<B256> {
        let key = format!("{:#x}", U256::from_be_bytes(contract.into_word().0));
        let params = json!([address::ACCOUNT_CODE_STORAGE, key, "0x0"]);
        let answer = self.main_node.answer("eth_getStorageAt", &params)?;
        Some(answer.parse::<B256>()).filter(|hash| !hash.is_zero())
    }

    /// Environment of the batch at `index` of [`batches`](Self::batches).
    pub(crate) fn env(&self, index: usize) -> BatchEnv {
        let params = &self.batches[index][0].parts.params;
        let details = self.details(params.batch.0 - 1);
        let root: B256 = serde_json::from_value(details["rootHash"].clone()).unwrap();
        let hashes = params.base_system_contracts;
        let mut contracts = self.base_contracts.iter();
        let contracts = contracts.find(|(known, _)| *known == hashes).expect("they were loaded");
        BatchEnv {
            chain_id: self.chain_id,
            version: params.version,
            number: params.batch,
            timestamp: params.timestamp,
            previous_root: StateRoot(root),
            fee_input: params.fee_input,
            fee_account: params.fee_account,
            base_contracts: Arc::clone(&contracts.1),
            pubdata_params: params.pubdata_params,
            settlement_layer: params.settlement_layer,
            interop_fee: params.interop_fee.unwrap_or_default(),
        }
    }

    fn details(&self, batch: u32) -> Value {
        self.main_node.answer("zks_getL1BatchDetails", &json!([batch])).unwrap().parse()
    }
}

fn hash_of(block: &Block) -> L2BlockHash {
    let tx_hashes: Vec<_> = block.txs().iter().map(|tx| tx.hash()).collect();
    let params = &block.parts.params;
    let input = BlockHashInput {
        number: params.number,
        timestamp: params.timestamp,
        parent: block.parent,
        tx_hashes: &tx_hashes,
    };
    block_hash(&input, params.version)
}

fn base_contracts(main_node: &MainNodeRecording, hashes: BaseSystemContracts) -> BaseContracts {
    let contract = |hash| Contract { hash, code: code(main_node, hash) };
    BaseContracts {
        bootloader: contract(hashes.bootloader),
        default_account: contract(hashes.default_account),
        evm_emulator: hashes.evm_emulator.map(contract),
    }
}

fn code(main_node: &MainNodeRecording, hash: BytecodeHash) -> Bytes {
    let code: Vec<u8> =
        main_node.answer("zks_getBytecodeByHash", &json!([hash.0])).unwrap().parse();
    assert!(hash.is_of(&code), "{hash} has another code");
    code.into()
}

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}
