//! Money in the ledger, as clients see it.

use std::collections::HashMap;

use dtn_api::{AccountBalance, ApiClient, EarningsPage};
use dtn_primitives::{Address, B256, Earning, Earnings, SecretKey, Transaction, Withdrawal};
use jsonrpsee::http_client::HttpClient;

use crate::{Accepted, Client, ClientError};

impl Client {
    /// What an account has, as so many peers say alike that one of them is correct.
    pub async fn balance(&self, account: Address) -> Result<AccountBalance, ClientError> {
        let asked = self.gather(self.validators().quorum(), async |peer: &HttpClient| peer.balance(account).await.ok());
        let (mut alike, mut answers) = (HashMap::new(), 0);
        for AccountBalance { free, earned } in asked.await {
            answers += 1;
            *alike.entry((free, earned)).or_insert(0usize) += 1;
        }
        let most = alike.into_iter().max_by_key(|(_, count)| *count).filter(|(_, count)| *count >= self.convincing());
        match most {
            Some(((free, earned), _)) => Ok(AccountBalance { free, earned }),
            None if answers < self.convincing() => Err(self.too_few(answers)),
            None => {
                let quorum = self.validators().quorum();
                Err(ClientError::NoAccord { answers, peers: self.peers.len(), quorum })
            }
        }
    }

    /// What a statement of the ledger states, from the first peer that gives what the root says. `None` if none does.
    pub async fn earnings(&self, number: u32, root: B256) -> Option<Earnings> {
        for peer in &self.peers {
            if let Some(earnings) = all_earnings(peer, number).await.filter(|earnings| earnings.root() == root) {
                return Some(earnings);
            }
        }
        None
    }

    /// Takes money of an account out of the ledger: it is earned from then on.
    pub async fn withdraw(&self, key: &SecretKey, amount: u128) -> Result<Accepted, ClientError> {
        let withdrawal = Withdrawal { nonce: self.next_nonce(key).await?, amount };
        let transaction = Transaction::sign(dtn_primitives::Payload::Withdrawal(withdrawal), key, &self.domain);
        self.execute(&transaction).await
    }
}

/// All pages of a statement.
async fn all_earnings(peer: &HttpClient, number: u32) -> Option<Earnings> {
    let mut all: Vec<Earning> = Vec::new();
    loop {
        let EarningsPage { count, earnings, .. } = peer.earnings(Some(number), Some(all.len())).await.ok()??;
        let is_last = earnings.is_empty() || all.len() + earnings.len() >= count;
        all.extend(earnings);
        if is_last {
            return Earnings::new(all).ok();
        }
    }
}
