//! Mempool, block execution, results tree and the durable store.
