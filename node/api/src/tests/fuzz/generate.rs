//! Requests that a client could send, from a seed: sensible ones, nearly sensible ones, and
//! nonsense.
//!
//! For each method a table says of what kind its parameters are, so that most requests get past the
//! reading of parameters. Methods that the table does not know get parameters of any kind.

use std::fmt::Write as _;

/// Numbers that follow from a seed, by the SplitMix64 rule.
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Whether one of so many is meant.
    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let index = self.below(items.len() as u64);
        &items[usize::try_from(index).expect("it is below a length")]
    }
}

impl Chance {
    /// One of `words`.
    fn word<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let word: &&str = self.pick(words);
        word
    }
}

/// What a chain has that requests can name, as JSON without quotes.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Addresses.
    pub addresses: Vec<String>,
    /// Hashes of blocks and of transactions.
    pub hashes: Vec<String>,
    /// The newest block.
    pub head: u64,
    /// Calldata that contracts understand.
    pub inputs: Vec<String>,
    /// Signed transactions.
    pub raws: Vec<String>,
}

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Address,
    Hash,
    Block,
    HashOrNumber,
    Number,
    Plain,
    Flag,
    Bytes,
    Raw,
    Call,
    Overrides,
    BlockOverrides,
    Filter,
    TraceFilter,
    Tracer,
    TraceTypes,
    Bundles,
    Context,
    Payload,
    FilterId,
    Percentiles,
    Addresses,
    Keys,
    Path,
    Calls,
    Word,
    Subscription,
}

/// Parameters of methods, by the beginning of their names; the first that fits counts.
const TABLE: &[(&str, &[Kind])] = &[
    ("eth_callMany", &[Kind::Bundles, Kind::Context, Kind::Overrides]),
    ("eth_call", &[Kind::Call, Kind::Block, Kind::Overrides, Kind::BlockOverrides]),
    ("eth_createAccessList", &[Kind::Call, Kind::Block, Kind::Overrides]),
    ("eth_estimateGas", &[Kind::Call, Kind::Block, Kind::Overrides]),
    ("eth_feeHistory", &[Kind::Number, Kind::Block, Kind::Percentiles]),
    ("eth_fillTransaction", &[Kind::Call]),
    ("eth_getBalance", &[Kind::Address, Kind::Block]),
    ("eth_getBlockByHash", &[Kind::Hash, Kind::Flag]),
    ("eth_getBlockByNumber", &[Kind::Block, Kind::Flag]),
    ("eth_getBlockReceipts", &[Kind::HashOrNumber]),
    ("eth_getBlockTransactionCountByHash", &[Kind::Hash]),
    ("eth_getBlockTransactionCountByNumber", &[Kind::Block]),
    ("eth_getCode", &[Kind::Address, Kind::Block]),
    ("eth_getFilter", &[Kind::FilterId]),
    ("eth_getHeaderByHash", &[Kind::Hash]),
    ("eth_getHeaderByNumber", &[Kind::Block]),
    ("eth_getLogs", &[Kind::Filter]),
    ("eth_getProof", &[Kind::Address, Kind::Keys, Kind::Block]),
    ("eth_getRawTransactionByBlockHash", &[Kind::Hash, Kind::Number]),
    ("eth_getRawTransactionByBlockNumber", &[Kind::Block, Kind::Number]),
    ("eth_getRawTransactionByHash", &[Kind::Hash]),
    ("eth_getStorageAt", &[Kind::Address, Kind::Number, Kind::Block]),
    ("eth_getTransactionByBlockHash", &[Kind::Hash, Kind::Number]),
    ("eth_getTransactionByBlockNumber", &[Kind::Block, Kind::Number]),
    ("eth_getTransactionByHash", &[Kind::Hash]),
    ("eth_getTransactionCount", &[Kind::Address, Kind::Block]),
    ("eth_getTransactionReceipt", &[Kind::Hash]),
    ("eth_newFilter", &[Kind::Filter]),
    ("eth_sendRawTransaction", &[Kind::Raw, Kind::Number]),
    ("eth_simulateV1", &[Kind::Payload, Kind::Block]),
    ("eth_subscribe", &[Kind::Subscription, Kind::Filter]),
    ("eth_uninstallFilter", &[Kind::FilterId]),
    ("eth_unsubscribe", &[Kind::FilterId]),
    ("debug_getRaw", &[Kind::HashOrNumber]),
    ("debug_traceBlockByHash", &[Kind::Hash, Kind::Tracer]),
    ("debug_traceBlockByNumber", &[Kind::Block, Kind::Tracer]),
    ("debug_traceCallMany", &[Kind::Bundles, Kind::Context, Kind::Tracer]),
    ("debug_traceCall", &[Kind::Call, Kind::Block, Kind::Tracer]),
    ("debug_traceTransaction", &[Kind::Hash, Kind::Tracer]),
    ("en_syncL2Block", &[Kind::Plain, Kind::Flag]),
    ("en_syncTokens", &[Kind::Plain]),
    ("en_", &[Kind::Plain]),
    ("ots_getBlockDetailsByHash", &[Kind::Hash]),
    ("ots_getBlockDetails", &[Kind::Plain]),
    ("ots_getBlockTransactions", &[Kind::Plain, Kind::Plain, Kind::Plain]),
    ("ots_getContractCreator", &[Kind::Address]),
    ("ots_getHeaderByNumber", &[Kind::Plain]),
    ("erigon_getHeaderByNumber", &[Kind::Plain]),
    ("ots_getTransactionBySenderAndNonce", &[Kind::Address, Kind::Plain]),
    ("ots_hasCode", &[Kind::Address, Kind::Block]),
    ("ots_search", &[Kind::Address, Kind::Plain, Kind::Plain]),
    ("ots_", &[Kind::Hash]),
    ("trace_block", &[Kind::HashOrNumber]),
    ("trace_callMany", &[Kind::Calls, Kind::Block]),
    ("trace_call", &[Kind::Call, Kind::TraceTypes, Kind::Block, Kind::Overrides]),
    ("trace_filter", &[Kind::TraceFilter]),
    ("trace_get", &[Kind::Hash, Kind::Path]),
    ("trace_rawTransaction", &[Kind::Raw, Kind::TraceTypes]),
    ("trace_replayBlock", &[Kind::HashOrNumber, Kind::TraceTypes]),
    ("trace_replayTransaction", &[Kind::Hash, Kind::TraceTypes]),
    ("trace_transaction", &[Kind::Hash]),
    ("unstable_", &[Kind::Plain, Kind::Number]),
    ("web3_sha3", &[Kind::Bytes]),
    ("zks_estimateFee", &[Kind::Call, Kind::Overrides]),
    ("zks_estimateGasL1ToL2", &[Kind::Call, Kind::Overrides]),
    ("zks_getBytecodeByHash", &[Kind::Hash]),
    ("zks_getL2ToL1LogProof", &[Kind::Hash, Kind::Plain, Kind::Word]),
    ("zks_getProof", &[Kind::Address, Kind::Keys, Kind::Plain]),
    ("zks_getTransactionDetails", &[Kind::Hash]),
    ("zks_getAllAccountBalances", &[Kind::Address]),
    ("zks_getConfirmedTokens", &[Kind::Plain, Kind::Plain]),
    ("zks_get", &[Kind::Plain]),
    ("snapshots_", &[Kind::Plain]),
    ("txpool_contentFrom", &[Kind::Address]),
];

const ANY: &[Kind] = &[
    Kind::Address,
    Kind::Hash,
    Kind::Block,
    Kind::Number,
    Kind::Plain,
    Kind::Call,
    Kind::Filter,
    Kind::Word,
    Kind::Addresses,
];

/// Makes a value.
type Value<'a> = &'a dyn Fn(&mut Generator) -> String;

/// Makes requests.
#[derive(Clone, Debug)]
pub struct Generator {
    pub chance: Chance,
    pub known: Known,
    pub methods: Vec<String>,
}

impl Generator {
    /// A request, or what somebody takes for one. Always text, not always JSON.
    pub fn request(&mut self) -> String {
        match self.chance.below(40) {
            0 => self.nonsense(),
            1 => self.batch(),
            2 => self.deep(),
            3 => {
                let request = self.plain();
                self.damaged(&request)
            }
            _ => self.plain(),
        }
    }

    /// A request in the right form; its parameters may be anything.
    pub fn plain(&mut self) -> String {
        let methods = std::mem::take(&mut self.methods);
        let method = self.chance.pick(&methods).clone();
        self.methods = methods;
        let params = self.params(&method);
        let id = match self.chance.below(12) {
            0 => "null".to_owned(),
            1 => "\"a name\"".to_owned(),
            2 => u64::MAX.to_string(),
            _ => self.chance.below(1_000).to_string(),
        };
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
    }

    fn batch(&mut self) -> String {
        let count = self.chance.below(12);
        let all: Vec<String> = (0..count).map(|_| self.plain()).collect();
        format!("[{}]", all.join(","))
    }

    fn params(&mut self, method: &str) -> String {
        match self.chance.below(60) {
            0 => return self.any(3),
            1 => return "[]".to_owned(),
            2 => return "{}".to_owned(),
            _ => {}
        }
        let kinds =
            TABLE.iter().find(|(name, _)| method.starts_with(name)).map(|(_, kinds)| *kinds);
        let mut list = Vec::new();
        match kinds {
            Some(kinds) => {
                // The last ones may be left out.
                let count = if self.chance.one_in(4) {
                    self.chance.below(kinds.len() as u64 + 1)
                } else {
                    kinds.len() as u64
                };
                for kind in kinds.iter().take(usize::try_from(count).unwrap_or(0)) {
                    list.push(self.param(*kind));
                }
            }
            None => {
                for _ in 0..self.chance.below(4) {
                    let kind = *self.chance.pick(ANY);
                    list.push(self.param(kind));
                }
            }
        }
        if self.chance.one_in(15) {
            list.push(self.any(2));
        }
        format!("[{}]", list.join(","))
    }

    /// A parameter of a kind, now and then of none.
    fn param(&mut self, kind: Kind) -> String {
        match self.chance.below(25) {
            0 => return self.any(2),
            1 => return "null".to_owned(),
            _ => {}
        }
        self.sensible(kind)
    }

    fn sensible(&mut self, kind: Kind) -> String {
        match kind {
            Kind::Address => quoted(&self.address()),
            Kind::Hash => quoted(&self.hash()),
            Kind::Block => self.block(),
            Kind::HashOrNumber if self.chance.one_in(2) => quoted(&self.hash()),
            Kind::HashOrNumber => self.block(),
            Kind::Number => quoted(&self.number()),
            Kind::Plain if self.chance.one_in(8) => quoted(&self.number()),
            Kind::Plain => self.plain_number(),
            Kind::Flag => (*self.chance.pick(&["true", "false"])).to_owned(),
            Kind::Bytes => quoted(&self.bytes()),
            Kind::Raw => quoted(&self.raw()),
            Kind::Call => self.call(),
            Kind::Overrides => self.overrides(),
            Kind::BlockOverrides => self.block_overrides(),
            Kind::Filter => self.filter(),
            Kind::TraceFilter => self.trace_filter(),
            Kind::Tracer => self.tracer(),
            Kind::TraceTypes => self.trace_types(),
            Kind::Bundles => self.bundles(),
            Kind::Context => self.context(),
            Kind::Payload => self.payload(),
            Kind::FilterId | Kind::Word => quoted(&self.word()),
            Kind::Subscription => quoted(self.chance.word(&[
                "newHeads",
                "logs",
                "newPendingTransactions",
                "syncing",
                "weather",
            ])),
            Kind::Percentiles => self.list(5, |it| it.chance.below(120).to_string()),
            Kind::Addresses => self.list(4, |it| quoted(&it.address())),
            Kind::Keys => self.list(6, |it| quoted(&it.word())),
            Kind::Path => self.list(4, |it| it.chance.below(3).to_string()),
            Kind::Calls => self.list(4, |it| format!("[{},{}]", it.call(), it.trace_types())),
        }
    }

    /// A signed transaction, now and then with another digit somewhere.
    fn raw(&mut self) -> String {
        let mut raw = self.known_or(|known| &known.raws, 120);
        if self.chance.one_in(3) {
            let at = usize::try_from(2 + self.chance.below(raw.len() as u64 - 2));
            let at = at.expect("it is below a length");
            raw.replace_range(at..=at, self.chance.word(&["0", "7", "f"]));
        }
        raw
    }

    fn list(&mut self, most: u64, mut item: impl FnMut(&mut Self) -> String) -> String {
        let count = self.chance.below(most);
        let items: Vec<String> = (0..count).map(|_| item(self)).collect();
        format!("[{}]", items.join(","))
    }

    fn known_or(&mut self, of: fn(&Known) -> &Vec<String>, bytes: usize) -> String {
        if self.chance.one_in(4) || of(&self.known).is_empty() {
            return self.hex(bytes);
        }
        let items = of(&self.known).clone();
        self.chance.pick(&items).clone()
    }

    fn address(&mut self) -> String {
        if self.chance.one_in(6) {
            let low = self.chance.pick(&[0_u64, 1, 2, 0x8001, 0x8006, 0x800a, 0x800b, 0x10005]);
            return format!("0x{low:040x}");
        }
        self.known_or(|known| &known.addresses, 20)
    }

    fn hash(&mut self) -> String {
        self.known_or(|known| &known.hashes, 32)
    }

    fn word(&mut self) -> String {
        let small = self.chance.below(12);
        if self.chance.one_in(3) { self.hex(32) } else { format!("0x{small:064x}") }
    }

    fn hex(&mut self, bytes: usize) -> String {
        let mut text = "0x".to_owned();
        for _ in 0..bytes {
            let byte = self.chance.below(256);
            write!(text, "{byte:02x}").expect("text takes everything");
        }
        text
    }

    fn bytes(&mut self) -> String {
        if !self.known.inputs.is_empty() && !self.chance.one_in(3) {
            let inputs = self.known.inputs.clone();
            return self.chance.pick(&inputs).clone();
        }
        let length = *self.chance.pick(&[0_usize, 1, 4, 31, 32, 68, 300, 4_000]);
        self.hex(length)
    }

    /// A number in hex, mostly small.
    fn number(&mut self) -> String {
        match self.chance.below(12) {
            0 => "0x0".to_owned(),
            1 => format!("{:#x}", u64::MAX),
            2 => format!("0x{}", "f".repeat(64)),
            3 => format!("0x1{}", "0".repeat(64)),
            4 => format!("{:#x}", self.chance.number()),
            5 => format!("{:#x}", u32::MAX),
            6 => "0x00000005".to_owned(),
            _ => format!("{:#x}", self.chance.below(12)),
        }
    }

    fn plain_number(&mut self) -> String {
        match self.chance.below(12) {
            0 => u64::MAX.to_string(),
            1 => "-1".to_owned(),
            2 => "1e3".to_owned(),
            3 => u32::MAX.to_string(),
            4 => "4294967296".to_owned(),
            _ => self.chance.below(self.known.head + 3).to_string(),
        }
    }

    fn block(&mut self) -> String {
        const TAGS: [&str; 9] = [
            "earliest",
            "latest",
            "committed",
            "pending",
            "safe",
            "precommitted",
            "l1_committed",
            "fast_finalized",
            "finalized",
        ];
        match self.chance.below(10) {
            0 => format!(r#"{{"blockNumber":{}}}"#, quoted(&self.number())),
            1 => {
                let (hash, flag) = (self.hash(), self.chance.one_in(2));
                format!(r#"{{"blockHash":"{hash}","requireCanonical":{flag}}}"#)
            }
            2 => quoted(&self.hash()),
            3 => quoted(&self.number()),
            4 | 5 => quoted(self.chance.word(&TAGS)),
            _ => quoted(&format!("{:#x}", self.chance.below(self.known.head + 3))),
        }
    }

    /// An object of some of the fields.
    fn object(&mut self, fields: &[(&str, Value<'_>)]) -> String {
        let mut parts = Vec::new();
        for (name, value) in fields {
            if !self.chance.one_in(3) {
                let value = if self.chance.one_in(30) { self.any(2) } else { value(self) };
                parts.push(format!(r#""{name}":{value}"#));
            }
        }
        if self.chance.one_in(40) {
            parts.push(format!(r#""unheard":{}"#, self.any(1)));
        }
        format!("{{{}}}", parts.join(","))
    }

    fn call(&mut self) -> String {
        let number = |it: &mut Self| quoted(&it.number());
        let rarely =
            |it: &mut Self| if it.chance.one_in(4) { quoted(&it.number()) } else { "null".into() };
        self.object(&[
            ("from", &|it| quoted(&it.address())),
            ("to", &|it| quoted(&it.address())),
            ("gas", &|it| quoted(&format!("{:#x}", it.chance.below(100_000_000)))),
            ("gasPrice", &rarely),
            ("maxFeePerGas", &rarely),
            ("maxPriorityFeePerGas", &rarely),
            ("value", &number),
            ("data", &|it| quoted(&it.bytes())),
            ("input", &|it| if it.chance.one_in(2) { "null".into() } else { quoted(&it.bytes()) }),
            ("nonce", &rarely),
            ("type", &|it| quoted(it.chance.word(&["0x0", "0x1", "0x2", "0x71", "0xff", "0x3"]))),
            ("eip712Meta", &|it| {
                if !it.chance.one_in(8) {
                    return "null".into();
                }
                it.object(&[
                    ("gasPerPubdata", &|it| quoted(&it.number())),
                    ("factoryDeps", &|it| it.list(3, |it| quoted(&it.bytes()))),
                    ("customSignature", &|it| quoted(&it.bytes())),
                    ("paymasterParams", &|it| {
                        it.object(&[
                            ("paymaster", &|it| quoted(&it.address())),
                            ("paymasterInput", &|it| quoted(&it.bytes())),
                        ])
                    }),
                ])
            }),
        ])
    }

    fn overrides(&mut self) -> String {
        let mut accounts = Vec::new();
        for _ in 0..self.chance.below(4) {
            let slots = |it: &mut Self| {
                let slots: Vec<String> = (0..it.chance.below(4))
                    .map(|_| format!("{}:{}", quoted(&it.word()), quoted(&it.word())))
                    .collect();
                format!("{{{}}}", slots.join(","))
            };
            let account = self.object(&[
                ("balance", &|it| quoted(&it.number())),
                ("nonce", &|it| quoted(&it.number())),
                ("code", &|it| quoted(&it.bytes())),
                ("stateDiff", &slots),
                ("state", &|it| if it.chance.one_in(3) { slots(it) } else { "null".into() }),
            ]);
            accounts.push(format!("{}:{account}", quoted(&self.address())));
        }
        format!("{{{}}}", accounts.join(","))
    }

    fn block_overrides(&mut self) -> String {
        let number = |it: &mut Self| quoted(&format!("{:#x}", it.chance.below(300)));
        let rarely =
            |it: &mut Self| if it.chance.one_in(6) { quoted(&it.number()) } else { "null".into() };
        self.object(&[
            ("number", &number),
            ("time", &|it| quoted(&format!("{:#x}", it.chance.below(1 << 33)))),
            ("baseFeePerGas", &rarely),
            ("gasLimit", &rarely),
            ("blobBaseFee", &rarely),
        ])
    }

    fn filter(&mut self) -> String {
        let topic = |it: &mut Self| match it.chance.below(3) {
            0 => "null".to_owned(),
            1 => quoted(&it.word()),
            _ => it.list(4, |it| quoted(&it.word())),
        };
        self.object(&[
            ("fromBlock", &Self::block_name),
            ("toBlock", &Self::block_name),
            ("blockHash", &|it| {
                if it.chance.one_in(4) { quoted(&it.hash()) } else { "null".into() }
            }),
            ("address", &|it| match it.chance.below(3) {
                0 => quoted(&it.address()),
                1 => it.list(4, |it| quoted(&it.address())),
                _ => "null".into(),
            }),
            ("topics", &|it| it.list(6, topic)),
        ])
    }

    /// A block as filters name it: mostly a string.
    fn block_name(&mut self) -> String {
        let block = self.block();
        if block.starts_with('{') { quoted("latest") } else { block }
    }

    fn trace_filter(&mut self) -> String {
        self.object(&[
            ("fromBlock", &Self::block_name),
            ("toBlock", &Self::block_name),
            ("fromAddress", &|it| it.list(3, |it| quoted(&it.address()))),
            ("toAddress", &|it| it.list(3, |it| quoted(&it.address()))),
            ("after", &Self::plain_number),
            ("count", &Self::plain_number),
            ("mode", &|it| quoted(it.chance.word(&["union", "intersection", "neither"]))),
        ])
    }

    fn tracer(&mut self) -> String {
        const TRACERS: [&str; 6] =
            ["callTracer", "flatCallTracer", "prestateTracer", "structLog", "4byteTracer", ""];
        self.object(&[
            ("tracer", &|it| quoted(it.chance.word(&TRACERS))),
            ("tracerConfig", &|it| {
                let flag = |it: &mut Self| (*it.chance.pick(&["true", "false"])).to_owned();
                it.object(&[
                    ("onlyTopCall", &flag),
                    ("diffMode", &flag),
                    ("disableCode", &flag),
                    ("disableStorage", &flag),
                    ("limit", &Self::plain_number),
                ])
            }),
            ("stateOverrides", &|it| it.overrides()),
            ("enableMemory", &|it| (*it.chance.pick(&["true", "false"])).to_owned()),
            ("enableReturnData", &|it| (*it.chance.pick(&["true", "false"])).to_owned()),
            ("disableStack", &|it| (*it.chance.pick(&["true", "false"])).to_owned()),
            ("limit", &Self::plain_number),
        ])
    }

    fn trace_types(&mut self) -> String {
        self.list(4, |it| quoted(it.chance.word(&["trace", "stateDiff", "trace", "vmTrace"])))
    }

    fn bundles(&mut self) -> String {
        self.list(4, |it| {
            it.object(&[
                ("transactions", &|it| it.list(4, Self::call)),
                ("blockOverride", &Self::block_overrides),
            ])
        })
    }

    fn context(&mut self) -> String {
        self.object(&[
            ("blockNumber", &Self::block),
            ("transactionIndex", &|it| (*it.chance.pick(&["-1", "0", "1", "2"])).to_owned()),
        ])
    }

    fn payload(&mut self) -> String {
        let flag = |it: &mut Self| (*it.chance.pick(&["true", "false", "false"])).to_owned();
        self.object(&[
            ("blockStateCalls", &|it| {
                it.list(4, |it| {
                    it.object(&[
                        ("blockOverrides", &Self::block_overrides),
                        ("stateOverrides", &Self::overrides),
                        ("calls", &|it| it.list(4, Self::call)),
                    ])
                })
            }),
            ("validation", &flag),
            ("traceTransfers", &flag),
            ("returnFullTransactions", &flag),
        ])
    }

    /// Any JSON, at most so deep.
    fn any(&mut self, depth: u64) -> String {
        let kinds = if depth == 0 { 7 } else { 9 };
        match self.chance.below(kinds) {
            0 => "null".to_owned(),
            1 => "true".to_owned(),
            2 => self.plain_number(),
            3 => quoted(&self.number()),
            4 => quoted("0x"),
            5 => quoted("\\u0000\\ud83d\\ude00"),
            6 => "1.5e308".to_owned(),
            7 => self.list(4, |it| it.any(depth - 1)),
            _ => {
                let value = self.any(depth - 1);
                format!(r#"{{"a":{value}}}"#)
            }
        }
    }

    fn nonsense(&mut self) -> String {
        match self.chance.below(6) {
            0 => String::new(),
            1 => "nonsense".to_owned(),
            2 => self.any(3),
            3 => r#"{"jsonrpc":"1.0","method":7}"#.to_owned(),
            4 => "[]".to_owned(),
            _ => format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(5_000)),
        }
    }

    /// Brackets within brackets, far deeper than anybody needs.
    fn deep(&mut self) -> String {
        let depth = usize::try_from(self.chance.below(3_000)).unwrap_or(0);
        let (open, close) = if self.chance.one_in(2) { ("[", "]") } else { (r#"{"a":"#, "}") };
        let params = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{params}]}}"#)
    }

    /// A request with a character changed, cut off or doubled.
    fn damaged(&mut self, request: &str) -> String {
        let mut text: Vec<char> = request.chars().collect();
        let at = usize::try_from(self.chance.below(text.len() as u64)).unwrap_or(0);
        match self.chance.below(4) {
            0 => text.truncate(at),
            1 => drop(text.remove(at)),
            2 => text.insert(at, *self.chance.pick(&['"', '{', ']', ',', '0', '\u{1F600}'])),
            _ => text[at] = *self.chance.pick(&['x', '}', '[', ':', '-', ' ']),
        }
        text.into_iter().collect()
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
