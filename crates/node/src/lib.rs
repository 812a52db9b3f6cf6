//! The libp2p peer: transport, core loop, mining and API.
