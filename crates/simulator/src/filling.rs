//! What fills every block of a run whose requests are all alike.

use std::{cell::RefCell, sync::Arc};

use dtn_primitives::{Address, B256, Block, Domain, Payload, SecretKey, Signature, Transaction, codec, keccak256};

/// So many transactions of so many bytes, with a signature that tells how signatures are made.
type Wanted = (usize, usize, Signature);

thread_local! {
    /// Of the last run.
    static LAST: RefCell<Option<(Wanted, Arc<Filling>)>> = const { RefCell::new(None) };
}

/// Transactions, and what there is to know of them, found out once.
#[derive(Debug)]
pub(crate) struct Filling {
    domain: Domain,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) root: B256,
    execution: B256,
}

impl Filling {
    pub(crate) fn new(transactions: Vec<Transaction>, domain: Domain) -> Self {
        let root = Block::transactions_root(&transactions, &domain);
        let execution = execution(&transactions, &domain);
        Self { domain, transactions, root, execution }
    }

    /// So many transactions of a client, each of so many bytes as it is encoded, if that is not less than a transaction
    /// takes.
    pub(crate) fn of(count: usize, bytes: usize, client: &SecretKey, domain: Domain) -> Arc<Self> {
        // Another signature means that signatures are made in another way.
        let wanted = (count, bytes, client.sign(B256::ZERO));
        LAST.with_borrow_mut(|last| match last {
            Some((of, filling)) if *of == wanted => filling.clone(),
            _ => {
                let transactions = (0..count as u64).map(|nonce| data(nonce, bytes, client, &domain)).collect();
                let filling = Arc::new(Self::new(transactions, domain));
                *last = Some((wanted, filling.clone()));
                filling
            }
        })
    }

    /// Whether a block holds the transactions that its header names.
    pub(crate) fn is_whole(&self, Block { header, transactions }: &Block) -> bool {
        let known = *transactions == self.transactions;
        header.transactions_root == if known { self.root } else { Block::transactions_root(transactions, &self.domain) }
    }

    /// The state after a block on top of one with this state: it depends on the block's height and time, and on its
    /// transactions, who sent them and the order in which they are executed.
    pub(crate) fn execute(&self, state: B256, Block { header, transactions }: &Block) -> B256 {
        let known = *transactions == self.transactions;
        let execution = if known { self.execution } else { execution(transactions, &self.domain) };
        let place = [header.height, header.timestamp].map(u64::to_be_bytes).concat();
        keccak256([state.as_slice(), &place, execution.as_slice()].concat())
    }
}

/// A transaction of so many bytes as it is encoded, if that is not less than one takes.
pub(crate) fn data(nonce: u64, bytes: usize, sender: &SecretKey, domain: &Domain) -> Transaction {
    let payload = |length: usize| Payload::Data { nonce, items: vec![vec![nonce as u8; length.max(1)]].into() };
    let unsigned = Transaction { sender: Address::ZERO, payload: payload(bytes), signature: Signature([0; 65]) };
    let overhead = codec::encode(&unsigned).len() - bytes.max(1);
    Transaction::sign(payload(bytes.saturating_sub(overhead)), sender, domain)
}

fn execution(transactions: &[Transaction], domain: &Domain) -> B256 {
    let executed =
        |transaction: &Transaction| [transaction.hash(domain).as_slice(), transaction.sender.as_slice()].concat();
    keccak256(transactions.iter().flat_map(executed).collect::<Vec<_>>())
}

/// The state that a run begins with above a height.
pub(crate) fn base_state(height: u64) -> B256 {
    keccak256(height.to_be_bytes())
}
