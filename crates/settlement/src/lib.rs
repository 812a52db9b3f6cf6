//! Contract bindings, networks, wallets, the multisig client, the relayer and gas accounting.
