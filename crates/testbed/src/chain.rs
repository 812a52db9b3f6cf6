//! A development chain of a network's own.

use std::time::{Duration, Instant};

use dtn_settlement::{Chain, Network, connection::ConnectError};

use crate::{Home, Ports, Result, Service, TestbedError, ports};

/// Starts the network's own anvil as a process that can outlive this one, on a port that is free, and waits for it for so
/// long.
pub async fn start_chain(home: &Home, patience: Duration) -> Result<Chain> {
    let port = ports(Ports::Free, 1)?[0];
    let service = Service::chain(home, port);
    let mut child = service.spawn()?;
    let network = Network::local(format!("http://127.0.0.1:{port}"));
    let began = Instant::now();
    loop {
        match Chain::connect(&network).await {
            Err(ConnectError::Unreachable { .. }) if began.elapsed() < patience => {
                if let Some(why) = service.ended(&mut child)? {
                    return Err(TestbedError::Ended(why));
                }
            }
            connected => return Ok(connected?),
        }
    }
}
