//! What people are told when a contract refuses: each error of the contracts that a command can meet, by its name and values.
//!
//! A wallet of which one owner decides makes the calls, so that any function of any contract can be reached by the command
//! line: `propose --call` and `execute`. Errors that no command can provoke (a caller who is not the wallet, owners out of
//! order, a token that cheats) are left to `contracts/test`.

use std::cell::Cell;

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    providers::Provider,
};
use dtn_bindings::ResultRegistry;
use dtn_chain::{Account, Call, connection::AnvilOptions, gas_ledger::GasLedger};
use dtn_keys::dev_key;
use dtn_primitives::{
    Allotment, Distribution, EcdsaCertificate, Genesis, Header, SecretKey, SettlementMessage, Solution, ValidatorIndex,
    Vote, VoteKind, WorkResult, merkle,
};
use serde_json::Value;

use crate::desk::{Bench, genesis, race, text};

/// A network whose wallet dev:1 decides about.
struct Network {
    bench: Bench,
    keys: Vec<SecretKey>,
    genesis: Genesis,
    registry: Address,
    distributor: Address,
    wallet: Address,
    /// Of a network that has nothing to do with this one.
    stranger: Address,
    salts: Cell<u64>,
}

const OWNERS: &str = "dev:1";

impl Network {
    async fn new() -> Self {
        let bench = Bench::new(AnvilOptions::default()).await;
        let mut keys: Vec<_> = (1..=4).map(|i| SecretKey::from_bytes(&[i; 32]).expect("a valid scalar")).collect();
        keys.sort_by_key(SecretKey::address);
        let owners: Vec<_> = (1..=3).map(|index| dev_key(index).expect("there").address().to_string()).collect();
        let deploy = |genesis: &Genesis, home: &str| {
            std::fs::write(bench.path("genesis.json"), serde_json::to_string(genesis).expect("JSON"))
                .expect("writable");
            let owners = owners.join(",");
            let deploy = ["deploy", "--genesis", "genesis.json", "--threshold", "1", "--owners", &owners];
            bench.json(&[&deploy[..], &["--fund-distributor", "1ether", "--home", home]].concat())["deployment"].clone()
        };
        let genesis = genesis(&keys, 31337);
        let at = |deployed: &Value, contract: &str| text(&deployed[contract]).parse().expect("an address");
        let other = deploy(&Genesis { name: "other".into(), ..genesis.clone() }, "elsewhere");
        let deployed = deploy(&genesis, ".dtn");
        Self {
            registry: at(&deployed, "registry"),
            distributor: at(&deployed, "distributor"),
            wallet: at(&deployed, "multisig"),
            stranger: at(&other, "distributor"),
            bench,
            keys,
            genesis,
            salts: Cell::new(0),
        }
    }

    fn salt(&self) -> String {
        self.salts.set(self.salts.get() + 1);
        B256::from(U256::from(self.salts.get())).to_string()
    }

    /// Proposes a call, and gives its id.
    fn propose(&self, arguments: &[&str]) -> String {
        let salt = self.salt();
        let common = ["propose", "--from", OWNERS, "--salt", &salt];
        let proposed = self.bench.json(&[&common[..], arguments].concat());
        text(&proposed["proposal"]["id"]).to_string()
    }

    /// What is said when the wallet makes a call that is refused.
    #[track_caller]
    fn refused(&self, to: Address, call: &[&str], expected: &str) {
        let to = to.to_string();
        let id = self.propose(&[&["--to", &to, "--call"][..], call].concat());
        self.says(&["execute", &id, "--from", OWNERS], expected);
    }

    #[track_caller]
    fn says(&self, arguments: &[&str], expected: &str) {
        let said = self.bench.failure(arguments);
        assert!(said.contains(expected), "{arguments:?} says {said} and not {expected}");
    }

    async fn sender(&self) -> Account {
        let ledger = GasLedger::new(self.bench.path("sender.jsonl"));
        Account::new(self.bench.chain().await, dev_key(9).expect("there"), ledger)
    }

    fn header(&self, height: u64, results: &[WorkResult]) -> Header {
        Header {
            network_id: self.genesis.network_id(),
            chain_id: 31337,
            epoch: 0,
            height,
            timestamp: 1,
            proposer: Address::ZERO,
            parent_hash: B256::ZERO,
            transactions_root: B256::ZERO,
            results_root: WorkResult::root(results),
        }
    }

    /// Signatures of validators over a message.
    fn certificate(&self, message: &SettlementMessage, signers: usize) -> Bytes {
        let domain = self.genesis.domain();
        let signatures = self.keys.iter().take(signers).map(|key| message.sign(key, &domain));
        EcdsaCertificate::new(signatures).to_bytes().into()
    }

    fn commit(&self, header: &Header, signers: usize) -> Bytes {
        let message = SettlementMessage::Commit { epoch: 0, view: 0, height: header.height, block_hash: header.hash() };
        self.certificate(&message, signers)
    }
}

/// As `cast` writes a header.
fn tuple(header: &Header) -> String {
    let Header {
        network_id,
        chain_id,
        epoch,
        height,
        timestamp,
        proposer,
        parent_hash,
        transactions_root,
        results_root,
    } = header;
    format!(
        "({network_id},{chain_id},{epoch},{height},{timestamp},{proposer},{parent_hash},{transactions_root},{results_root})"
    )
}

const HEADER: &str = "(bytes32,uint64,uint64,uint64,uint64,address,bytes32,bytes32,bytes32)";
const RESULT: &str = "(uint32,bytes32,address,address,uint256,bytes32)";
const SOLUTION: &str = "(address,bytes,bytes)";

#[tokio::test(flavor = "multi_thread")]
async fn the_wallet_says_why_it_refuses() {
    let network = Network::new().await;
    let (bench, wallet) = (&network.bench, network.wallet);
    let payee = Address::repeat_byte(0x66).to_string();

    let salt = network.salt();
    let same = ["propose", "--from", OWNERS, "--to", &payee, "--salt", &salt];
    let proposed = bench.json(&same);
    let id = text(&proposed["proposal"]["id"]);
    network.says(&same, &format!("AlreadyProposed(id: {id})"));
    let nothing = B256::repeat_byte(7).to_string();
    network.says(&["revoke", &nothing, "--from", OWNERS], &format!("NotProposed(id: {nothing})"));
    network.says(&["confirm", &nothing, "--from", OWNERS], "nobody has proposed");
    let second = dev_key(2).expect("there").address();
    network.says(&["revoke", id, "--from", "dev:2"], &format!("NotConfirmed(id: {id}, owner: {second})"));
    network.says(&["cancel", id, "--from", "dev:2"], &format!("NotProposer(id: {id}, caller: {second})"));
    bench.json(&["confirm", id, "--from", "dev:2"]);
    network.says(&["cancel", id, "--from", OWNERS], &format!("ConfirmedByOthers(id: {id}, others: 1)"));

    let short = network.propose(&["--to", &payee, "--expires", "1h"]);
    let chain = bench.chain().await;
    let _: Value = chain.provider().raw_request("evm_increaseTime".into(), (7_200,)).await.expect("anvil can");
    let _: Value = chain.provider().raw_request("evm_mine".into(), ()).await.expect("anvil can");
    network.says(&["confirm", &short, "--from", "dev:2"], "Expired(expiry: ");
    let far = ["propose", "--from", OWNERS, "--to", &payee, "--expires", "50000years"];
    network.says(&far, "ExpiryTooFar(expiry: ");

    let poor = network.propose(&["--to", &payee, "--value", "7ether"]);
    network.says(&["execute", &poor, "--from", OWNERS], "InsufficientFunds(have: 0, need: 7000000000000000000)");
    let nobody = network.propose(&["--to", &payee, "--data", "0x12345678"]);
    network.says(&["execute", &nobody, "--from", OWNERS], "NoCode(");
    let first = dev_key(1).expect("there").address().to_string();
    let zero = Address::ZERO.to_string();
    let failed = |reason: &str| format!("reason: {reason}");
    network.refused(wallet, &["addOwner(address,uint8)", &zero, "1"], &failed("InvalidOwner(account: 0x0000"));
    network.refused(wallet, &["addOwner(address,uint8)", &first, "1"], &failed("DuplicateOwner(account: "));
    let threshold = failed("InvalidThreshold(threshold: 9, ownerCount: 3)");
    network.refused(wallet, &["changeThreshold(uint8)", "9"], &threshold);
    network.refused(network.stranger, &["sweep(address)", &zero], &failed(&format!("OnlyMultisig(caller: {wallet})")));

    // A file may state what only a contract could check, for an owner who is none.
    bench.json(&["sign", "--from", OWNERS, "--to", &payee, "--out", "call.json"]);
    let file = std::fs::read_to_string(bench.path("call.json")).expect("written");
    let mut file: Value = serde_json::from_str(&file).expect("JSON");
    for signature in file["signatures"].as_object_mut().expect("signatures").values_mut() {
        *signature = "0x1234".into();
    }
    std::fs::write(bench.path("call.json"), file.to_string()).expect("writable");
    network.says(&["execute", "--signatures", "call.json", "--from", "dev:9"], "InvalidSignature(");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_says_why_it_refuses() {
    let network = Network::new().await;
    let registry = network.registry;
    let finalize = format!("finalize({HEADER},uint64,bytes)");
    let header = network.header(1, &[]);
    let refused = |header: &Header, certificate: &Bytes, expected: &str| {
        network.refused(registry, &[&finalize, &tuple(header), "0", &certificate.to_string()], expected);
    };
    let good = network.commit(&header, 3);
    refused(&Header { network_id: B256::ZERO, ..header.clone() }, &good, "WrongNetwork(expected: 0x");
    refused(&Header { chain_id: 56, ..header.clone() }, &good, "WrongChain(expected: 31337, given: 56)");
    refused(&Header { epoch: 1, ..header.clone() }, &good, "WrongEpoch(expected: 0, given: 1)");
    refused(&Header { height: 0, ..header.clone() }, &good, "ZeroHeight()");
    refused(&header, &network.commit(&header, 2), "BelowQuorum(have: 2, need: 3)");
    refused(&header, &Bytes::copy_from_slice(&good[1..]), "InvalidSignaturesLength(length: 194)");
    refused(&header, &[&good[..130], &good[65..130]].concat().into(), "SignersNotAscending(index: 2)");
    refused(&header, &[&good[..130], &[0xff; 65][..]].concat().into(), "InvalidSignature(index: 2)");
    refused(&Header { timestamp: 2, ..header.clone() }, &good, "(");
    let call = ResultRegistry::finalizeCall { header: (&header).into(), view_: 0, certificate: good.clone() };
    network.sender().await.send(&Call::new("ResultRegistry", registry, &call)).await.expect("final");
    refused(&header, &good, "AlreadyFinalized(height: 1)");
    let other = Header { timestamp: 2, ..header.clone() };
    refused(&other, &network.commit(&other, 3), "ConflictingHeader(height: 1, stored: 0x");
    // A stranger's signature recovers to somebody, who is no validator.
    let next = network.header(2, &[]);
    let message = SettlementMessage::Commit { epoch: 0, view: 0, height: 2, block_hash: next.hash() };
    let mut signers = [network.keys[0].clone(), network.keys[1].clone(), dev_key(7).expect("there")];
    signers.sort_by_key(SecretKey::address);
    let signatures = signers.iter().map(|key| message.sign(key, &network.genesis.domain()));
    refused(&next, &EcdsaCertificate::new(signatures).to_bytes().into(), "UnknownSigner(signer: ");

    // Rotations that a quorum has signed, and that make no validator set.
    for (validators, expected) in [
        (vec![Address::repeat_byte(1); 3], "InvalidValidatorCount(count: 3)"),
        (vec![Address::repeat_byte(1); 4], "ValidatorsNotAscending(index: 1)"),
    ] {
        let rotation = dtn_primitives::Rotation { epoch: 0, validators: validators.clone() };
        let certificate = network.certificate(&SettlementMessage::Rotation(rotation), 3).to_string();
        let list = format!("[{}]", validators.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        network.refused(registry, &["rotate(address[],bytes)", &list, &certificate], expected);
    }

    // BLS keys.
    let zeros = |count: usize| Bytes::from(vec![0; count]).to_string();
    network.refused(registry, &["registerKey(bytes,bytes)", "0x", "0x"], "InvalidPossession(account: ");
    let publish = "publishKeys(uint256,bytes)";
    network.refused(registry, &[publish, "0", "0x"], "NotMoreKeys(published: 0, given: 0)");
    network.refused(registry, &[publish, "16", &zeros(256)], "KeyWithoutValidator(keyed: 16)");
    network.refused(registry, &[publish, "1", "0x"], "InvalidKeysLength(length: 0)");
    let unknown = format!("UnknownKey(validator: {})", network.keys[0].address());
    network.refused(registry, &[publish, "1", &zeros(256)], &unknown);
    let certify = |number: &str, signers: u8, expected: &str| {
        let mut certificate = vec![0; 160];
        certificate[31] = signers;
        let (hash, certificate) = (B256::repeat_byte(1).to_string(), Bytes::from(certificate).to_string());
        network.refused(registry, &["certify(uint32,bytes32,bytes)", number, &hash, &certificate], expected);
    };
    certify("0", 7, "StaleDistribution(current: 0, given: 0)");
    certify("1", 7, "NoKeys(epoch: 0)");
    let (chain, domain) = (network.bench.chain().await, network.genesis.domain());
    let keys = dtn_settlement::bls_keys::BlsKeys::new(chain.clone(), registry, 0);
    let sender = network.sender().await;
    for key in &network.keys[..3] {
        sender.send(&Call::transfer("fund", key.address(), U256::from(10u64.pow(18)))).await.expect("funded");
        let account = Account::new(chain.clone(), key.clone(), GasLedger::new(network.bench.path("keys.jsonl")));
        let call = keys.register(&dtn_keys::bls::bls_key(key), key.address(), &domain);
        account.send(&call).await.expect("registered");
    }
    let (call, _) = keys.publish().await.expect("read").expect("there are keys");
    sender.send(&call).await.expect("published");
    certify("1", 3, "BelowQuorum(have: 2, need: 3)");
    certify("1", 14, "SignersWithoutKey(signers: 8)");
    certify("1", 7, "InvalidAggregate()");

    // Evidence.
    let report = "reportEvidence((uint8,uint64,uint64,uint64,uint16,bytes32,bytes32,bytes,bytes))";
    let vote = |kind, view, byte: u8| {
        let hash = B256::repeat_byte(byte);
        let vote = Vote::sign(kind, (0, view, 7), hash, ValidatorIndex(1), &network.keys[1], &domain);
        (hash, Bytes::copy_from_slice(&vote.signature.0))
    };
    let evidence = |kind: u8, view: u64, validator: u16, one: &(B256, Bytes), two: &(B256, Bytes)| {
        format!("({kind},0,{view},7,{validator},{},{},{},{})", one.0, two.0, one.1, two.1)
    };
    let (one, two) = (vote(VoteKind::Commit, 0, 1), vote(VoteKind::Commit, 0, 2));
    network.refused(registry, &[report, &evidence(2, 0, 99, &one, &two)], "UnknownValidator(index: 99)");
    network.refused(registry, &[report, &evidence(2, 0, 1, &two, &one)], "NoContradiction(firstHash: 0x");
    network.refused(registry, &[report, &evidence(3, 1, 1, &one, &two)], "CheckpointInView(view_: 1)");
    let forged = format!("NotSignedBy(validator: {}", network.keys[2].address());
    network.refused(registry, &[report, &evidence(2, 0, 2, &one, &two)], &forged);
    let id = network.propose(&["--to", &registry.to_string(), "--call", report, &evidence(2, 0, 1, &one, &two)]);
    network.bench.json(&["execute", &id, "--from", OWNERS]);
    let barred = format!("AlreadyBarred(validator: {})", network.keys[1].address());
    network.refused(registry, &[report, &evidence(2, 0, 1, &one, &two)], &barred);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_distributor_says_why_it_refuses() {
    let network = Network::new().await;
    let (bench, distributor) = (&network.bench, network.distributor);
    let domain = network.genesis.domain();
    let (worker, payee, one) = (Address::repeat_byte(5), Address::repeat_byte(0x41), U256::from(1));
    let good = race::won(1, (worker, payee), one, &domain);
    // What only a quorum that lies could certify.
    let (result, solution) = &good;
    let unlike = |result: WorkResult, solution: Solution| race::certified((result, solution), &domain);
    let (order, claim) = (Bytes::from_static(&[0]), Bytes::from_static(&[1]));
    let other = race::won(2, (worker, payee), one, &domain).1;
    let races = [
        (good.clone(), ""),
        (race::won(3, (worker, Address::ZERO), one, &domain), "ZeroPayee(id: 0x"),
        (unlike(result.clone(), Solution { order, ..solution.clone() }), "MalformedOrder(id: 0x"),
        (unlike(result.clone(), Solution { claim, ..solution.clone() }), "MalformedClaim(digest: 0x"),
        (unlike(result.clone(), Solution { order: other.order, ..solution.clone() }), "ForeignClaim(id: 0x"),
        (unlike(WorkResult { payee: worker, ..result.clone() }, solution.clone()), "WrongPayee(payee: 0x0505"),
        (
            unlike(WorkResult { amount: U256::from(2), ..result.clone() }, solution.clone()),
            "WrongAmount(amount: 2, offered: 1)",
        ),
        (unlike(WorkResult { worker: payee, ..result.clone() }, solution.clone()), "WrongHash(hash: 0x"),
        (race::claimed(4, u64::MAX, (worker, payee), one, &domain), "WorkMissing(hash: 0x"),
    ];
    let results: Vec<_> = races.iter().map(|((result, _), _)| result.clone()).collect();
    let leaves: Vec<_> = results.iter().map(WorkResult::leaf).collect();
    let header = network.header(1, &results);
    let shown = |result: &WorkResult| {
        let WorkResult { kind, id, worker, payee, amount, digest } = result;
        let kind = kind.number();
        format!("({kind},{id},{worker},{payee},{amount},{digest})")
    };
    let solved = |solution: &Solution| {
        let Solution { requester, order, claim } = solution;
        format!("({requester},{order},{claim})")
    };
    let siblings = |index: usize| {
        let proof = merkle::proof(&leaves, index).expect("in range");
        format!("[{}]", proof.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    let pay = format!("pay({HEADER},{RESULT},bytes32[],{SOLUTION})");
    let call = |index: usize, solution: &Solution| {
        [pay.clone(), tuple(&header), shown(&results[index]), siblings(index), solved(solution)]
    };
    let refused = |call: &[&str], expected: &str| network.refused(distributor, call, expected);
    let refused_pay = |call: [String; 5], expected: &str| refused(&call.each_ref().map(String::as_str), expected);
    refused_pay(call(0, solution), "NotFinalized(height: 1, blockHash: 0x");
    let certificate = network.commit(&header, 3);
    let finalize = ResultRegistry::finalizeCall { header: (&header).into(), view_: 0, certificate };
    network.sender().await.send(&Call::new("ResultRegistry", network.registry, &finalize)).await.expect("final");
    refused(&[&pay, &tuple(&header), &shown(&results[0]), "[]", &solved(solution)], "NotIncluded(leaf: 0x");
    for (index, ((_, solution), expected)) in races.iter().enumerate().skip(1) {
        refused_pay(call(index, solution), expected);
    }
    let nobodys = Solution { requester: Address::ZERO, ..solution.clone() };
    refused_pay(call(0, &nobodys), &format!("WrongOrder(id: {}", result.id));
    let another = Solution { claim: other.claim, ..solution.clone() };
    refused_pay(call(0, &another), &format!("WrongClaim(digest: {}", result.digest));
    let many = format!("payMany({HEADER},{RESULT}[],bytes32[][],{SOLUTION}[])");
    let mismatch = "LengthMismatch(results: 0, proofs: 1, solutions: 0)";
    refused(&[&many, &tuple(&header), "[]", "[[]]", "[]"], mismatch);
    let paid = call(0, solution);
    let paid_words = paid.each_ref().map(String::as_str);
    let id = network.propose(&[&["--to", &distributor.to_string(), "--call"][..], &paid_words].concat());
    bench.json(&["execute", &id, "--from", OWNERS]);
    refused(&paid_words, &format!("AlreadyPaid(id: {}", result.id));

    let zero = Address::ZERO.to_string();
    refused(&["sweep(address)", &zero], "NothingToSweep(token: 0x0000");
    refused(&["cancel()"], "NotScheduled(hash: 0x0000");
    let id = B256::repeat_byte(9).to_string();
    refused(&["push(bytes32,address,bytes32[],uint256)", &id, &zero, "[]", "0"], "NotApproved(id: 0x0909");
    network.says(&["rewards", "withdraw", "--from", "dev:4"], "NoCredit(account: 0x");

    let distribution = |distributor, number, tokens: &[u8]| Distribution {
        distributor,
        number,
        root: B256::ZERO,
        allotments: tokens.iter().map(|byte| Allotment { token: Address::repeat_byte(*byte), amount: 0 }).collect(),
    };
    let schedule = "schedule((address,uint32,bytes32,(address,uint128)[]))";
    let written = |distribution: &Distribution| {
        let Distribution { distributor, number, root, allotments } = distribution;
        let allotments = allotments.iter().map(|one| format!("({},{})", one.token, one.amount)).collect::<Vec<_>>();
        format!("({distributor},{number},{root},[{}])", allotments.join(","))
    };
    refused(&[schedule, &written(&distribution(network.stranger, 1, &[]))], "WrongDistributor(distributor: ");
    refused(&[schedule, &written(&distribution(distributor, 0, &[]))], "StaleNumber(current: 0, given: 0)");
    refused(&[schedule, &written(&distribution(distributor, 1, &[]))], "NotCertified(number: 1, hash: 0x");
    let descending = distribution(distributor, 1, &[2, 1]);
    let certificate = network.certificate(&SettlementMessage::of_distribution(0, &descending), 3);
    let call = ResultRegistry::certifyCall { number: 1, hash: descending.hash(), certificate };
    network.sender().await.send(&Call::new("ResultRegistry", network.registry, &call)).await.expect("certified");
    refused(&[schedule, &written(&descending)], "TokensNotAscending(index: 1)");

    // More is earned than allotted, by an account that takes no money and by one whose validator lied.
    let (refuses, barred) = (Address::repeat_byte(0x74), network.keys[1].address());
    let accounts = [refuses, barred, Address::repeat_byte(0x42)];
    let lines: String = accounts.iter().map(|account| format!("{account},{},600\n", Address::ZERO)).collect();
    std::fs::write(bench.path("earned.csv"), format!("account,token,cumulative\n{lines}")).expect("writable");
    bench.json(&["rewards", "new", "--earnings", "earned.csv", "--allot", "700", "--out", "d.json"]);
    let mut signed: dtn_settlement::message::SignedMessage =
        serde_json::from_slice(&std::fs::read(bench.path("d.json")).expect("written")).expect("JSON");
    network.keys[..3].iter().for_each(|key| signed.sign(key));
    std::fs::write(bench.path("d.json"), serde_json::to_string(&signed).expect("JSON")).expect("writable");
    bench.json(&["rewards", "certify", "d.json", "--from", "dev:0"]);
    let scheduled = bench.json(&["rewards", "schedule", "d.json", "--from", OWNERS]);
    bench.json(&["execute", text(&scheduled["proposal"]["id"]), "--from", OWNERS]);
    let provider = bench.chain().await;
    let provider = provider.provider();
    let _: Value = provider.raw_request("evm_increaseTime".into(), (60,)).await.expect("anvil can");
    bench.json(&["rewards", "activate", "d.json", "--from", "dev:0"]);
    refused(&["sweep(address)", &zero], "TooEarly(until: ");
    let _: Value = provider.raw_request("anvil_setCode".into(), (refuses, "0x5f5ffd")).await.expect("anvil can");
    let claim = |account: Address, expected: &str| {
        let account = account.to_string();
        network.says(&["rewards", "claim", "d.json", "--account", &account, "--from", "dev:0"], expected);
    };
    let refusing = refuses.to_string();
    bench.json(&["rewards", "claim", "d.json", "--account", &refusing, "--from", "dev:0"]);
    claim(accounts[2], "AllotmentExhausted(token: 0x0000000000000000000000000000000000000000, have: 100, need: 600)");
    let vote = |byte| {
        let hash = B256::repeat_byte(byte);
        Vote::sign(VoteKind::Commit, (0, 0, 7), hash, ValidatorIndex(1), &network.keys[1], &network.genesis.domain())
    };
    let evidence = dtn_primitives::Evidence::new(&vote(1), &vote(2));
    let call = ResultRegistry::reportEvidenceCall { evidence: (&evidence).into() };
    network.sender().await.send(&Call::new("ResultRegistry", network.registry, &call)).await.expect("barred");
    claim(barred, &format!("AccountBarred(account: {barred})"));
}
