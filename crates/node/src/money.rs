//! What a peer says of money: balances, deposits, and what the ledger states of earnings.

use dtn_api::{AccountBalance, EarningsPage, MAX_EARNINGS};
use dtn_ledger::Earned;
use dtn_primitives::{Address, B256, Earning, FinalizedResult, Statement, Transaction, U256};

use crate::{NodeError, NodeHandle, reader::Reader};

impl Reader {
    pub(crate) async fn balance(&self, account: Address) -> Result<AccountBalance, NodeError> {
        let balance = self.look_up(move |reading| reading.balance(account)).await?;
        Ok(AccountBalance { free: U256::from(balance.free), earned: U256::from(balance.earned) })
    }

    async fn earned(&self) -> Result<Earned, NodeError> {
        self.look_up(|reading| reading.earned()).await
    }

    async fn next_deposit(&self, vault: Address) -> Result<u64, NodeError> {
        self.look_up(move |reading| reading.next_deposit(vault)).await
    }

    async fn earnings(&self, number: u32) -> Result<Option<(Statement, Vec<Earning>)>, NodeError> {
        self.scan(move |store| store.earnings(number)).await
    }

    async fn finalized_result(&self, id: B256) -> Result<Option<FinalizedResult>, NodeError> {
        self.scan(move |store| store.reading()?.result(id)).await
    }

    /// A page of a statement, by default of the last one.
    pub(crate) async fn earnings_page(
        &self,
        number: Option<u32>,
        skip: usize,
    ) -> Result<Option<EarningsPage>, NodeError> {
        let number = match number {
            Some(number) => number,
            None => self.earned().await?.number,
        };
        let page = |(statement, earnings): (Statement, Vec<Earning>)| EarningsPage {
            statement,
            count: earnings.len(),
            earnings: earnings.into_iter().skip(skip).take(MAX_EARNINGS).collect(),
        };
        Ok(self.earnings(number).await?.map(page))
    }
}

impl NodeHandle {
    /// The number of the ledger's last statement of earnings; 0 before the first.
    pub async fn last_statement(&self) -> Result<u32, NodeError> {
        Ok(self.reader().earned().await?.number)
    }

    /// A statement of earnings with its proof, by its number; none if the network has no money.
    pub async fn statement(&self, number: u32) -> Result<Option<FinalizedResult>, NodeError> {
        match self.reader().genesis().training {
            Some(terms) => self.reader().finalized_result(Statement::id(number, terms.token)).await,
            None => Ok(None),
        }
    }

    /// What a statement states, if it is one of the last and this peer has executed its block.
    pub async fn earnings(&self, number: u32) -> Result<Option<Vec<Earning>>, NodeError> {
        Ok(self.reader().earnings(number).await?.map(|(_, earnings)| earnings))
    }

    /// What the ledger's money is on the settlement chain; none if the network has none.
    pub fn token(&self) -> Option<Address> {
        self.reader().genesis().training.map(|terms| terms.token)
    }

    /// The number of the deposit that a vault is to be credited with next.
    pub async fn next_deposit(&self, vault: Address) -> Result<u64, NodeError> {
        self.reader().next_deposit(vault).await
    }

    /// Hands in a transaction. Says why it was not admitted, if so.
    pub async fn submit(
        &self,
        transaction: Transaction,
    ) -> Result<Result<B256, dtn_ledger::AdmissionError>, NodeError> {
        self.ask(|host| host.submit(transaction)).await
    }

    /// The domain in which the network signs.
    pub fn domain(&self) -> dtn_primitives::Domain {
        self.reader().genesis().domain()
    }
}
