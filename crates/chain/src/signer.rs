//! Who signs transactions: a key in this process, or anything behind alloy's signer trait, such as a program that keeps the
//! key for us.

use std::{fmt, sync::Arc, time::Duration};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::Decodable2718,
    network::{TransactionBuilder, TxSigner},
    primitives::{Address, Bytes, Signature},
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
    signers::{Error, Result},
    transports::TransportError,
};
use dtn_primitives::SecretKey;
use serde::Deserialize;

use crate::{connection::ConnectError, endpoints::program};

/// How long a signer may take: a person may have to look at a device.
const PATIENCE: Duration = Duration::from_secs(180);

/// What signs an account's transactions.
#[derive(Clone)]
pub enum Signer {
    /// A key in this process's memory.
    Key(SecretKey),
    /// Anything else: hardware, a remote program, a cloud's key store.
    External(Arc<dyn TxSigner<Signature> + Send + Sync>),
}

impl Signer {
    /// Whose transactions it signs.
    pub fn address(&self) -> Address {
        match self {
            Self::Key(key) => key.address(),
            Self::External(signer) => signer.address(),
        }
    }

    /// Signs a transaction.
    ///
    /// # Errors
    ///
    /// If an external signer refuses or is out of reach, or signs something else or as somebody else.
    pub async fn sign(&self, transaction: &mut TxEip1559) -> Result<Signature> {
        let hash = transaction.signature_hash();
        match self {
            Self::Key(key) => {
                let signature = key.sign(hash);
                let (rs, v) = signature.0.split_at(64);
                Ok(Signature::from_bytes_and_parity(rs, v[0] == 28))
            }
            Self::External(signer) => {
                let signature = signer.sign_transaction(transaction).await?;
                match signature.recover_address_from_prehash(&hash) {
                    Ok(by) if by == signer.address() => Ok(signature),
                    _ => Err(Error::message("the signer has signed another transaction, or as another account")),
                }
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.address())
    }
}

impl From<SecretKey> for Signer {
    fn from(key: SecretKey) -> Self {
        Self::Key(key)
    }
}

impl From<RemoteSigner> for Signer {
    fn from(remote: RemoteSigner) -> Self {
        Self::External(Arc::new(remote))
    }
}

/// A program that keeps a key and signs by `eth_signTransaction` and `eth_signTypedData_v4`, as Web3Signer, Clef (with a
/// hardware wallet behind it, if wanted) and development nodes do. It never sends what it has signed.
#[derive(Debug, Clone)]
pub struct RemoteSigner {
    address: Address,
    provider: DynProvider,
}

/// What signers answer: some the transaction alone, some with its fields.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Signed {
    Raw(Bytes),
    Fields { raw: Bytes },
}

impl RemoteSigner {
    /// The signer at a URL, for one of its accounts. Nothing is asked yet.
    pub fn new(url: &str, address: Address) -> std::result::Result<Self, ConnectError> {
        Ok(Self { address, provider: program(url, PATIENCE)? })
    }

    /// Its account.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs EIP-712 typed data, 65 bytes: r, s, v. The caller checks whose signature it is.
    pub async fn sign_typed_data(&self, data: &serde_json::Value) -> std::result::Result<Bytes, TransportError> {
        self.provider.raw_request("eth_signTypedData_v4".into(), (self.address, data)).await
    }
}

#[async_trait::async_trait]
impl TxSigner<Signature> for RemoteSigner {
    fn address(&self) -> Address {
        self.address
    }

    async fn sign_transaction(&self, transaction: &mut dyn SignableTransaction<Signature>) -> Result<Signature> {
        let tip = transaction.max_priority_fee_per_gas().unwrap_or_default();
        let mut request = TransactionRequest::default()
            .with_from(self.address)
            .with_value(transaction.value())
            .with_input(transaction.input().clone())
            .with_nonce(transaction.nonce())
            .with_gas_limit(transaction.gas_limit())
            .with_max_fee_per_gas(transaction.max_fee_per_gas())
            .with_max_priority_fee_per_gas(tip);
        request.chain_id = transaction.chain_id();
        request.to = Some(transaction.kind());
        let signed = self.provider.raw_request("eth_signTransaction".into(), (request,)).await.map_err(Error::other)?;
        let (Signed::Raw(raw) | Signed::Fields { raw }) = signed;
        let envelope = TxEnvelope::decode_2718(&mut raw.as_ref()).map_err(Error::other)?;
        Ok(*envelope.signature())
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::*;

    /// Signs what it likes.
    struct Liar {
        key: SecretKey,
        as_whom: Address,
        value: U256,
    }

    #[async_trait::async_trait]
    impl TxSigner<Signature> for Liar {
        fn address(&self) -> Address {
            self.as_whom
        }

        async fn sign_transaction(&self, transaction: &mut dyn SignableTransaction<Signature>) -> Result<Signature> {
            let mut other = TxEip1559 { value: self.value, nonce: transaction.nonce(), ..TxEip1559::default() };
            Signer::Key(self.key.clone()).sign(&mut other).await
        }
    }

    #[tokio::test]
    async fn what_an_external_signer_signs_is_this_transaction_by_its_account_or_an_error() {
        let key = SecretKey::from_bytes(&[7; 32]).expect("a valid scalar");
        let sign = async |as_whom, value| {
            let signer = Liar { key: key.clone(), as_whom, value: U256::from(value) };
            let mut transaction = TxEip1559 { value: U256::from(1), nonce: 5, ..TxEip1559::default() };
            Signer::External(Arc::new(signer)).sign(&mut transaction).await
        };
        sign(key.address(), 1).await.expect("this transaction");
        sign(key.address(), 2).await.expect_err("another value");
        sign(Address::repeat_byte(1), 1).await.expect_err("another account");
    }
}
