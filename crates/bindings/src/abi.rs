//! What calldata and revert data mean, by the ABIs of our contracts.

use std::{collections::HashMap, fmt, sync::LazyLock};

use alloy::{
    dyn_abi::{DynSolValue, JsonAbiExt, Specifier},
    json_abi::{Error, Function, JsonAbi},
    primitives::{Bytes, Selector, hex},
    sol_types::{Panic, SolError},
};
use dtn_primitives::parse_address;
use serde::Deserialize;
use serde_json::Value;

use crate::ARTIFACTS;

struct Names {
    errors: HashMap<Selector, Error>,
    functions: HashMap<Selector, Function>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct Artifact {
        abi: JsonAbi,
    }
    let mut names = Names { errors: HashMap::new(), functions: HashMap::new() };
    for (_, text) in ARTIFACTS {
        // A test makes sure that every embedded artifact parses.
        let Ok(Artifact { abi }) = serde_json::from_str(text) else { continue };
        names.errors.extend(abi.errors().map(|error| (error.selector(), error.clone())));
        names.functions.extend(abi.functions().map(|function| (function.selector(), function.clone())));
    }
    if let Ok(text) = Error::parse("Error(string message)") {
        names.errors.insert(text.selector(), text);
    }
    let token = ERC20.iter().filter_map(|signature| Function::parse(signature).ok());
    names.functions.extend(token.map(|function| (function.selector(), function)));
    names
});

/// What owners are most often asked to call besides our contracts (ERC-20).
const ERC20: [&str; 3] = [
    "transfer(address to, uint256 amount)",
    "approve(address spender, uint256 amount)",
    "transferFrom(address from, address to, uint256 amount)",
];

/// A named value with its own decoding where it is itself calldata or revert data.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// The parameter's name.
    pub name: String,
    /// The value, printed.
    pub value: String,
}

/// Why a call reverts.
#[derive(Debug, Clone, PartialEq)]
pub enum Revert {
    /// Without saying why.
    Silent,
    /// With a Solidity error.
    Named {
        /// The error's name.
        name: String,
        /// Its arguments in order.
        arguments: Vec<Argument>,
        /// What a call below it reverted with, when the error carries that.
        inner: Option<Box<Revert>>,
    },
    /// With one of the compiler's checks.
    Panic(String),
    /// With bytes that no known ABI describes.
    Unknown(Bytes),
}

impl Revert {
    /// Reads revert data.
    pub fn decode(data: &[u8]) -> Self {
        if data.is_empty() {
            return Self::Silent;
        }
        if let Ok(panic) = Panic::abi_decode(data) {
            return Self::Panic(panic.to_string());
        }
        let known = data.get(..4).and_then(|selector| NAMES.errors.get(selector));
        let Some((error, values)) = known.and_then(|error| Some((error, error.abi_decode_input(&data[4..]).ok()?)))
        else {
            return Self::Unknown(Bytes::copy_from_slice(data));
        };
        let mut inner = None;
        let mut arguments = Vec::new();
        for (parameter, value) in error.inputs.iter().zip(values) {
            let shown = match &value {
                DynSolValue::Bytes(bytes) => {
                    let below = Self::decode(bytes);
                    let shown = below.to_string();
                    inner = Some(Box::new(below));
                    shown
                }
                other => show(other),
            };
            arguments.push(Argument { name: parameter.name.clone(), value: shown });
        }
        Self::Named { name: error.name.clone(), arguments, inner }
    }

    /// Whether this is the named error, or an error that carries it.
    pub fn is(&self, wanted: &str) -> bool {
        match self {
            Self::Named { name, inner, .. } => name == wanted || inner.as_ref().is_some_and(|below| below.is(wanted)),
            _ => false,
        }
    }
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("no reason given"),
            Self::Named { name, arguments, .. } if name == "Error" => {
                f.write_str(arguments.first().map_or("", |argument| &argument.value))
            }
            Self::Named { name, arguments, .. } => {
                write!(f, "{name}({})", Arguments(arguments))
            }
            Self::Panic(text) => f.write_str(text),
            Self::Unknown(bytes) => write!(f, "unknown error {bytes}"),
        }
    }
}

struct Arguments<'a>(&'a [Argument]);

impl fmt::Display for Arguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Argument { name, value }) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let colon = if name.is_empty() { "" } else { ": " };
            write!(f, "{comma}{name}{colon}{value}")?;
        }
        Ok(())
    }
}

fn show(value: &DynSolValue) -> String {
    match value {
        DynSolValue::Bool(value) => value.to_string(),
        DynSolValue::Int(value, _) => value.to_string(),
        DynSolValue::Uint(value, _) => value.to_string(),
        DynSolValue::FixedBytes(word, size) => hex::encode_prefixed(&word[..*size]),
        DynSolValue::Address(address) => address.to_string(),
        DynSolValue::Bytes(bytes) => hex::encode_prefixed(bytes),
        DynSolValue::String(text) => text.clone(),
        DynSolValue::Array(values) | DynSolValue::FixedArray(values) => {
            format!("[{}]", values.iter().map(show).collect::<Vec<_>>().join(", "))
        }
        DynSolValue::Tuple(values) => format!("({})", values.iter().map(show).collect::<Vec<_>>().join(", ")),
        other => format!("{other:?}"),
    }
}

/// Why a signature with arguments is no calldata.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The signature.
    #[error("`{signature}` is no function signature such as transfer(address,uint256): {reason}")]
    Signature {
        /// What was given.
        signature: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Too few or too many arguments.
    #[error("{signature} takes {expected} arguments, and {given} were given")]
    Count {
        /// The function.
        signature: String,
        /// How many it has.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// An argument is not of its type.
    #[error("argument {position} of {signature}, `{argument}`, is no {expected}: {reason}")]
    Argument {
        /// The function.
        signature: String,
        /// Its place, from 1.
        position: usize,
        /// What was given.
        argument: String,
        /// The type.
        expected: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl CallError {
    /// What programs read of it: a stable code, to which nothing belongs.
    pub fn code(&self) -> (&'static str, Value) {
        ("bad_argument", Value::Null)
    }
}

/// What looks like addresses in an argument, which may be a list or a tuple. A wrong checksum in one is a typing error.
fn addresses_in(argument: &str) -> impl Iterator<Item = &str> {
    let words = argument.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.len() == 42 && word.starts_with("0x") && word[2..].bytes().all(|c| c.is_ascii_hexdigit()))
}

/// Calldata from a signature such as `transfer(address,uint256)` and its arguments as text, as `cast calldata` takes them.
///
/// # Errors
///
/// If the text is not what the signature asks for.
pub fn encode_call(signature: &str, arguments: &[String]) -> Result<Bytes, CallError> {
    let bad = |reason: String| CallError::Signature { signature: signature.into(), reason };
    let function = Function::parse(signature).map_err(|error| bad(error.to_string()))?;
    if function.inputs.len() != arguments.len() {
        let (expected, given) = (function.inputs.len(), arguments.len());
        return Err(CallError::Count { signature: function.signature(), expected, given });
    }
    let mut values = Vec::new();
    for (index, (parameter, argument)) in function.inputs.iter().zip(arguments).enumerate() {
        let kind = parameter.resolve().map_err(|error| bad(error.to_string()))?;
        let wrong = |reason: String| CallError::Argument {
            signature: function.signature(),
            position: index + 1,
            argument: argument.clone(),
            expected: kind.to_string(),
            reason,
        };
        if kind.to_string().contains("address") {
            addresses_in(argument)
                .map(parse_address)
                .try_for_each(|read| read.map(drop))
                .map_err(|error| wrong(error.to_string()))?;
        }
        values.push(kind.coerce_str(argument).map_err(|error| wrong(error.to_string()))?);
    }
    Ok(function.abi_encode_input(&values).map_err(|error| bad(error.to_string()))?.into())
}

/// Calldata in words, like `pay(header: (…), result: (…), proof: [])`, for a person who is about to confirm it.
/// `None` if it is no call of ours.
pub fn describe_call(data: &[u8]) -> Option<String> {
    let function = NAMES.functions.get(data.get(..4)?)?;
    let values = function.abi_decode_input(&data[4..]).ok()?;
    let arguments: Vec<_> = function
        .inputs
        .iter()
        .zip(&values)
        .map(|(parameter, value)| Argument { name: parameter.name.clone(), value: show(value) })
        .collect();
    Some(format!("{}({})", function.name, Arguments(&arguments)))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256, U256};
    use alloy::sol_types::{Revert as SolRevert, SolCall};

    use super::*;
    use crate::{MultiSigWallet, RewardDistributor};

    #[test]
    fn every_artifact_parses() {
        for (name, text) in ARTIFACTS {
            let artifact: serde_json::Value = serde_json::from_str(text).expect(name);
            assert!(serde_json::from_value::<JsonAbi>(artifact["abi"].clone()).is_ok(), "{name}");
            assert!(artifact["bytecode"].as_str().is_some_and(|code| code.len() > 100), "{name}");
        }
    }

    #[test]
    fn an_error_shows_its_name_and_arguments() {
        let data = MultiSigWallet::BelowThreshold { have: U256::from(1), need: U256::from(3) }.abi_encode();
        assert_eq!(Revert::decode(&data).to_string(), "BelowThreshold(have: 1, need: 3)");
    }

    #[test]
    fn the_reason_of_a_call_below_is_decoded_too() {
        let below = RewardDistributor::InsufficientFunds { have: U256::ZERO, need: U256::from(5) }.abi_encode();
        let data = MultiSigWallet::ExecutionFailed { id: B256::ZERO, reason: below.into() }.abi_encode();
        let revert = Revert::decode(&data);
        assert!(revert.is("ExecutionFailed") && revert.is("InsufficientFunds") && !revert.is("AlreadyPaid"));
        assert!(revert.to_string().ends_with("reason: InsufficientFunds(have: 0, need: 5))"), "{revert}");
    }

    #[test]
    fn reasons_of_other_contracts_and_of_the_compiler_are_readable() {
        assert_eq!(Revert::decode(&SolRevert::from("not today").abi_encode()).to_string(), "not today");
        let panic = Revert::decode(&Panic::from(0x11u64).abi_encode()).to_string();
        assert!(panic.contains("0x11") && panic.contains("overflow"), "{panic}");
        assert_eq!(Revert::decode(&[]).to_string(), "no reason given");
        assert_eq!(Revert::decode(&[1, 2, 3, 4, 5]).to_string(), "unknown error 0x0102030405");
        assert_eq!(Revert::decode(&[1]).to_string(), "unknown error 0x01");
    }

    #[test]
    fn a_signature_and_arguments_become_calldata() {
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let to = "0x00000000000000000000000000000000000000aa";
        let data = encode_call("transfer(address,uint256)", &words(&[to, "1ether"])).expect("fits");
        assert_eq!(
            data.to_string(),
            format!("0xa9059cbb{:0>64}{:064x}", "aa", 10u64.pow(18)),
            "what `cast calldata` gives"
        );
        assert!(describe_call(&data).expect("a token's").starts_with("transfer(to: 0x0000"));
        let nested = encode_call("f((uint8,bytes)[],bool)", &words(&["[(1,0x02),(3,0x)]", "true"])).expect("fits");
        assert_eq!(nested.len() % 32, 4);

        let error = |signature, arguments: &[&str]| {
            encode_call(signature, &words(arguments)).expect_err("does not fit").to_string()
        };
        assert!(error("transfer(address", &[]).contains("no function signature"));
        assert!(error("f(unit256)", &["1"]).contains("unit256"));
        assert!(error("f(uint8)", &[]).contains("takes 1 arguments, and 0"));
        assert!(error("f(uint8)", &["256"]).contains("argument 1 of f(uint8), `256`, is no uint8"));
        assert!(error("f(address)", &["0x12"]).contains("is no address"));
        // By EIP-55 the case of a digit tells a typing error, wherever the address stands.
        let (address, mistyped) =
            ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed");
        for (signature, before, after) in
            [("f(address)", "", ""), ("f(address[])", "[", "]"), ("f((uint8,address))", "(1,", ")")]
        {
            let written = |address: &str| format!("{before}{address}{after}");
            assert!(encode_call(signature, &words(&[&written(address)])).is_ok(), "{signature}");
            assert!(error(signature, &[&written(mistyped)]).contains("checksum"), "{signature}");
        }
    }

    #[test]
    fn our_calls_are_described_and_others_are_not() {
        let call = MultiSigWallet::addOwnerCall { owner: Address::ZERO, threshold_: 2 }.abi_encode();
        let shown = describe_call(&call).expect("ours");
        assert_eq!(shown, format!("addOwner(owner: {}, threshold_: 2)", Address::ZERO));
        assert_eq!(describe_call(&[]), None);
        assert_eq!(describe_call(&[0xff; 4]), None);
        assert_eq!(describe_call(&call[..10]), None);
    }
}
