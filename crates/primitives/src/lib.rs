//! Keys, hashes, signed transactions, blocks, votes, certificates and the genesis that binds them.
