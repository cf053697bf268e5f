//! Toy transactions: priority operations, signed transactions, upgrades.
//!
//! Hashes and signatures are made here from their definitions, so that the node's own checks are
//! compared with something else than themselves.

use std::sync::LazyLock;

use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use lockstep_types::{
    Address, BytecodeHash, Bytes, ChainId, Execute, Fee, L2Common, ObsoletePriority,
    PaymasterParams, PriorityCommon, ProtocolVersion, Transaction, TxCommon, TxHash, TxType, U256,
    UpgradeCommon, address, keccak256,
};
use lockstep_vm_toy::{Op, Program};

use super::{Dice, state::word};

/// Accounts that sign transactions.
pub(crate) const ACCOUNTS: u8 = 3;

/// What transactions do, in shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    /// Of deployments.
    pub(crate) deploys: u64,
    /// Of transactions that revert.
    pub(crate) reverts: u64,
    /// Of writes to slots that nobody wrote before.
    pub(crate) new_keys: u64,
    /// Of everything else.
    pub(crate) others: u64,
}

/// The `serial`-th priority operation of a chain: the same on all its forks, as L1 holds it.
pub(crate) fn priority_op(seed: u64, serial: u64, mix: Mix) -> Transaction {
    let mut dice = Dice::new(seed, &format!("priority {serial}"));
    let dep_count = dice.below(3);
    let deps: Vec<Bytes> = (0..dep_count).map(|_| era_code(&mut dice)).collect();
    let calldata = program(&mut dice, mix, dep_count).encode();
    let mut common = PriorityCommon {
        hash: TxHash::default(),
        sender: Address::repeat_byte(0x40 + u8::try_from(dice.below(3)).unwrap_or(0)),
        serial_id: serial,
        max_fee_per_gas: U256::from(500),
        gas_limit: U256::from(1_000_000),
        gas_per_pubdata_limit: U256::from(800),
        to_mint: U256::from(dice.below(1_000)),
        refund_recipient: Address::repeat_byte(9),
        eth_block: 77 + serial,
        obsolete: ObsoletePriority::default(),
    };
    let to = contract(&mut dice);
    let value = U256::from(dice.below(10));
    let execute = Execute { to: Some(to), calldata, value, factory_deps: deps };
    let head = Head {
        tx_type: Transaction::PRIORITY_TYPE,
        from: common.sender,
        gas_limit: common.gas_limit,
        gas_per_pubdata_limit: common.gas_per_pubdata_limit,
        max_fee_per_gas: common.max_fee_per_gas,
        nonce: serial,
        to_mint: common.to_mint,
        refund_recipient: common.refund_recipient,
    };
    common.hash = head.hash(&execute);
    let received_at_ms = 1_700_000_000_000 + serial;
    Transaction { common: TxCommon::Priority(Box::new(common)), execute, received_at_ms, raw: None }
}

/// The transaction that begins `version`.
pub(crate) fn upgrade(version: ProtocolVersion) -> Transaction {
    let mut common = UpgradeCommon {
        hash: TxHash::default(),
        sender: address::FORCE_DEPLOYER,
        upgrade: version,
        max_fee_per_gas: U256::ZERO,
        gas_limit: U256::from(72_000_000),
        gas_per_pubdata_limit: U256::from(800),
        to_mint: U256::ZERO,
        refund_recipient: Address::ZERO,
        eth_block: 99,
        eth_hash: Default::default(),
    };
    let program = Program(vec![
        Op::Write { key: 900, value: version.0.into() },
        Op::Emit { topic: 900, data: version.0.into() },
    ]);
    let execute = Execute {
        to: Some(address::CONTRACT_DEPLOYER),
        calldata: program.encode(),
        value: U256::ZERO,
        factory_deps: Vec::new(),
    };
    let head = Head {
        tx_type: Transaction::UPGRADE_TYPE,
        from: common.sender,
        gas_limit: common.gas_limit,
        gas_per_pubdata_limit: common.gas_per_pubdata_limit,
        max_fee_per_gas: common.max_fee_per_gas,
        nonce: version.0.into(),
        to_mint: common.to_mint,
        refund_recipient: common.refund_recipient,
    };
    common.hash = head.hash(&execute);
    let received_at_ms = 1_700_000_000_000;
    Transaction { common: TxCommon::Upgrade(Box::new(common)), execute, received_at_ms, raw: None }
}

/// Keys of all accounts: one is as dear to make as a signature.
static KEYS: LazyLock<Vec<SigningKey>> = LazyLock::new(|| {
    let key = |index: u8| SigningKey::from_slice(&[index + 1; 32]);
    (0..ACCOUNTS).map(|index| key(index).expect("small numbers are keys")).collect()
});

/// The address of account `index`.
pub(crate) fn account(index: u8) -> Address {
    address_of(key(index).verifying_key())
}

/// A transaction of account `index`, signed.
pub(crate) fn signed(
    dice: &mut Dice,
    chain: ChainId,
    index: u8,
    nonce: u64,
    mix: Mix,
) -> Transaction {
    let deploys_evm = dice.chance(mix.deploys, mix.deploys + 10 * mix.others.max(1));
    let (to, calldata) = if deploys_evm {
        let code: Vec<u8> = (0..dice.between(1, 90)).map(|_| low_byte(dice.any())).collect();
        (None, Bytes::from(code))
    } else {
        (Some(contract(dice)), program(dice, mix, 0).encode())
    };
    let (gas_limit, max_fee, tip) = (U256::from(dice.between(900, 500_000)), 1_000_u64, 0_u64);
    let value = U256::from(dice.below(5));
    let tx_type = if dice.chance(1, 3) { TxType::Legacy } else { TxType::Eip1559 };
    let price = [rlp_number(U256::from(max_fee))];
    let common = [
        rlp_number(gas_limit),
        rlp_bytes(to.as_ref().map_or(&[], |to| to.as_slice())),
        rlp_number(value),
        rlp_bytes(&calldata),
    ];
    let (nonce_rlp, chain_rlp) = (rlp_number(U256::from(nonce)), rlp_number(U256::from(chain.0)));
    let (fields, tail) = match tx_type {
        TxType::Legacy => {
            let fields = [&[nonce_rlp][..], &price, &common].concat();
            (fields, vec![chain_rlp, rlp_bytes(&[]), rlp_bytes(&[])])
        }
        TxType::Eip1559 | TxType::Eip2930 | TxType::Eip712 => {
            let head = [chain_rlp, nonce_rlp, rlp_number(U256::from(tip))];
            ([&head[..], &price, &common, &[vec![0xc0]]].concat(), Vec::new())
        }
    };
    let envelope = |items: &[Vec<u8>]| match tx_type {
        TxType::Legacy => rlp_list(items),
        TxType::Eip1559 | TxType::Eip2930 | TxType::Eip712 => {
            [vec![tx_type.byte()], rlp_list(items)].concat()
        }
    };
    let digest = keccak256(envelope(&[&fields[..], &tail].concat()));
    let (signature, is_y_odd) = sign(index, &digest.0);
    let (r, s) = (U256::from_be_slice(&signature[..32]), U256::from_be_slice(&signature[32..]));
    let v = match tx_type {
        TxType::Legacy => U256::from(chain.0 * 2 + 35 + u64::from(is_y_odd)),
        TxType::Eip1559 | TxType::Eip2930 | TxType::Eip712 => U256::from(u8::from(is_y_odd)),
    };
    let seal = [rlp_number(v), rlp_number(r), rlp_number(s)];
    let raw = Bytes::from(envelope(&[&fields[..], &seal].concat()));
    let packed = [&signature[..], &[27 + u8::from(is_y_odd)]].concat();
    let common = L2Common {
        hash: TxHash(keccak256(&raw)),
        nonce: u32::try_from(nonce).unwrap_or(u32::MAX),
        fee: Fee {
            gas_limit,
            max_fee_per_gas: U256::from(max_fee),
            max_priority_fee_per_gas: match tx_type {
                TxType::Legacy => U256::from(max_fee),
                TxType::Eip1559 | TxType::Eip2930 | TxType::Eip712 => U256::from(tip),
            },
            gas_per_pubdata_limit: U256::from(50_000),
        },
        initiator: account(index),
        signature: packed.into(),
        tx_type,
        input: Some(raw.clone()),
        paymaster: PaymasterParams::default(),
    };
    let execute = Execute { to, calldata, value, factory_deps: Vec::new() };
    let received_at_ms = 1_700_000_000_000 + dice.below(1_000_000);
    Transaction { common: TxCommon::L2(Box::new(common)), execute, received_at_ms, raw: Some(raw) }
}

/// One of few contracts, so that they meet.
fn contract(dice: &mut Dice) -> Address {
    Address::repeat_byte(0xc0 + low_byte(dice.below(3)))
}

fn program(dice: &mut Dice, mix: Mix, dep_count: u64) -> Program {
    let mut ops = Vec::new();
    for _ in 0..dice.between(1, 4) {
        let key =
            if dice.chance(mix.new_keys, 10) { 1_000 + dice.below(1 << 40) } else { dice.below(6) };
        ops.push(match dice.below(6) {
            0 => Op::Write { key, value: dice.below(4) },
            1 => Op::Add { key, amount: dice.below(1 << 50) },
            2 => Op::Emit { topic: dice.below(5), data: dice.any() },
            3 => Op::Send { key, value: dice.any() },
            4 => Op::Burn { gas: dice.below(2_000) },
            _ => Op::Write { key, value: dice.any() },
        });
    }
    if dep_count > 0 && dice.chance(mix.deploys, 10) {
        ops.push(Op::Deploy { dep: dice.below(dep_count + 1), account: 0x20_000 + dice.below(40) });
    }
    if dice.chance(mix.reverts, 10) {
        ops.push(Op::Revert);
    }
    Program(ops)
}

/// EraVM code; often one that another transaction brought, too.
fn era_code(dice: &mut Dice) -> Bytes {
    let words = 1 + 2 * dice.below(2);
    let code: Vec<u8> = (0..words).flat_map(|index| word(index + dice.below(9)).0).collect();
    code.into()
}

fn low_byte(number: u64) -> u8 {
    number.to_le_bytes()[0]
}

/// What the hash of a transaction from L1 is made of besides what it does.
struct Head {
    tx_type: u8,
    from: Address,
    gas_limit: U256,
    gas_per_pubdata_limit: U256,
    max_fee_per_gas: U256,
    nonce: u64,
    to_mint: U256,
    refund_recipient: Address,
}

impl Head {
    /// Keccak-256 of the ABI encoding of `L2CanonicalTransaction`.
    fn hash(&self, execute: &Execute) -> TxHash {
        let address = |address: Address| U256::from_be_bytes(address.into_word().0);
        let data_words = execute.calldata.len().div_ceil(32);
        let dep_count = execute.factory_deps.len();
        let data_at = 19 * 32;
        let signature_at = data_at + 32 + data_words * 32;
        let deps_at = signature_at + 32;
        let paymaster_at = deps_at + 32 + dep_count * 32;
        let mut words = vec![
            U256::from(32),
            U256::from(self.tx_type),
            address(self.from),
            address(execute.to.unwrap_or_default()),
            self.gas_limit,
            self.gas_per_pubdata_limit,
            self.max_fee_per_gas,
            U256::ZERO,
            U256::ZERO,
            U256::from(self.nonce),
            execute.value,
            self.to_mint,
            address(self.refund_recipient),
            U256::ZERO,
            U256::ZERO,
        ];
        let offsets = [data_at, signature_at, deps_at, paymaster_at, paymaster_at + 32];
        words.extend(offsets.map(U256::from));
        words.push(U256::from(execute.calldata.len()));
        let mut data = execute.calldata.to_vec();
        data.resize(data_words * 32, 0);
        words.extend(data.chunks(32).map(U256::from_be_slice));
        words.extend([U256::ZERO, U256::from(dep_count)]);
        for dep in &execute.factory_deps {
            let hash = BytecodeHash::of_era(dep).expect("the model's code is code");
            words.push(U256::from_be_bytes(hash.0.0));
        }
        words.extend([U256::ZERO, U256::ZERO]);
        TxHash(keccak256(words.iter().flat_map(U256::to_be_bytes::<32>).collect::<Vec<_>>()))
    }
}

fn key(index: u8) -> &'static SigningKey {
    &KEYS[usize::from(index)]
}

fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_encoded_point(false);
    Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
}

/// `r ‖ s`, and whether y is odd.
fn sign(index: u8, digest: &[u8; 32]) -> (Vec<u8>, bool) {
    let (signature, recovery): (Signature, RecoveryId) =
        key(index).sign_prehash_recoverable(digest).expect("a digest can be signed");
    (signature.to_bytes().to_vec(), recovery.is_y_odd())
}

fn rlp_number(number: U256) -> Vec<u8> {
    rlp_bytes(&number.to_be_bytes_trimmed_vec())
}

fn rlp_bytes(bytes: &[u8]) -> Vec<u8> {
    match bytes {
        [single] if *single < 0x80 => vec![*single],
        _ => [rlp_head(0x80, bytes.len()), bytes.to_vec()].concat(),
    }
}

fn rlp_list(items: &[Vec<u8>]) -> Vec<u8> {
    let body = items.concat();
    [rlp_head(0xc0, body.len()), body].concat()
}

fn rlp_head(kind: u8, len: usize) -> Vec<u8> {
    match u8::try_from(len) {
        Ok(short) if short < 56 => vec![kind + short],
        _ => {
            let bytes = U256::from(len).to_be_bytes_trimmed_vec();
            let count = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
            [vec![kind + 55 + count], bytes].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use lockstep_wire::{Checked, check_transaction};

    use super::*;

    #[test]
    fn the_node_finds_every_kind_of_transaction_right() {
        let mix = Mix { deploys: 3, reverts: 2, new_keys: 3, others: 5 };
        let chain = ChainId(271);
        let mut dice = Dice::new(3, "txs");
        for serial in 0..20 {
            assert_eq!(
                check_transaction(&priority_op(1, serial, mix), chain).unwrap(),
                Checked::Whole
            );
            let index = low_byte(serial) % ACCOUNTS;
            assert_eq!(
                check_transaction(&signed(&mut dice, chain, index, serial, mix), chain).unwrap(),
                Checked::Whole
            );
        }
        assert_eq!(
            check_transaction(&upgrade(ProtocolVersion(29)), chain).unwrap(),
            Checked::Whole
        );
    }
}
