//! Calls of the wallet that owners sign off chain, and the file in which the signatures travel.
//!
//! The file is EIP-712 typed data as other tools read it (`cast wallet sign --data --from-file`), with one key more for
//! the signatures. It names the wallet and the chain, so signing needs no connection.

use std::{collections::BTreeMap, fmt};

use alloy::{
    primitives::{Address, B256, Bytes, Signature, U256, keccak256},
    sol_types::{Eip712Domain, SolStruct},
};
use dtn_primitives::SecretKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use dtn_chain::shown;

/// Bytes of an account's signature: r, s, v.
const SIGNATURE_LENGTH: usize = 65;

/// The longest signature of a contract that is taken.
const MAX_CONTRACT_SIGNATURE: usize = 16 * 1024;

mod typed {
    alloy::sol! {
        struct Execution { address to; uint256 value; bytes data; uint64 expiry; uint256 nonce; }
    }
}

/// The EIP-712 domain of a wallet.
pub(crate) fn domain(wallet: Address, chain_id: u64) -> Eip712Domain {
    Eip712Domain::new(None, None, Some(U256::from(chain_id)), Some(wallet), None)
}

/// The hash that is signed: `keccak256(0x1901 ‖ domain ‖ struct)`.
pub(crate) fn digest(domain: B256, structure: B256) -> B256 {
    keccak256([&[0x19, 0x01], domain.as_slice(), structure.as_slice()].concat())
}

/// What is signed, as hardware wallets show it: the hash of the domain, the hash of the structure, and both in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The domain separator.
    pub domain_hash: B256,
    /// The hash of the structure, which some wallets call the message.
    pub struct_hash: B256,
    /// What is signed; the id of a proposal.
    pub digest: B256,
}

impl Preview {
    pub(crate) fn of(wallet: Address, chain_id: u64, structure: &impl SolStruct) -> Self {
        let (domain_hash, struct_hash) = (domain(wallet, chain_id).separator(), structure.eip712_hash_struct());
        Self { domain_hash, struct_hash, digest: digest(domain_hash, struct_hash) }
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain_hash, struct_hash, digest } = self;
        write!(f, "domain hash {domain_hash}\nstruct hash {struct_hash}\ndigest      {digest}")
    }
}

/// The call that owners sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execution {
    /// The account to call.
    pub to: Address,
    /// Wei to send.
    pub value: U256,
    /// Calldata.
    pub data: Bytes,
    /// The last second at which the call can be made, in Unix time; 0 for no end.
    pub expiry: u64,
    /// How many calls the wallet has made by signatures before this one.
    pub nonce: U256,
}

/// Why a file of signatures is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It asks to sign something else than a call of a wallet.
    #[error("it is not the typed data of a wallet's call: {0} differs. Nothing else is signed")]
    OtherType(&'static str),
    /// A signature that does not belong there.
    #[error("the signature under {signer} is not of that account, or of another call, wallet or chain")]
    NotBy {
        /// Whose it should be.
        signer: Address,
    },
    /// No signature of an account.
    #[error("{length} bytes that are no signature of an account: those are 65, r, s and v")]
    Malformed {
        /// How long it is.
        length: usize,
    },
    /// A signature of no known form.
    #[error(
        "the signature under {signer} has {length} bytes: an account's has 65, a contract's at most {MAX_CONTRACT_SIGNATURE}"
    )]
    Length {
        /// Whose it should be.
        signer: Address,
        /// How long it is.
        length: usize,
    },
    /// Too few owners have signed.
    #[error("{have} of the owners have signed, and the wallet asks for {need}; missing: {}", shown::accounts(missing))]
    BelowThreshold {
        /// How many owners have.
        have: usize,
        /// How many have to.
        need: usize,
        /// Who has not.
        missing: Vec<Address>,
    },
    /// Files of different calls.
    #[error("the files are about different calls: {ours} and {theirs}")]
    OtherCall {
        /// What one of them signs.
        ours: B256,
        /// What the other signs.
        theirs: B256,
    },
}

/// A call of a wallet with the signatures that it has so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "File", into = "File")]
pub struct SignedExecution {
    /// The wallet.
    pub wallet: Address,
    /// Its chain.
    pub chain_id: u64,
    /// The call.
    pub execution: Execution,
    signatures: BTreeMap<Address, Bytes>,
}

impl SignedExecution {
    /// A call that nobody has signed.
    pub fn new(wallet: Address, chain_id: u64, execution: Execution) -> Self {
        Self { wallet, chain_id, execution, signatures: BTreeMap::new() }
    }

    /// What is signed.
    pub fn preview(&self) -> Preview {
        let Execution { to, value, data, expiry, nonce } = self.execution.clone();
        Preview::of(self.wallet, self.chain_id, &typed::Execution { to, value, data, expiry, nonce })
    }

    /// Who has signed, in ascending order.
    pub fn signers(&self) -> impl Iterator<Item = Address> {
        self.signatures.keys().copied()
    }

    /// Signs.
    pub fn sign(&mut self, key: &SecretKey) {
        let signature = key.sign(self.preview().digest);
        self.signatures.insert(key.address(), Bytes::copy_from_slice(&signature.0));
    }

    /// The typed data that is signed, without the signatures.
    pub fn typed_data(&self) -> serde_json::Result<Value> {
        let unsigned = Self { signatures: BTreeMap::new(), ..self.clone() };
        let mut data = serde_json::to_value(unsigned)?;
        if let Some(fields) = data.as_object_mut() {
            fields.remove("signatures");
        }
        Ok(data)
    }

    /// Takes up a signature: an account's, which is checked, or what a contract checks by ERC-1271, which only the chain
    /// can check. Of an account's, the last byte says which of two points it is in several ways (0 and 1, 27 and 28, or
    /// with the chain in it by EIP-155): the one that the wallet takes is kept.
    ///
    /// # Errors
    ///
    /// If it is not the account's signature of this call.
    pub fn add(&mut self, signer: Address, signature: Bytes) -> Result<(), SignatureError> {
        let kept = match signature.len() {
            SIGNATURE_LENGTH => {
                let parsed = Signature::try_from(&signature[..]).ok().filter(|parsed| parsed.normalize_s().is_none());
                let digest = self.preview().digest;
                let of = |parsed: &Signature| parsed.recover_address_from_prehash(&digest).ok();
                let parsed = parsed.filter(|parsed| of(parsed) == Some(signer));
                Bytes::from(parsed.ok_or(SignatureError::NotBy { signer })?.as_bytes())
            }
            1..=MAX_CONTRACT_SIGNATURE => signature,
            length => return Err(SignatureError::Length { signer, length }),
        };
        self.signatures.insert(signer, kept);
        Ok(())
    }

    /// Takes up an account's signature that another tool has made, and tells whose it is.
    ///
    /// # Errors
    ///
    /// If it is no signature of this call by anybody.
    pub fn add_found(&mut self, signature: Bytes) -> Result<Address, SignatureError> {
        let parsed = Signature::try_from(&signature[..]).ok();
        let signer = parsed.and_then(|parsed| parsed.recover_address_from_prehash(&self.preview().digest).ok());
        let signer = signer.ok_or(SignatureError::Malformed { length: signature.len() })?;
        self.add(signer, signature)?;
        Ok(signer)
    }

    /// The same with as many signatures of owners as the wallet asks for, the cheapest to check; there may be others in a
    /// file, which the wallet would refuse or be paid for in vain.
    pub fn chosen(mut self, owners: &[Address], threshold: usize) -> Result<Self, SignatureError> {
        let mut counting: Vec<_> = self.signatures.iter().filter(|(signer, _)| owners.contains(signer)).collect();
        if counting.len() < threshold {
            let missing = owners.iter().filter(|owner| !self.signatures.contains_key(*owner)).copied().collect();
            return Err(SignatureError::BelowThreshold { have: counting.len(), need: threshold, missing });
        }
        counting.sort_by_key(|(_, signature)| signature.len());
        let chosen = counting.into_iter().take(threshold).map(|(signer, signature)| (*signer, signature.clone()));
        self.signatures = chosen.collect();
        Ok(self)
    }

    /// Takes up the signatures of another file.
    ///
    /// # Errors
    ///
    /// [`SignatureError::OtherCall`].
    pub fn combine(&mut self, other: Self) -> Result<(), SignatureError> {
        let (ours, theirs) = (self.preview().digest, other.preview().digest);
        if ours != theirs {
            return Err(SignatureError::OtherCall { ours, theirs });
        }
        self.signatures.extend(other.signatures);
        Ok(())
    }

    /// The signatures as the wallet takes them: in ascending order of their signers, a contract's with its address in
    /// place of r, the length of what it checks in place of s, and 0 for v.
    pub fn packed(&self) -> Bytes {
        let mut packed = Vec::new();
        for (signer, signature) in &self.signatures {
            if signature.len() == SIGNATURE_LENGTH {
                packed.extend_from_slice(signature);
            } else {
                packed.extend_from_slice(signer.into_word().as_slice());
                packed.extend_from_slice(&U256::from(signature.len()).to_be_bytes::<32>());
                packed.push(0);
                packed.extend_from_slice(signature);
            }
        }
        packed.into()
    }
}

/// The file, in the order in which it is written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    types: Value,
    primary_type: String,
    domain: FileDomain,
    message: FileMessage,
    #[serde(default)]
    signatures: BTreeMap<Address, Bytes>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileDomain {
    chain_id: u64,
    verifying_contract: Address,
}

/// With numbers as decimal text, which every reader of typed data takes.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMessage {
    to: Address,
    #[serde(serialize_with = "decimal")]
    value: U256,
    data: Bytes,
    #[serde(serialize_with = "decimal")]
    expiry: U256,
    #[serde(serialize_with = "decimal")]
    nonce: U256,
}

fn decimal<S: serde::Serializer>(number: &U256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

fn types() -> Value {
    let field = |(name, kind)| json!({ "name": name, "type": kind });
    let domain = [("chainId", "uint256"), ("verifyingContract", "address")].map(field);
    let execution =
        [("to", "address"), ("value", "uint256"), ("data", "bytes"), ("expiry", "uint64"), ("nonce", "uint256")];
    json!({ "EIP712Domain": domain, "Execution": execution.map(field) })
}

impl From<SignedExecution> for File {
    fn from(signed: SignedExecution) -> Self {
        let SignedExecution { wallet, chain_id, execution, signatures } = signed;
        let Execution { to, value, data, expiry, nonce } = execution;
        let message = FileMessage { to, value, data, expiry: U256::from(expiry), nonce };
        let domain = FileDomain { chain_id, verifying_contract: wallet };
        Self { types: types(), primary_type: "Execution".into(), domain, message, signatures }
    }
}

impl TryFrom<File> for SignedExecution {
    type Error = SignatureError;

    fn try_from(file: File) -> Result<Self, SignatureError> {
        if file.types != types() {
            return Err(SignatureError::OtherType("`types`"));
        }
        if file.primary_type != "Execution" {
            return Err(SignatureError::OtherType("`primaryType`"));
        }
        let FileMessage { to, value, data, expiry, nonce } = file.message;
        let expiry = expiry.try_into().map_err(|_| SignatureError::OtherType("`expiry`"))?;
        let execution = Execution { to, value, data, expiry, nonce };
        let mut signed = Self::new(file.domain.verifying_contract, file.domain.chain_id, execution);
        for (signer, signature) in file.signatures {
            signed.add(signer, signature)?;
        }
        Ok(signed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alloy::sol_types::SolValue;

    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_bytes(&[seed; 32]).unwrap()
    }

    fn call() -> SignedExecution {
        let execution = Execution {
            to: Address::repeat_byte(0x11),
            value: U256::from(10).pow(U256::from(18)),
            data: Bytes::from_static(&[1, 2, 3]),
            expiry: 1_800_000_000,
            nonce: U256::from(7),
        };
        SignedExecution::new(Address::repeat_byte(0x22), 97, execution)
    }

    fn read(file: &Value) -> Result<SignedExecution, String> {
        serde_json::from_value(file.clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_file_is_typed_data_for_other_tools_and_comes_back_as_it_was() {
        let mut signed = call();
        signed.sign(&key(1));
        let file = serde_json::to_value(&signed).unwrap();
        assert_eq!(file["message"]["value"], "1000000000000000000");
        assert_eq!(read(&file), Ok(signed.clone()));
    }

    /// By hand, as EIP-712 has it; `tests/it/wallet.rs` has cast sign the same file, and the contract's tests another one.
    #[test]
    fn what_is_signed_is_hashed_as_eip_712_says() {
        let signed = call();
        let Preview { domain_hash, struct_hash, digest } = signed.preview();
        let domain = keccak256("EIP712Domain(uint256 chainId,address verifyingContract)");
        assert_eq!(domain_hash, keccak256((domain, U256::from(97), signed.wallet).abi_encode()));
        let kind = keccak256("Execution(address to,uint256 value,bytes data,uint64 expiry,uint256 nonce)");
        let Execution { to, value, data, expiry, nonce } = signed.execution;
        assert_eq!(struct_hash, keccak256((kind, to, value, keccak256(data), U256::from(expiry), nonce).abi_encode()));
        assert_eq!(digest, keccak256([&[0x19, 0x01], &domain_hash[..], &struct_hash[..]].concat()));
        let file = include_str!("../../../contracts/test/data/execution.json");
        let mut contract: SignedExecution = serde_json::from_str(file).unwrap();
        let mut secret = [0; 32];
        secret[31] = 2;
        contract.sign(&SecretKey::from_bytes(&secret).unwrap());
        assert_eq!(
            contract.packed().to_string(),
            "0x6b8056d3a7fc5fa049e6555a925f43806809ff309d9eda9bc94f1bf17210c0c5615547244a95d1a3e2c37a34efcae501\
             801814f04fe543478df55510b7f6a3401b",
            "the signature of cast that the contract's test takes"
        );
    }

    #[test]
    fn signatures_are_combined_and_packed_in_ascending_order_of_their_signers() {
        let contract = Address::repeat_byte(0x7f);
        let parts: Vec<_> = (1..=3)
            .map(|seed| {
                let mut part = call();
                part.sign(&key(seed));
                part
            })
            .collect();
        let mut all = call();
        parts.into_iter().for_each(|part| all.combine(part).unwrap());
        all.add(contract, Bytes::from_static(b"as the contract likes")).unwrap();
        let signers: Vec<_> = all.signers().collect();
        assert!(signers.is_sorted() && signers.len() == 4);
        let packed = all.packed();
        assert_eq!(packed.len(), 4 * 65 + 21);
        let place = signers.iter().position(|signer| *signer == contract).unwrap() * 65;
        assert_eq!(&packed[place + 12..place + 32], contract.as_slice());
        assert_eq!((packed[place + 63], packed[place + 64], &packed[place + 65..place + 67]), (21, 0, &b"as"[..]));

        let mut other = call();
        other.execution.nonce += U256::from(1);
        assert!(matches!(all.combine(other), Err(SignatureError::OtherCall { .. })));
    }

    #[test]
    fn an_accounts_signature_is_kept_in_the_form_that_the_wallet_takes() {
        let mut signed = call();
        signed.sign(&key(1));
        let signer = key(1).address();
        let ours = signed.signatures[&signer].clone();
        let parity = u64::from(ours[64] - 27);
        for v in [parity, 27 + parity, 35 + 2 * 97 + parity] {
            let form = [&ours[..64], &[v as u8]].concat();
            let mut other = call();
            other.add(signer, form.into()).unwrap();
            assert_eq!(other, signed, "v = {v}");
        }
        assert_eq!(call().add_found(ours.clone()), Ok(signer));
        assert_eq!(call().add_found(ours.slice(..64)), Err(SignatureError::Malformed { length: 64 }));
        for v in (2..=26).chain(29..=34) {
            let form = [&ours[..64], &[v]].concat();
            assert_eq!(call().add(signer, form.into()), Err(SignatureError::NotBy { signer }), "v = {v}");
        }
    }

    #[test]
    fn as_many_signatures_as_count_are_chosen_and_the_cheapest() {
        let contract = Address::repeat_byte(0x01);
        let mut signed = call();
        (1..=4).for_each(|seed| signed.sign(&key(seed)));
        signed.add(contract, Bytes::from_static(&[7; 96])).unwrap();
        let [first, second, third, stranger] = [1, 2, 3, 4].map(|seed| key(seed).address());
        let owners = [contract, first, second, third];
        let of = |signed: SignedExecution| signed.signers().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(of(signed.clone().chosen(&owners, 3).unwrap()), [first, second, third].into());
        assert_eq!(of(signed.clone().chosen(&owners, 4).unwrap()), owners.into(), "a contract's where it is needed");
        let absent = Address::repeat_byte(0x02);
        let below = signed.chosen(&[first, absent], 2).unwrap_err();
        assert_eq!(below, SignatureError::BelowThreshold { have: 1, need: 2, missing: vec![absent] });
        assert!(!below.to_string().contains(&stranger.to_string()));
    }

    #[test]
    fn a_signature_of_anything_else_is_refused() {
        let mut signed = call();
        signed.sign(&key(1));
        let signer = key(1).address();
        let signature = signed.signatures[&signer].clone();
        let others: [fn(&mut SignedExecution); 4] = [
            |other| other.chain_id = 56,
            |other| other.wallet = Address::ZERO,
            |other| other.execution.value = U256::ZERO,
            |other| other.execution.nonce = U256::ZERO,
        ];
        for change in others {
            let mut other = call();
            change(&mut other);
            assert_eq!(other.add(signer, signature.clone()), Err(SignatureError::NotBy { signer }));
        }
        let stranger = key(2).address();
        assert_eq!(call().add(stranger, signature.clone()), Err(SignatureError::NotBy { signer: stranger }));
        // The same signature with the other s: the wallet would refuse it, too.
        let order = U256::from_be_bytes(
            alloy::primitives::b256!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").0,
        );
        let mut high = signature.to_vec();
        let s = U256::from_be_slice(&high[32..64]);
        high[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
        high[64] = 27 + 28 - high[64];
        assert_eq!(call().add(signer, high.into()), Err(SignatureError::NotBy { signer }));
        for length in [0, MAX_CONTRACT_SIGNATURE + 1] {
            let refused = call().add(signer, vec![0; length].into());
            assert_eq!(refused, Err(SignatureError::Length { signer, length }));
        }
    }

    #[test]
    fn a_file_that_asks_to_sign_something_else_is_refused() {
        let file = serde_json::to_value(call()).unwrap();
        let with = |pointer: &str, value: Value| {
            let mut changed = file.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            read(&changed).unwrap_err()
        };
        assert!(with("/primaryType", json!("Permit")).contains("primaryType"));
        assert!(with("/types/Execution/0/type", json!("uint256")).contains("types"));
        assert!(with("/message/expiry", json!("0x10000000000000000")).contains("expiry"));
        assert!(!with("/message/value", json!("much")).is_empty());
        assert!(
            with("/signatures", json!({ Address::ZERO.to_string(): format!("0x{}", "11".repeat(65)) }))
                .contains("not of")
        );
        assert!(
            with("/domain", json!({ "chainId": 1, "verifyingContract": Address::ZERO, "name": "x" })).contains("name")
        );
    }
}
