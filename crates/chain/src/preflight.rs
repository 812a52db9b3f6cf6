//! What there is to know about a settlement chain before money is sent there: probed, not believed.
//!
//! What the chain's machine can do is found by running code in `eth_call` that is deployed nowhere: instructions and
//! precompiles that came with a hardfork work, or they do not.

use std::fmt;

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, Bytes, TxKind, U256, hex},
    providers::Provider,
    rpc::types::{Filter, TransactionInput, TransactionRequest},
    transports::{RpcError, TransportError},
};
use serde::Serialize;

use crate::{
    amount::format_amount,
    connection::{Chain, retrying},
    networks::Finality,
    shown,
};

/// So few blocks at once are worth a remark.
const FEW_BLOCKS: u64 = 500;

/// A set of rules of the Ethereum machine, by its name on the execution layer, in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hardfork {
    /// All before London.
    Older,
    /// BASEFEE (EIP-3198).
    London,
    /// PUSH0 (EIP-3855).
    Shanghai,
    /// MCOPY (EIP-5656) and transient storage (EIP-1153).
    Cancun,
    /// The precompiles for BLS12-381 (EIP-2537).
    Prague,
    /// CLZ (EIP-7939). The contracts are compiled for this one.
    Osaka,
}

impl fmt::Display for Hardfork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Older => "before London",
            Self::London => "London",
            Self::Shanghai => "Shanghai",
            Self::Cancun => "Cancun",
            Self::Prague => "Prague",
            Self::Osaka => "Osaka",
        })
    }
}

/// Code that returns one word, and what it returns where the feature exists.
struct Probe {
    hardfork: Hardfork,
    code: &'static str,
    answer: fn(U256) -> bool,
}

/// `6020 6000 f3` or `6020 5f f3` at the end returns the word that was stored at 0.
const PROBES: [Probe; 5] = [
    // BASEFEE; any answer will do.
    Probe { hardfork: Hardfork::London, code: "4860005260206000f3", answer: |_| true },
    Probe { hardfork: Hardfork::Shanghai, code: "5f60010160005260206000f3", answer: |word| word == U256::from(1) },
    // 7 is stored at 0, copied by MCOPY to 32, written and read again by TSTORE and TLOAD.
    Probe {
        hardfork: Hardfork::Cancun,
        code: "60075f5260205f60205e6020515f5d5f5c5f5260205ff3",
        answer: |word| word == U256::from(7),
    },
    // STATICCALL of G1ADD with two points at infinity; the success and the length of the answer are multiplied.
    Probe {
        hardfork: Hardfork::Prague,
        code: "60806101006101005f600b5afa3d025f5260205ff3",
        answer: |word| word == U256::from(128),
    },
    // CLZ of 1.
    Probe { hardfork: Hardfork::Osaka, code: "60011e5f5260205ff3", answer: |word| word == U256::from(255) },
];

/// A precompile that the contracts call, with so many zero bytes, and how its answer begins and how long it is.
struct Precompile {
    name: &'static str,
    address: u8,
    zeros: usize,
    answer: (&'static str, usize),
}

const PRECOMPILES: [Precompile; 5] = [
    Precompile { name: "SHA-256", address: 0x02, zeros: 0, answer: ("e3b0c44298fc1c149afbf4c8996fb924", 32) },
    // A point at infinity and another one.
    Precompile { name: "BLS12_G1ADD", address: 0x0b, zeros: 256, answer: ("", 128) },
    Precompile { name: "BLS12_G2ADD", address: 0x0d, zeros: 512, answer: ("", 256) },
    // One pair at infinity, whose product is one.
    Precompile { name: "BLS12_PAIRING_CHECK", address: 0x0f, zeros: 384, answer: ("00", 32) },
    // Where the hash of a message is mapped to: signatures are points of G1.
    Precompile { name: "BLS12_MAP_FP_TO_G1", address: 0x10, zeros: 64, answer: ("", 128) },
];

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Preflight {
    /// The network's name.
    pub network: String,
    /// The endpoint that was asked.
    pub rpc: String,
    /// The chain id that it states, which is the configured one.
    pub chain_id: u64,
    /// The node's program and version, if it says so.
    pub client: Option<String>,
    /// The newest rules of which every part that was probed works.
    pub hardfork: Hardfork,
    /// Precompiles by name, and whether they answer as they must.
    pub precompiles: Vec<(&'static str, bool)>,
    /// The last block.
    pub height: u64,
    /// The last block that the chain calls finalized; `None` if it does not know that tag.
    pub finalized: Option<u64>,
    /// Seconds from block to block, over the last hundred or so; `None` on a chain that is too short.
    pub block_time: Option<f64>,
    /// The base fee of the last block, in wei.
    pub base_fee: Option<u64>,
    /// What the node would have one pay for a unit of gas, in wei.
    pub gas_price: u128,
    /// The tip that the node suggests, in wei, before the configured least one is applied.
    pub suggested_tip: Option<u128>,
    /// The configured least tip, in wei.
    pub min_priority_fee: u64,
    /// What an account holds that was asked about, in wei.
    pub balance: Option<(Address, U256)>,
    /// The methods that commands need and that no node answers, each with the refusal.
    pub refused: Vec<(&'static str, String)>,
    /// Through how many blocks a node looks for logs at once, as far as it was tried.
    pub log_range: Option<u64>,
}

/// Something about a chain that will go wrong, or may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it will: then nothing should be sent.
    pub fatal: bool,
    /// What, and what to do about it.
    pub what: String,
}

impl Preflight {
    /// What will go wrong there, and what may.
    pub fn findings(&self, finality: Finality) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |fatal, what: String| findings.push(Finding { fatal, what });
        if self.hardfork < Hardfork::Cancun {
            find(true, format!("its rules are {}; the contracts need Cancun's at least", self.hardfork));
        } else if self.hardfork < Hardfork::Osaka {
            let what =
                "no aggregate certificate with an absentee is taken before Osaka, and gas was measured under Osaka's";
            find(false, format!("its rules are {}; {what}", self.hardfork));
        }
        let lacks: Vec<_> = self.precompiles.iter().filter(|(_, works)| !works).map(|(name, _)| *name).collect();
        if !lacks.is_empty() {
            find(lacks.contains(&"SHA-256"), format!("these precompiles do not answer: {}", lacks.join(", ")));
        }
        if finality == Finality::Finalized && self.finalized.is_none() {
            let instead = "set finality = \"latest\" and the confirmations that you trust";
            find(true, format!("it calls no block finalized; {instead}"));
        }
        for (method, reason) in &self.refused {
            let instead = "name a node with --rpc that has it, beside this one or in its place";
            find(true, format!("{method}, which commands need, is refused ({reason}); {instead}"));
        }
        if self.base_fee.is_none() {
            find(true, "its blocks have no base fee (EIP-1559), and all transactions are of that kind".into());
        }
        if let Some(blocks) = self.log_range.filter(|blocks| *blocks < FEW_BLOCKS) {
            find(
                false,
                format!("it looks through {blocks} blocks for logs at once, so the history takes long to read"),
            );
        }
        let tip = self.suggested_tip.unwrap_or(0).max(self.min_priority_fee.into());
        if self.base_fee == Some(0) && tip < 10_000_000 {
            find(false, format!("a tip of {tip} wei without a base fee may be refused; set min_priority_fee"));
        }
        if let Some((account, balance)) = self.balance.filter(|(_, balance)| balance.is_zero()) {
            find(true, format!("{account} holds {}; send it native currency first", format_amount(balance)));
        }
        findings
    }

    /// Asks the chain. `account` is one whose balance matters.
    ///
    /// # Errors
    ///
    /// If the node does not answer.
    pub async fn run(chain: &Chain, account: Option<Address>) -> Result<Self, TransportError> {
        let (provider, network) = (chain.provider(), chain.network());
        let height = retrying(|| provider.get_block_number()).await?;
        let mut precompiles = Vec::new();
        for precompile in &PRECOMPILES {
            precompiles.push((precompile.name, answers(chain, precompile).await?));
        }
        let latest = block(chain, BlockNumberOrTag::Latest).await?;
        let finalized = block(chain, BlockNumberOrTag::Finalized).await.ok().flatten();
        let span = height.min(100);
        let before = block(chain, BlockNumberOrTag::Number(height - span)).await.ok().flatten();
        let block_time = latest
            .as_ref()
            .zip(before)
            .filter(|_| span > 0)
            .map(|((_, latest, _), (_, before, _))| latest.saturating_sub(before) as f64 / span as f64);
        let balance = match account {
            Some(account) => Some((account, retrying(|| async { provider.get_balance(account).await }).await?)),
            None => None,
        };
        Ok(Self {
            network: network.name.clone(),
            rpc: network.rpc.to_string(),
            chain_id: chain.chain_id(),
            client: provider.get_client_version().await.ok(),
            hardfork: hardfork(chain).await?,
            precompiles,
            height,
            finalized: finalized.map(|(number, ..)| number),
            block_time,
            base_fee: latest.and_then(|(.., base_fee)| base_fee),
            gas_price: retrying(|| provider.get_gas_price()).await?,
            suggested_tip: provider.get_max_priority_fee_per_gas().await.ok(),
            min_priority_fee: network.min_priority_fee,
            balance,
            refused: refused(chain).await?,
            log_range: chain.log_range().await.ok(),
        })
    }
}

/// What commands ask of a node besides calls and balances, of which a node may lack some.
const METHODS: [&str; 6] = [
    "eth_feeHistory",
    "eth_estimateGas",
    "eth_getLogs",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_getTransactionByHash",
];

/// The methods that no node answers, tried as commands use them.
async fn refused(chain: &Chain) -> Result<Vec<(&'static str, String)>, TransportError> {
    let provider = chain.provider();
    let zero = TransactionRequest { to: Some(TxKind::Call(Address::ZERO)), ..TransactionRequest::default() };
    let mut refused = Vec::new();
    for method in METHODS {
        let tried = retrying(|| async {
            match method {
                "eth_feeHistory" => provider.get_fee_history(10, BlockNumberOrTag::Latest, &[20.0]).await.map(drop),
                "eth_estimateGas" => provider.estimate_gas(zero.clone()).await.map(drop),
                "eth_getLogs" => provider.get_logs(&Filter::new().address(Address::ZERO)).await.map(drop),
                "eth_getTransactionCount" => provider.get_transaction_count(Address::ZERO).pending().await.map(drop),
                "eth_getTransactionReceipt" => provider.get_transaction_receipt(B256::ZERO).await.map(drop),
                _ => provider.get_transaction_by_hash(B256::ZERO).await.map(drop),
            }
        });
        match tried.await {
            Ok(()) => {}
            Err(RpcError::ErrorResp(payload)) => refused.push((method, shown::text(&payload.message))),
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

/// The newest rules of which every part that is probed works.
///
/// # Errors
///
/// If the node does not answer.
pub async fn hardfork(chain: &Chain) -> Result<Hardfork, TransportError> {
    let mut hardfork = Hardfork::Older;
    for probe in &PROBES {
        if !runs(chain, probe).await? {
            break;
        }
        hardfork = probe.hardfork;
    }
    Ok(hardfork)
}

/// The number, the timestamp and the base fee of a block.
async fn block(chain: &Chain, tag: BlockNumberOrTag) -> Result<Option<(u64, u64, Option<u64>)>, TransportError> {
    let block = retrying(|| async { chain.provider().get_block_by_number(tag).await }).await?;
    Ok(block.map(|block| (block.header.number, block.header.timestamp, block.header.base_fee_per_gas)))
}

/// Whether the chain runs a probe as it should.
async fn runs(chain: &Chain, probe: &Probe) -> Result<bool, TransportError> {
    let code = hex::decode(probe.code).unwrap_or_default();
    let word = call(chain, None, code).await?;
    Ok(word.is_some_and(|word| word.len() == 32 && (probe.answer)(U256::from_be_slice(&word))))
}

/// Whether a precompile answers as it should. Where there is none, the answer is empty.
async fn answers(chain: &Chain, precompile: &Precompile) -> Result<bool, TransportError> {
    let (beginning, length) = precompile.answer;
    let answer = call(chain, Some(Address::with_last_byte(precompile.address)), vec![0; precompile.zeros]).await?;
    Ok(answer.is_some_and(|answer| answer.len() == length && hex::encode(answer).starts_with(beginning)))
}

/// What a call returns; `None` if it fails. Without an account, the input is code that runs.
async fn call(chain: &Chain, to: Option<Address>, input: Vec<u8>) -> Result<Option<Bytes>, TransportError> {
    let to = to.map(TxKind::Call).or(Some(TxKind::Create));
    let request =
        TransactionRequest { to, input: TransactionInput::new(input.into()), ..TransactionRequest::default() };
    match retrying(|| async { chain.provider().call(request.clone()).await }).await {
        Ok(answer) => Ok(Some(answer)),
        Err(RpcError::ErrorResp(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
