//! Draws transactions, one after the other, and learns from what became of them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use lockstep_types::{
    Address, B256, BytecodeHash, Bytes, ChainId, Transaction, TxOutcome, U256, address, keccak256,
};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use zksync_multivm::zk_evm_latest::zkevm_opcode_defs::{
    Opcode, UMAOpcode,
    decoding::{EncodingModeProduction, VmEncodingMode},
};

use crate::{
    evm, inputs,
    sign::{Account, Envelope, FromL1, L1Request, Request, from_l1, signed},
};

/// Accounts that send.
const ACCOUNTS: u8 = 12;
/// Deployed contracts that are remembered, of each kind.
const CONTRACTS_MAX: usize = 40;
/// Words of generated EraVM code, at most; those of a recorded one may be more.
const ERA_WORDS_MAX: usize = 61;
/// Words of recorded EraVM code that is deployed again, at most.
const RECORDED_WORDS_MAX: usize = 400;

/// What a transaction is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Transfer,
    EvmDeploy,
    EvmCall,
    EraPublish,
    EraDeploy,
    EraCall,
    Precompile,
    ToL1,
    Recorded,
    Forbidden,
    Priority,
    /// Never drawn; it comes where a version begins.
    Upgrade,
}

impl Kind {
    /// With how often each is drawn.
    pub(crate) const ALL: [(Self, u32); 11] = [
        (Self::Transfer, 10),
        (Self::EvmDeploy, 16),
        (Self::EvmCall, 24),
        (Self::EraPublish, 3),
        (Self::EraDeploy, 9),
        (Self::EraCall, 8),
        (Self::Precompile, 8),
        (Self::ToL1, 4),
        (Self::Recorded, 8),
        (Self::Forbidden, 5),
        (Self::Priority, 9),
    ];
}

/// A transaction with what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    pub(crate) kind: Kind,
    pub(crate) envelope: Option<Envelope>,
    pub(crate) tx: Transaction,
    /// Whether no block can include it.
    pub(crate) is_impossible: bool,
    /// Which account sent it.
    sender: Option<usize>,
}

/// What is taken from a recorded chain.
#[derive(Clone, Default)]
pub(crate) struct Recorded {
    pub(crate) calls: Vec<(Address, Bytes)>,
    pub(crate) codes: Vec<Bytes>,
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").finish_non_exhaustive()
    }
}

/// What is known of the chain; taken back with the batch.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) accounts: Vec<Account>,
    evm: Vec<Address>,
    era: Vec<Address>,
    published: Vec<BytecodeHash>,
    next_serial_id: u64,
}

/// Prices of the open batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prices {
    pub(crate) base_fee: u64,
    pub(crate) gas_per_pubdata: u64,
}

/// Draws transactions.
#[derive(Debug)]
pub(crate) struct Generator {
    pub(crate) rng: ChaCha8Rng,
    pub(crate) known: Known,
    pub(crate) prices: Prices,
    /// Whether transactions that bring bytecodes may run out of gas.
    pub(crate) starves_publishing: bool,
    /// Whether the chain has an EVM emulator.
    pub(crate) has_evm: bool,
    recorded: Arc<Recorded>,
    chain_id: ChainId,
}

/// What is to be done, before it is decided how.
#[derive(Debug, Default)]
struct Aim {
    to: Option<Address>,
    input: Bytes,
    value: U256,
    factory_deps: Vec<Bytes>,
    /// Gas it may compute with, before anything is published.
    gas: u64,
}

impl Generator {
    pub(crate) fn new(seed: u64, recorded: Recorded, chain_id: ChainId, serial_id: u64) -> Self {
        let account = |index: u8| Account::new(keccak256([0xac, index]).0);
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            known: Known {
                accounts: (0..ACCOUNTS).map(account).collect(),
                evm: Vec::new(),
                era: Vec::new(),
                published: Vec::new(),
                next_serial_id: serial_id,
            },
            prices: Prices { base_fee: 1, gas_per_pubdata: 1 },
            starves_publishing: false,
            has_evm: true,
            recorded: Arc::new(recorded),
            chain_id,
        }
    }

    /// A transaction that a block can include, as far as can be known.
    pub(crate) fn next(&mut self) -> Drawn {
        let kinds = Kind::ALL;
        let kind = kinds.choose_weighted(&mut self.rng, |(_, weight)| *weight).unwrap().0;
        if kind == Kind::Priority {
            return self.next_priority();
        }
        let aim = self.aim(kind);
        let (request, sender) = self.request(aim);
        self.sign(kind, &request, sender)
    }

    /// A transaction that no block can include.
    pub(crate) fn next_impossible(&mut self) -> Drawn {
        let aim = self.aim(Kind::Transfer);
        let (mut request, sender) = self.request(aim);
        let mut account = self.known.accounts[sender].clone();
        match self.rng.gen_range(0..8) {
            0 => request.nonce += self.rng.gen_range(1..3),
            1 if request.nonce > 0 => request.nonce -= 1,
            2 => request.gas_price = self.prices.base_fee - 1,
            3 => request.gas_limit = self.rng.gen_range(0..25_000),
            4 => request.value = U256::MAX >> self.rng.gen_range(0..9),
            5 => (request.envelope, request.tip) = (Envelope::Eip1559, request.gas_price + 1),
            6 if self.prices.gas_per_pubdata > 0 => {
                request.envelope = Envelope::Eip712;
                request.gas_per_pubdata_limit = self.prices.gas_per_pubdata - 1;
            }
            _ => {
                // Nobody has sent it anything.
                account = Account::new(keccak256(self.rng.r#gen::<[u8; 32]>()).0);
                request.nonce = 0;
            }
        }
        if request.envelope != Envelope::Eip1559 && request.envelope != Envelope::Eip712 {
            request.tip = request.gas_price;
        }
        let tx = signed(&request, &account, self.chain_id);
        Drawn {
            kind: Kind::Transfer,
            envelope: Some(request.envelope),
            tx,
            is_impossible: true,
            sender: Some(sender),
        }
    }

    /// What became of a transaction.
    pub(crate) fn learn(&mut self, drawn: &Drawn, outcome: &TxOutcome) {
        match drawn.sender {
            Some(sender) => self.known.accounts[sender].nonce += 1,
            None if drawn.kind == Kind::Upgrade => {}
            None => self.known.next_serial_id += 1,
        }
        let deployed = keccak256("ContractDeployed(address,bytes32,address)");
        for event in &outcome.events {
            if event.address != address::CONTRACT_DEPLOYER
                || event.topics.first() != Some(&deployed)
            {
                continue;
            }
            let (hash, at) = (event.topics[2], Address::from_word(event.topics[3]));
            let known = if hash[0] == 2 { &mut self.known.evm } else { &mut self.known.era };
            if known.len() == CONTRACTS_MAX {
                known.remove(self.rng.gen_range(0..CONTRACTS_MAX));
            }
            known.push(at);
        }
        if drawn.kind == Kind::EraPublish {
            let deps = &drawn.tx.execute.factory_deps;
            self.known.published.extend(deps.iter().map(|dep| BytecodeHash::of_era(dep).unwrap()));
        }
    }

    fn callees(known: &Known) -> evm::Callees<'_> {
        evm::Callees { evm: &known.evm, era: &known.era }
    }

    fn someone(&mut self) -> Address {
        if self.rng.gen_bool(0.5) {
            self.known.accounts.choose(&mut self.rng).unwrap().address
        } else {
            Address::new(self.rng.r#gen())
        }
    }

    fn aim(&mut self, kind: Kind) -> Aim {
        let ample = 6_000_000;
        match kind {
            Kind::Transfer | Kind::Priority | Kind::Upgrade => {
                let value = U256::from(self.rng.gen_range(0..1_u64 << 50));
                Aim { to: Some(self.someone()), value, gas: 1_000_000, ..Aim::default() }
            }
            Kind::EvmDeploy => self.evm_deployment(),
            Kind::EvmCall => {
                let to = self.known.evm.choose(&mut self.rng).copied();
                let to = to.unwrap_or_else(|| self.someone());
                let is_paying = self.rng.gen_bool(0.3);
                let value =
                    if is_paying { U256::from(self.rng.gen_range(0..1_000)) } else { U256::ZERO };
                let input = evm::calldata(&mut self.rng);
                Aim { to: Some(to), input, value, gas: 4_000_000, ..Aim::default() }
            }
            Kind::EraPublish => {
                let count = self.rng.gen_range(1..4);
                let factory_deps = (0..count).map(|_| self.era_code()).collect();
                Aim { to: Some(self.someone()), factory_deps, gas: ample, ..Aim::default() }
            }
            Kind::EraDeploy => self.era_deployment(),
            Kind::EraCall => {
                let to = self.known.era.choose(&mut self.rng).copied();
                let to = to.unwrap_or_else(|| self.someone());
                let input = evm::calldata(&mut self.rng);
                Aim { to: Some(to), input, gas: 3_000_000, ..Aim::default() }
            }
            Kind::Precompile => {
                let (to, input) = inputs::precompile(&mut self.rng, &self.known.accounts[0]);
                Aim { to: Some(to), input, gas: ample, ..Aim::default() }
            }
            Kind::ToL1 => {
                let length = self.rng.gen_range(0..500);
                let message: Vec<u8> = (0..length).map(|_| self.rng.r#gen()).collect();
                let input = inputs::call("sendToL1(bytes)", &[], &message);
                Aim { to: Some(address::L1_MESSENGER), input, gas: ample, ..Aim::default() }
            }
            Kind::Recorded => {
                let (to, mut input) = self.recorded.calls.choose(&mut self.rng).unwrap().clone();
                if self.rng.gen_bool(0.4) && !input.is_empty() {
                    let mut changed = input.to_vec();
                    let at = self.rng.gen_range(0..changed.len());
                    changed[at] ^= 1 << self.rng.gen_range(0..8);
                    input = changed.into();
                }
                Aim { to: Some(to), input, gas: ample, ..Aim::default() }
            }
            Kind::Forbidden => {
                let (to, input) = if self.rng.gen_bool(0.7) {
                    inputs::forbidden(&mut self.rng)
                } else {
                    inputs::anything_of_the_system(&mut self.rng)
                };
                Aim { to: Some(to), input, gas: 3_000_000, ..Aim::default() }
            }
        }
    }

    fn evm_deployment(&mut self) -> Aim {
        let callees = Self::callees(&self.known);
        let runtime = evm::runtime(&mut self.rng, callees);
        let code = evm::init(&mut self.rng, &runtime, callees);
        let gas = 8_000_000;
        let salt = B256::new(self.rng.r#gen());
        let draw = self.rng.gen_range(0..10);
        let is_by_call = draw == 1;
        let (to, input) = match draw {
            0 => (Some(address::CONTRACT_DEPLOYER), inputs::call("createEVM(bytes)", &[], &code)),
            _ if self.has_evm && !is_by_call => (None, code),
            _ => {
                let input = inputs::call("create2EVM(bytes32,bytes)", &[salt], &code);
                (Some(address::CONTRACT_DEPLOYER), input)
            }
        };
        Aim { to, input, gas, ..Aim::default() }
    }

    fn era_deployment(&mut self) -> Aim {
        let mut factory_deps = Vec::new();
        let published = self.known.published.choose(&mut self.rng).copied();
        let hash = match published {
            Some(hash) if self.rng.gen_bool(0.3) => hash.0,
            _ if self.rng.gen_bool(0.05) => B256::new(self.rng.r#gen()), // Known to nobody.
            _ => {
                let code = self.era_code();
                let hash = BytecodeHash::of_era(&code).unwrap();
                factory_deps.push(code);
                hash.0
            }
        };
        let how = ["create(bytes32,bytes32,bytes)", "create2(bytes32,bytes32,bytes)"];
        let how = how.choose(&mut self.rng).unwrap();
        let salt = B256::new(self.rng.r#gen());
        let input = inputs::call(how, &[salt, hash], &evm::calldata(&mut self.rng));
        let to = Some(address::CONTRACT_DEPLOYER);
        Aim { to, input, factory_deps, gas: 6_000_000, ..Aim::default() }
    }

    /// EraVM code: junk, instructions of recorded code in another order, or recorded code with a
    /// few changes.
    fn era_code(&mut self) -> Bytes {
        let mut code = self.any_era_code().to_vec();
        for instruction in code.chunks_exact_mut(8).filter(|chunk| is_for_static_memory(chunk)) {
            instruction.fill(0);
        }
        code.into()
    }

    /// A deployment whose constructor begins with an instruction for static memory, the `index`th
    /// of them, which is run on one of eight conditions.
    pub(crate) fn static_memory(&mut self, index: usize, condition: u64) -> Drawn {
        let numbers = (0..1 << 11).map(|number: u64| number | condition << 13);
        let mut numbers = numbers.filter(|number| is_for_static_memory(&number.to_be_bytes()));
        let first = numbers.nth(index).expect("there are eight such instructions");
        let mut code = vec![0; 96];
        code[..8].copy_from_slice(&first.to_be_bytes());
        self.deploy(code.into())
    }

    /// A deployment of `code`, which is its own constructor.
    pub(crate) fn deploy(&mut self, code: Bytes) -> Drawn {
        let words = [B256::ZERO, BytecodeHash::of_era(&code).unwrap().0];
        let input = inputs::call("create(bytes32,bytes32,bytes)", &words, &[]);
        let to = Some(address::CONTRACT_DEPLOYER);
        let aim = Aim { to, input, factory_deps: vec![code], gas: 6_000_000, ..Aim::default() };
        let (request, sender) = self.request(aim);
        self.sign(Kind::EraDeploy, &request, sender)
    }

    fn any_era_code(&mut self) -> Bytes {
        let words = self.rng.gen_range(0..=ERA_WORDS_MAX / 2) * 2 + 1;
        let codes = &self.recorded.codes;
        match self.rng.gen_range(0..6) {
            0 => (0..words * 32).map(|_| self.rng.r#gen::<u8>()).collect::<Vec<_>>().into(),
            1 | 2 => {
                let mut code = Vec::new();
                while code.len() < words * 32 {
                    let from = codes.choose(&mut self.rng).unwrap();
                    let at = self.rng.gen_range(0..from.len() / 8) * 8;
                    let run = self.rng.gen_range(1..6) * 8;
                    code.extend(&from[at..(at + run).min(from.len())]);
                }
                code.truncate(words * 32);
                code.into()
            }
            _ => {
                let small: Vec<_> =
                    codes.iter().filter(|code| code.len() <= RECORDED_WORDS_MAX * 32).collect();
                let mut code = small.choose(&mut self.rng).unwrap().to_vec();
                for _ in 0..self.rng.gen_range(0..4) {
                    let at = self.rng.gen_range(0..code.len());
                    code[at] ^= 1 << self.rng.gen_range(0..8);
                }
                code.into()
            }
        }
    }

    /// Gas for the whole: what it computes with, and what it publishes.
    fn gas_limit(&mut self, aim: &Aim) -> u64 {
        let published: usize = aim.factory_deps.iter().map(|dep| dep.len() + 100).sum();
        let input = if aim.to.is_none() { aim.input.len() * 2 } else { aim.input.len() / 4 };
        let bytes = u64::try_from(published + input).unwrap();
        // Validation and payment alone.
        let least = 160_000 + 250 * self.prices.gas_per_pubdata;
        let ample = least + aim.gas + (bytes + 2_000) * self.prices.gas_per_pubdata;
        match self.rng.gen_range(0..10) {
            _ if published > 0 && !self.starves_publishing => ample,
            0 => self.rng.gen_range(least..least * 2),
            1 => self.rng.gen_range(least..ample),
            _ => ample,
        }
    }

    fn request(&mut self, aim: Aim) -> (Request, usize) {
        let gas_limit = self.gas_limit(&aim);
        let sender = self.rng.gen_range(0..self.known.accounts.len());
        let mut envelope = *Envelope::ALL.choose(&mut self.rng).unwrap();
        if !aim.factory_deps.is_empty() {
            envelope = Envelope::Eip712;
        }
        if aim.to.is_none() && envelope == Envelope::Eip712 {
            envelope = Envelope::Eip1559;
        }
        let gas_price = self.rng.gen_range(self.prices.base_fee..=self.prices.base_fee * 2);
        let has_tip = matches!(envelope, Envelope::Eip1559 | Envelope::Eip712);
        let tip = if has_tip { self.rng.gen_range(0..=gas_price) } else { gas_price };
        let gas_per_pubdata_limit = if envelope == Envelope::Eip712 && self.rng.gen_bool(0.5) {
            self.rng.gen_range(self.prices.gas_per_pubdata..=50_000)
        } else {
            50_000
        };
        let Aim { to, input, value, factory_deps, gas: _ } = aim;
        let nonce = self.known.accounts[sender].nonce;
        let request = Request {
            envelope,
            nonce,
            to,
            value,
            input,
            factory_deps,
            gas_limit,
            gas_price,
            tip,
            gas_per_pubdata_limit,
        };
        (request, sender)
    }

    fn sign(&self, kind: Kind, request: &Request, sender: usize) -> Drawn {
        let tx = signed(request, &self.known.accounts[sender], self.chain_id);
        let envelope = Some(request.envelope);
        Drawn { kind, envelope, tx, is_impossible: false, sender: Some(sender) }
    }

    fn next_priority(&mut self) -> Drawn {
        let kinds = [Kind::Transfer, Kind::EvmCall, Kind::EraDeploy, Kind::ToL1, Kind::Forbidden];
        let kind = *kinds.choose(&mut self.rng).unwrap();
        let aim = self.aim(kind);
        let gas_limit = match self.rng.gen_range(0..5) {
            0 => self.rng.gen_range(200_000..1_000_000),
            _ => self.gas_limit(&aim) + 1_000_000,
        };
        let gas_price = self.rng.gen_range(self.prices.base_fee..=self.prices.base_fee * 2);
        let fee = U256::from(gas_price) * U256::from(gas_limit);
        let value = if self.rng.gen_bool(0.5) { aim.value } else { U256::ZERO };
        let left = U256::from(self.rng.gen_range(0..1_u64 << 40));
        let request = L1Request {
            kind: FromL1::Priority { serial_id: self.known.next_serial_id },
            from: self.someone(),
            to: aim.to.unwrap_or_default(),
            value,
            to_mint: fee + value + left,
            input: aim.input,
            factory_deps: aim.factory_deps,
            gas_limit,
            gas_price,
            gas_per_pubdata_limit: self.prices.gas_per_pubdata.max(800),
            refund_recipient: self.someone(),
        };
        let tx = from_l1(&request);
        Drawn { kind: Kind::Priority, envelope: None, tx, is_impossible: false, sender: None }
    }

    /// A priority operation that does nothing but publish `codes`.
    pub(crate) fn publish(&mut self, codes: Vec<Bytes>) -> Drawn {
        let bytes: usize = codes.iter().map(|code| code.len() + 100).sum();
        let bytes = u64::try_from(bytes).expect("it is short");
        let gas_per_pubdata = self.prices.gas_per_pubdata.max(800);
        let gas_limit = 5_000_000 + 2 * bytes * gas_per_pubdata;
        let fee = U256::from(self.prices.base_fee) * U256::from(gas_limit);
        let from = self.someone();
        let tx = from_l1(&L1Request {
            kind: FromL1::Priority { serial_id: self.known.next_serial_id },
            from,
            to: from,
            value: U256::ZERO,
            to_mint: fee,
            input: Bytes::new(),
            factory_deps: codes,
            gas_limit,
            gas_price: self.prices.base_fee,
            gas_per_pubdata_limit: gas_per_pubdata,
            refund_recipient: from,
        });
        Drawn { kind: Kind::Priority, envelope: None, tx, is_impossible: false, sender: None }
    }

    /// The transaction that begins `version`: it puts published codes in their places.
    pub(crate) fn upgrade(&self, version: u16, places: &[(Address, BytecodeHash)]) -> Drawn {
        let tx = from_l1(&L1Request {
            kind: FromL1::Upgrade { version },
            from: address::FORCE_DEPLOYER,
            to: address::CONTRACT_DEPLOYER,
            value: U256::ZERO,
            to_mint: U256::ZERO,
            input: inputs::force_deploy(places),
            factory_deps: Vec::new(),
            gas_limit: 72_000_000,
            gas_price: 0,
            gas_per_pubdata_limit: 800,
            refund_recipient: Address::ZERO,
        });
        Drawn { kind: Kind::Upgrade, envelope: None, tx, is_impossible: false, sender: None }
    }
}

/// Whether an instruction is one that `zksync_vm2` does not have: the crates' fast machine, which is
/// built on it, cannot go on then. What our own does is in another test.
fn is_for_static_memory(instruction: &[u8]) -> bool {
    let number = u64::from_be_bytes(instruction.try_into().expect("eight bytes"));
    let (parsed, _) = EncodingModeProduction::parse_preliminary_variant_and_absolute_number(number);
    matches!(
        parsed.variant.opcode,
        Opcode::UMA(UMAOpcode::StaticMemoryRead | UMAOpcode::StaticMemoryWrite)
    )
}

/// How often something was seen.
pub(crate) type Counts<K> = BTreeMap<K, usize>;
