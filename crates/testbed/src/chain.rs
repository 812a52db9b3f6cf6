//! A development chain of a network's own, and its contracts there.

use std::time::{Duration, Instant};

use alloy_primitives::U256;
use dtn_chain::{Account, Chain, Network, connection::ConnectError};
use dtn_peer::SettlementConfig;
use dtn_settlement::deploy::{DeployPlan, Deployment, deploy, fund, top_up};

use crate::{Home, Ports, Result, Service, TestbedError, ports, set_settlement};

/// What each owner gets for its transactions, in wei.
const OWNER_GAS_WEI: u128 = 1_000_000_000_000_000_000;

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

/// Deploys a network's contracts, has the distributor hold so many wei and the owners enough for their transactions, and tells
/// the peers that they settle there once they start.
pub async fn settle_on(home: &Home, payer: &Account, holds: U256) -> Result<Deployment> {
    let mut plan = DeployPlan::new(&home.genesis()?, None, None)?;
    // Nobody looks at what is scheduled here.
    plan.rewards.delay = 1;
    let deployment = deploy(payer, &plan, |_| ()).await?;
    fund(payer, &deployment.owners, U256::from(OWNER_GAS_WEI)).await?;
    top_up(payer, deployment.addresses.distributor, holds).await?;
    let chain = payer.chain().network().clone();
    set_settlement(home, &SettlementConfig::new(chain, deployment.addresses, deployment.from_block))?;
    Ok(deployment)
}
