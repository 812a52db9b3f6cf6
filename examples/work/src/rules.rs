//! The rules: what may be ordered, what counts as done, and who is paid for it.

use dtn_ledger::{Call, Records, Share, WorkError, WorkKind};
use dtn_primitives::{Address, B256, U256, codec, keccak256};
use serde::{Deserialize, Serialize};

/// Rows and columns.
pub(crate) const N: usize = 16;

/// How long an order is open, in milliseconds.
const LIFETIME_MS: u64 = 60_000;

/// The field in which products are compared: a wrong one passes with a chance of one in this.
const P: u128 = (1 << 61) - 1;

/// What accounts ask of this kind of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// A requester wants two matrices multiplied. Both are row by row.
    Order { left: Vec<u16>, right: Vec<u16>, reward: U256 },
    /// Anybody has done it.
    Product { order: B256, product: Vec<u64>, payee: Address },
}

/// The kind of work.
#[derive(Debug)]
pub(crate) struct MatrixProduct;

impl MatrixProduct {
    /// Its name in the genesis.
    pub(crate) const NAME: &str = "matrix-product";
}

impl WorkKind for MatrixProduct {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn check(&self, body: &[u8]) -> Result<(), WorkError> {
        let (cells, numbers) = match decode(body)? {
            Ask::Order { left, right, .. } => (left.len(), right.len()),
            Ask::Product { product, .. } => (product.len(), N * N),
        };
        if (cells, numbers) == (N * N, N * N) { Ok(()) } else { Err(WorkError::new("a matrix is not 16 by 16")) }
    }

    fn apply(&self, call: &Call<'_>, records: &mut Records<'_>) -> Result<(), WorkError> {
        match decode(call.body)? {
            Ask::Order { left, right, reward } => {
                Ok(records.open(reward, LIFETIME_MS, codec::encode(&(left, right)))?)
            }
            Ask::Product { order, product, payee } => {
                let (left, right) = decode::<(Vec<u16>, Vec<u16>)>(&records.get(order)?.value)?;
                if !is_product(&left, &right, &product, call.hash) {
                    return Err(WorkError::new("this is not the product"));
                }
                let (amount, digest) = (records.get(order)?.reward, keccak256(codec::encode(&product)));
                Ok(records.close(order, vec![Share { worker: call.sender, payee, amount, digest }])?)
            }
        }
    }
}

fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, WorkError> {
    codec::decode(bytes, bytes.len()).map_err(WorkError::new)
}

/// Freivalds' test: instead of multiplying again, it multiplies both sides by a vector that nobody knew before the product
/// was signed, since it is drawn from the hash of that.
fn is_product(left: &[u16], right: &[u16], product: &[u64], seed: B256) -> bool {
    let draw = |index: usize| {
        let [a, b, c, d, e, f, g, h, ..] = keccak256([seed.as_slice(), &index.to_be_bytes()].concat()).0;
        u128::from(u64::from_be_bytes([a, b, c, d, e, f, g, h])) % P
    };
    let vector: Vec<_> = (0..N).map(draw).collect();
    times(left, &times(right, &vector)) == times(product, &vector)
}

/// A matrix times a vector, in the field.
fn times<T: Copy + Into<u64>>(matrix: &[T], vector: &[u128]) -> Vec<u128> {
    let row = |row: &[T]| row.iter().zip(vector).fold(0, |sum, (cell, x)| (sum + u128::from((*cell).into()) * x) % P);
    matrix.chunks(N).map(row).collect()
}

/// The work.
pub(crate) fn multiply(left: &[u16], right: &[u16]) -> Vec<u64> {
    let cell = |i: usize| (0..N).map(|k| u64::from(left[i / N * N + k]) * u64::from(right[k * N + i % N])).sum();
    (0..N * N).map(cell).collect()
}
