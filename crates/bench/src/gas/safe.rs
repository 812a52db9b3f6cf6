//! The same steps by Safe 1.5, from the bytecode that its npm package has.

use std::path::Path;

use alloy::sol_types::{SolCall, SolEvent};
use alloy::{providers::Provider, rpc::types::Filter};
use alloy_primitives::{Address, Bytes, U256};
use dtn_chain::{Account, Call};
use dtn_peer::files;
use serde::Deserialize;

use super::{CONFIRM, EXISTING, NEW, Rows, SIGNED_EXISTING, SIGNED_NEW, SIGNED_NO_VALUE, world::World};
use crate::{BenchError, Result};

mod abi {
    alloy::sol! {
        function setup(
            address[] owners, uint256 threshold, address to, bytes data, address fallbackHandler, address paymentToken,
            uint256 payment, address paymentReceiver
        ) external;
        function createProxyWithNonce(address singleton, bytes initializer, uint256 saltNonce) external;
        event ProxyCreation(address indexed proxy, address singleton);
        function nonce() external returns (uint256);
        function approveHash(bytes32 hash) external;
        function getTransactionHash(
            address to, uint256 value, bytes data, uint8 operation, uint256 safeTxGas, uint256 baseGas, uint256 gasPrice,
            address gasToken, address refundReceiver, uint256 nonce
        ) external returns (bytes32);
        function execTransaction(
            address to, uint256 value, bytes data, uint8 operation, uint256 safeTxGas, uint256 baseGas, uint256 gasPrice,
            address gasToken, address refundReceiver, bytes signatures
        ) external;
    }
}

#[derive(Deserialize)]
struct Artifact {
    bytecode: Bytes,
}

fn bytecode(package: &Path, path: &str) -> Result<Bytes> {
    let file = package.join("build/artifacts/contracts").join(path);
    let text = files::read_text(&file, files::MOST)?;
    let artifact: Artifact = serde_json::from_str(&text).map_err(|source| BenchError::Artifact { file, source })?;
    Ok(artifact.bytecode)
}

struct Safe<'a> {
    world: &'a World,
    proxy: Address,
}

/// How the owners agree.
#[derive(Clone, Copy)]
enum By {
    /// Signatures made off chain.
    Signatures,
    /// Approvals on chain, of which the executing owner needs none.
    Approvals,
}

impl Safe<'_> {
    /// Sends a wei, or nothing, with three of five. Gives the gas of an approval, if there was one, and of the execution.
    async fn execute(&self, to: Address, value: U256, by: By) -> Result<(u64, u64)> {
        let chain = &self.world.chain;
        let nonce = chain.read(self.proxy, &abi::nonceCall {}).await?;
        let none = Address::ZERO;
        let hash = abi::getTransactionHashCall {
            to,
            value,
            data: Bytes::new(),
            operation: 0,
            safeTxGas: U256::ZERO,
            baseGas: U256::ZERO,
            gasPrice: U256::ZERO,
            gasToken: none,
            refundReceiver: none,
            nonce,
        };
        let hash = chain.read(self.proxy, &hash).await?;
        let (mut signatures, mut approval) = (Vec::new(), 0);
        for (index, owner) in self.world.owners[..3].iter().enumerate() {
            match by {
                By::Signatures => signatures.extend(owner.sign(hash).0),
                By::Approvals => {
                    // v = 1: the owner in r has approved, or is the sender.
                    signatures.extend(owner.address().into_word());
                    signatures.extend([0; 32]);
                    signatures.push(1);
                    if index > 0 {
                        approval = self.send(&self.world.account(owner), &abi::approveHashCall { hash }).await?;
                    }
                }
            }
        }
        let call = abi::execTransactionCall {
            to,
            value,
            data: Bytes::new(),
            operation: 0,
            safeTxGas: U256::ZERO,
            baseGas: U256::ZERO,
            gasPrice: U256::ZERO,
            gasToken: none,
            refundReceiver: none,
            signatures: signatures.into(),
        };
        let gas = self.send(&self.world.account(&self.world.owners[0]), &call).await?;
        Ok((approval, gas))
    }

    async fn send<C: SolCall>(&self, account: &Account, call: &C) -> Result<u64> {
        account
            .send(&Call::new("Safe", self.proxy, call))
            .await?
            .gas_used
            .ok_or(BenchError::Missing("there is no receipt"))
    }
}

pub(super) async fn measure(world: &World, package: &Path, rows: &mut Rows) -> Result<()> {
    let (singleton, _) = world.create(&bytecode(package, "Safe.sol/Safe.json")?).await?;
    let factory = bytecode(package, "proxies/SafeProxyFactory.sol/SafeProxyFactory.json")?;
    let (factory, _) = world.create(&factory).await?;
    let handler = bytecode(package, "handler/CompatibilityFallbackHandler.sol/CompatibilityFallbackHandler.json")?;
    let (handler, _) = world.create(&handler).await?;
    let mut safe = Safe { world, proxy: Address::ZERO };
    for (owners, what) in [(30, "deploy a wallet, 30 owners"), (5, "deploy a wallet, 5 owners")] {
        let others = (0..).map(|index| world.fresh(20_000 + index));
        let owners: Vec<_> = world.owners.iter().map(|owner| owner.address()).chain(others).take(owners).collect();
        let setup = abi::setupCall {
            owners,
            threshold: U256::from(3),
            to: Address::ZERO,
            data: Bytes::new(),
            fallbackHandler: handler,
            paymentToken: Address::ZERO,
            payment: U256::ZERO,
            paymentReceiver: Address::ZERO,
        };
        let initializer = setup.abi_encode().into();
        let create = abi::createProxyWithNonceCall { singleton, initializer, saltNonce: U256::ZERO };
        rows.beside(what, world.send(&Call::new("SafeProxyFactory", factory, &create)).await?);
        let made = Filter::new().address(factory).event_signature(abi::ProxyCreation::SIGNATURE_HASH).from_block(0);
        let logs = world.chain.provider().get_logs(&made).await?;
        let last = logs.last().ok_or(BenchError::Missing("the factory logs what it makes"))?;
        safe.proxy = abi::ProxyCreation::decode_log(&last.inner)?.proxy;
    }
    world.send(&Call::transfer("fund", safe.proxy, U256::from(1_000))).await?;

    // The first one makes the nonce's slot.
    let one = U256::from(1);
    safe.execute(world.existing, one, By::Signatures).await?;
    rows.beside(SIGNED_EXISTING, safe.execute(world.existing, one, By::Signatures).await?.1);
    rows.beside(SIGNED_NEW, safe.execute(world.fresh(30), one, By::Signatures).await?.1);
    rows.beside(SIGNED_NO_VALUE, safe.execute(world.existing, U256::ZERO, By::Signatures).await?.1);
    let (approval, execution) = safe.execute(world.existing, one, By::Approvals).await?;
    rows.beside(CONFIRM, approval);
    rows.beside(EXISTING, execution);
    rows.beside(NEW, safe.execute(world.fresh(31), one, By::Approvals).await?.1);
    Ok(())
}
