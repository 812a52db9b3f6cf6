//! Networks in which models are ordered: peers that take part by themselves, and money for whoever plays.

use std::time::Duration;

use dtn_api::{ApiClient, MAX_WAIT_MS};
use dtn_keys::{KeyInfo, Password};
use dtn_participant::Behaviour;
use dtn_primitives::{Address, Deposit, Payload, SecretKey, Transaction};

use crate::{Home, Result, TestbedError, change, client};

/// The vault that deposits for trials are said to be in: there is none on any chain.
const NO_VAULT: Address = Address::repeat_byte(0x7a);

/// Has a peer take part in training orders, which it reads when it starts.
pub fn set_training(home: &Home, peer: usize, behaviour: Behaviour) -> Result<()> {
    change(home, peer, |config| (config.train, config.train_behaviour) = (true, behaviour))
}

/// The keys of the validators, in the order of their addresses.
pub fn validator_keys(home: &Home) -> Result<Vec<SecretKey>> {
    let mut keys = Vec::new();
    for peer in home.peers()? {
        let config = peer.config(&[])?;
        let password = Password::from_file(&config.password_file);
        let password = password.map_err(TestbedError::path("read the password file", config.password_file))?;
        keys.push(KeyInfo::at(&config.keystore)?.unlock(&password)?);
    }
    keys.sort_by_key(SecretKey::address);
    Ok(keys)
}

/// Gives accounts money in the ledger of a network that runs, for trials without a chain: a quorum of its validators states
/// deposits in a vault that does not exist.
pub async fn credit(home: &Home, accounts: &[Address], wei: u128) -> Result<()> {
    let (keys, client) = (validator_keys(home)?, client(home)?);
    let (domain, quorum) = (client.domain, dtn_primitives::quorum(keys.len()));
    let mut last = Vec::new();
    for (number, account) in (0..).zip(accounts) {
        for key in &keys[..quorum] {
            let deposit = Deposit { vault: NO_VAULT, number, account: *account, amount: wei };
            let statement = Transaction::sign(Payload::Deposit(deposit), key, &domain);
            last.push(statement.hash(&domain));
            for peer in &client.peers {
                // One that is refused by a peer has reached it before.
                peer.submit(statement.clone()).await.ok();
            }
        }
    }
    for hash in last {
        let mut tries = 0;
        while !matches!(client.peers[0].reply(hash, MAX_WAIT_MS).await, Ok(Some(_))) {
            tries += 1;
            if tries > 60 {
                return Err(TestbedError::NotCredited);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}
