//! Inputs for contracts that the chain itself brings: precompiles and system contracts.

use lockstep_types::{Address, B256, BytecodeHash, Bytes, U256, address, keccak256};
use p256::ecdsa::{SigningKey, signature::hazmat::PrehashSigner};
use rand::{Rng, seq::SliceRandom};
use zksync_types::{H256, PackedEthSignature};

use crate::sign::Account;

/// Precompiles, by number.
const PRECOMPILES: [u64; 8] = [1, 2, 4, 5, 6, 7, 8, 0x100];

/// The field of BN254.
const FIELD: &str = "0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47";
/// The generator of its second group: imaginary part first.
const G2: [&str; 4] = [
    "0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2",
    "0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed",
    "0x090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b",
    "0x12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa",
];

fn number(address: u64) -> Address {
    Address::from_word(B256::from(U256::from(address)))
}

fn word(hex: &str) -> Vec<u8> {
    hex.parse::<B256>().unwrap().to_vec()
}

fn small(number: u64) -> Vec<u8> {
    U256::from(number).to_be_bytes::<32>().to_vec()
}

/// A precompile and an input: right, nearly right or junk.
pub(crate) fn precompile(rng: &mut impl Rng, signer: &Account) -> (Address, Bytes) {
    let index = *PRECOMPILES.choose(rng).unwrap();
    let mut input = match index {
        _ if rng.gen_bool(0.25) => (0..rng.gen_range(0..400)).map(|_| rng.r#gen()).collect(),
        1 => recoverable(rng, signer),
        5 => power(rng),
        6 => [point(rng), point(rng)].concat(),
        7 => [point(rng), rng.r#gen::<[u8; 32]>().to_vec()].concat(),
        8 => pairing(rng),
        0x100 => nist_signature(rng),
        _ => (0..rng.gen_range(0..2_000)).map(|_| rng.r#gen()).collect(),
    };
    if rng.gen_bool(0.2) && !input.is_empty() {
        let at = rng.gen_range(0..input.len());
        input[at] ^= 1 << rng.gen_range(0..8);
    }
    if rng.gen_bool(0.1) {
        input.truncate(rng.gen_range(0..=input.len()));
    }
    (number(index), input.into())
}

fn recoverable(rng: &mut impl Rng, signer: &Account) -> Vec<u8> {
    let digest: [u8; 32] = rng.r#gen();
    let signature = PackedEthSignature::sign_raw(&signer.key, &H256(digest)).unwrap();
    let v = small(u64::from(signature.v()) + 27);
    [digest.to_vec(), v, signature.r().to_vec(), signature.s().to_vec()].concat()
}

fn power(rng: &mut impl Rng) -> Vec<u8> {
    let lengths: [usize; 3] = std::array::from_fn(|_| rng.gen_range(0..40));
    let head: Vec<u8> = lengths.iter().flat_map(|length| small(*length as u64)).collect();
    let body = (0..lengths.iter().sum()).map(|_| rng.r#gen::<u8>());
    head.into_iter().chain(body).collect()
}

/// The generator of the first group, its opposite, or infinity.
fn point(rng: &mut impl Rng) -> Vec<u8> {
    match rng.gen_range(0..3) {
        0 => [small(1), small(2)].concat(),
        1 => opposite(),
        _ => vec![0; 64],
    }
}

fn opposite() -> Vec<u8> {
    let y = FIELD.parse::<U256>().unwrap() - U256::from(2);
    [small(1), y.to_be_bytes::<32>().to_vec()].concat()
}

fn pairing(rng: &mut impl Rng) -> Vec<u8> {
    let g2: Vec<u8> = G2.iter().flat_map(|hex| word(hex)).collect();
    let pairs = rng.gen_range(0..3);
    (0..pairs).flat_map(|_| [point(rng), g2.clone()].concat()).collect()
}

fn nist_signature(rng: &mut impl Rng) -> Vec<u8> {
    let key = SigningKey::from_slice(&keccak256([rng.r#gen::<u8>()]).0).unwrap();
    let digest: [u8; 32] = rng.r#gen();
    let signature: p256::ecdsa::Signature = key.sign_prehash(&digest).unwrap();
    let public = key.verifying_key().to_encoded_point(false);
    let (x, y): (&[u8], &[u8]) = (public.x().unwrap(), public.y().unwrap());
    [&digest[..], &signature.to_bytes(), x, y].concat()
}

/// The first four bytes of a call.
pub(crate) fn selector(signature: &str) -> Vec<u8> {
    keccak256(signature)[..4].to_vec()
}

/// A call with words and one piece of bytes behind them.
pub(crate) fn call(signature: &str, words: &[B256], tail: &[u8]) -> Bytes {
    let mut input = selector(signature);
    words.iter().for_each(|word| input.extend(word));
    input.extend(small(32 * (words.len() as u64 + 1)));
    input.extend(small(tail.len() as u64));
    input.extend(tail);
    input.resize(input.len().next_multiple_of(32) + 4, 0);
    input.into()
}

/// Puts codes in places, without constructors.
pub(crate) fn force_deploy(places: &[(Address, BytecodeHash)]) -> Bytes {
    let mut input = selector("forceDeployOnAddresses((bytes32,address,bool,uint256,bytes)[])");
    let count = places.len() as u64;
    input.extend(small(32));
    input.extend(small(count));
    // Each takes six words: the five of its head, the last one says where the bytes are, and the
    // length of those.
    for index in 0..count {
        input.extend(small(32 * count + 32 * 6 * index));
    }
    for (place, hash) in places {
        input.extend(hash.0);
        input.extend(place.into_word());
        input.extend([small(0), small(0), small(32 * 5), small(0)].concat());
    }
    input.into()
}

/// Calls that only look.
pub(crate) fn views() -> Vec<(Address, Bytes)> {
    let word = |number: u64| B256::from(U256::from(number));
    let plain = |to: Address, signature: &str, words: &[B256]| {
        let mut input = selector(signature);
        words.iter().for_each(|word| input.extend(word));
        (to, Bytes::from(input))
    };
    let account = address::L1_MESSENGER.into_word();
    vec![
        plain(address::BASE_TOKEN, "balanceOf(uint256)", &[account]),
        plain(address::BASE_TOKEN, "totalSupply()", &[]),
        plain(address::NONCE_HOLDER, "getMinNonce(address)", &[account]),
        plain(address::NONCE_HOLDER, "getDeploymentNonce(address)", &[account]),
        plain(address::ACCOUNT_CODE_STORAGE, "getCodeHash(uint256)", &[account]),
        plain(address::ACCOUNT_CODE_STORAGE, "getCodeSize(uint256)", &[account]),
        plain(address::SYSTEM_CONTEXT, "getBlockHashEVM(uint256)", &[word(1)]),
        plain(address::SYSTEM_CONTEXT, "getL2BlockNumberAndTimestamp()", &[]),
        plain(address::CONTRACT_DEPLOYER, "getAccountInfo(address)", &[account]),
    ]
}

/// Calls of system contracts that no user may make.
const FORBIDDEN: [(Address, &str); 12] = [
    (address::ACCOUNT_CODE_STORAGE, "storeAccountConstructedCodeHash(address,bytes32)"),
    (address::ACCOUNT_CODE_STORAGE, "storeAccountConstructingCodeHash(address,bytes32)"),
    (address::NONCE_HOLDER, "increaseMinNonce(uint256)"),
    (address::NONCE_HOLDER, "incrementDeploymentNonce(address)"),
    (address::KNOWN_CODES_STORAGE, "markBytecodeAsPublished(bytes32)"),
    (address::KNOWN_CODES_STORAGE, "publishEVMBytecode(uint256,bytes)"),
    (address::CONTRACT_DEPLOYER, "setAllowedBytecodeTypesToDeploy(uint8)"),
    (address::L1_MESSENGER, "sendL2ToL1Log(bool,bytes32,bytes32)"),
    (address::BASE_TOKEN, "mint(address,uint256)"),
    (address::BASE_TOKEN, "transferFromTo(address,address,uint256)"),
    (address::SYSTEM_CONTEXT, "setChainId(uint256)"),
    (address::SYSTEM_CONTEXT, "setTxOrigin(address)"),
];

/// A call that must fail: of a forbidden function, or of none.
pub(crate) fn forbidden(rng: &mut impl Rng) -> (Address, Bytes) {
    let (to, signature) = *FORBIDDEN.choose(rng).unwrap();
    let mut input = selector(signature);
    for _ in 0..3 {
        input.extend(small(rng.gen_range(0..4)));
    }
    (to, input.into())
}

/// A call of anything in the system's space with any input.
pub(crate) fn anything_of_the_system(rng: &mut impl Rng) -> (Address, Bytes) {
    let to = number(rng.gen_range(0x8001..0x8018));
    let input = (0..rng.gen_range(0..200)).map(|_| rng.r#gen::<u8>()).collect::<Vec<_>>();
    (to, input.into())
}
