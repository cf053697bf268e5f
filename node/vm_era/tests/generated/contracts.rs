//! System contracts of other protocol versions, where somebody has them.
//!
//! They are not part of the project. `LOCKSTEP_CONTRACTS` names a folder with one folder for each
//! version, `v24` to `v31`; in it are `bootloader.bin`, `default-account.bin`, `evm-emulator.bin`
//! where the version has one, and `0x….bin` for each contract of the genesis, named by its address.
//! All are plain bytecodes.
//!
//! They must fit their bootloader. That of v31 tells the L1 messenger the number of a commitment
//! scheme where older ones tell it an address, and says the interop fee to whatever is at
//! `0x1000d`; drafts of its contracts expect something else, and no batch is sealed with them.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use lockstep_testvectors::skip_loudly;
use lockstep_types::{Address, BytecodeHash, Bytes, ProtocolVersion};
use lockstep_vm::{BaseContracts, Contract};

/// What a version brings.
#[derive(Clone)]
pub(crate) struct Contracts {
    pub(crate) version: ProtocolVersion,
    pub(crate) base: Arc<BaseContracts>,
    pub(crate) genesis: BTreeMap<Address, Contract>,
}

impl fmt::Debug for Contracts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contracts").field("version", &self.version).finish_non_exhaustive()
    }
}

/// All that there are, by version; says loudly that `what` is skipped if there are none.
pub(crate) fn contracts_for(what: &str) -> Vec<Contracts> {
    #[expect(clippy::disallowed_methods, reason = "tests have no config to be handed")]
    let Ok(dir) = std::env::var("LOCKSTEP_CONTRACTS") else {
        skip_loudly(&format!("{what}: LOCKSTEP_CONTRACTS names no folder"));
        return Vec::new();
    };
    let of_version = |version: u16| {
        let dir = Path::new(&dir).join(format!("v{version}"));
        dir.is_dir().then(|| Contracts::load(ProtocolVersion(version), &dir))
    };
    let all: Vec<_> = (24..=31).filter_map(of_version).collect();
    assert!(!all.is_empty(), "{dir} has no folder v24 to v31");
    all
}

impl Contracts {
    fn load(version: ProtocolVersion, dir: &Path) -> Self {
        let mut genesis = BTreeMap::new();
        let mut others = BTreeMap::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let code = Bytes::from(std::fs::read(&path).unwrap());
            let hash = BytecodeHash::of_era(&code);
            let hash = hash.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let contract = Contract { hash, code };
            match name.parse::<Address>() {
                Ok(address) => genesis.insert(address, contract).is_none(),
                Err(_) => others.insert(name, contract).is_none(),
            };
        }
        let base = BaseContracts {
            bootloader: others.remove("bootloader").unwrap(),
            default_account: others.remove("default-account").unwrap(),
            evm_emulator: others.remove("evm-emulator"),
        };
        Self { version, base: Arc::new(base), genesis }
    }
}
