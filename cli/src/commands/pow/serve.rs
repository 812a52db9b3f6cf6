//! `dtn-cli pow serve`: peers with line ports, as processes, and the ledger as it grows.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use dtn_client::ledger::node_name;
use dtn_documents::races;
use dtn_pow::{Backend, check_practical};
use dtn_primitives::MIN_VALIDATORS;
use dtn_testbed::{
    Home, OwnNetwork,
    lines::{self, News},
};
use tokio::time::sleep;

use super::mine::MEASURED_FOR;
use crate::output;

/// The longest time that a race may be expected to take.
const LONGEST: Duration = Duration::from_secs(3600);

/// Run peers that race for what is sent to their line ports.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli pow serve --ports 5000,5001,5002
  dtn-cli pow serve --ports 5000,5001,5002 --difficulty 3 --home races
and in another terminal:
  echo \"Your transaction data\" | tee >(nc localhost 5000) >(nc localhost 5001) >(nc localhost 5002) > /dev/null
  dtn-cli pow ledger --home races
  dtn-cli pow report --home races --html races.html

Each port belongs to a peer, which is a process of its own: Node1, Node2 and so on, in the order of the ports. A line that comes in
through several ports is one transaction, and through one port twice it is two. The peers race for each; the agreement of PBFT
decides who wins, and every entry that is printed was verified against the genesis. PBFT tolerates a faulty peer only from four
on, so with fewer ports further peers vote without racing. Everything listens on loopback. Ctrl-C stops it; with --home, starting
it again goes on with the same ledger.")]
pub(crate) struct Serve {
    /// The line ports, one for each node that races
    #[arg(long, value_delimiter = ',', default_value = "5000,5001,5002", value_name = "PORT")]
    ports: Vec<u16>,
    /// A race is expected to take 256 to the power of this many hashes: so many zero bytes begin the hash
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..), value_name = "D")]
    difficulty: u32,
    /// The folder of the network, which is kept and gone on with; a temporary one without it
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Stop after this time
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    r#for: Option<Duration>,
    /// Print each entry as a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(serve: Serve) -> Result<()> {
    let ports = &serve.ports;
    let distinct: BTreeSet<_> = ports.iter().collect();
    ensure!(distinct.len() == ports.len() && !distinct.contains(&0), "--ports are different ports, none of them 0");
    let miners = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(ports.len().max(1));
    let expected_hashes = expected_hashes(serve.difficulty, Backend::fastest().rate(MEASURED_FOR) * miners as f64)?;
    let network = OwnNetwork::at(serve.home.as_deref(), |what| output::note(what))?;
    let home = network.home();
    if dtn_peer::files::exists(&home.client_file())? {
        let folder = home.path().display();
        let again = format!("stop them with `dtn-cli l1 down --home {folder}`, then start this again");
        ensure!(!dtn_testbed::any_peer_runs(home)?, "peers in {folder} are running; {again}");
    }
    for port in ports {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
        TcpListener::bind(address).with_context(|| format!("the line port {address} cannot be had"))?;
    }
    let over = async {
        match serve.r#for {
            Some(time) => sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        outcome = perform(&serve, home, expected_hashes) => outcome,
        asked = crate::interruption::asked() => Ok(asked?),
        () = over => Ok(()),
    };
    network.end(outcome.is_err(), |what| output::note(what)).await?;
    outcome
}

/// What a difficulty means, if races of it have an end where all nodes try so many hashes a second.
fn expected_hashes(difficulty: u32, hashes_per_second: f64) -> Result<NonZeroU64> {
    check_practical(256f64.powf(f64::from(difficulty)), hashes_per_second, LONGEST)
        .with_context(|| format!("races of difficulty {difficulty} take too long"))?;
    256u64.checked_pow(difficulty).and_then(NonZeroU64::new).context("such a difficulty cannot be expressed")
}

async fn perform(serve: &Serve, home: &Home, expected_hashes: NonZeroU64) -> Result<()> {
    let (ports, bars) = (&serve.ports, output::bars());
    let peers = lines::give_ports(home, ports, expected_hashes, &bars)?;
    dtn_testbed::up_all(home, &bars).await?;
    for (peer, port) in ports.iter().enumerate() {
        output::note(format_args!("{} takes in lines on 127.0.0.1:{port}", node_name(peer)));
    }
    if peers > ports.len() {
        let voters: Vec<_> = (ports.len()..peers).map(node_name).collect();
        let voters = voters.join(", ");
        output::note(format_args!(
            "without a line port, to vote and not to race: {voters} (PBFT tolerates a fault from {MIN_VALIDATORS} peers on)"
        ));
    }
    lines::follow(home, |news| told(news, home, serve.json), &bars).await
}

fn told(news: News, home: &Home, json: bool) -> Result<()> {
    match news {
        News::Known(entries) => {
            output::note(format_args!("{entries} entries so far; waiting for lines, until Ctrl-C"));
        }
        News::Entry(entry) if json => output::json_line(&entry)?,
        News::Entry(entry) => output::line(races::entry(&entry))?,
        News::Ended { peer, why, running, quorum } => {
            let why = why.map(|error| format!(": {error}")).unwrap_or_default();
            output::note(format_args!("{} has ended{why}", node_name(peer)));
            if running < quorum {
                output::note(format_args!("{running} peers run and {quorum} are a quorum, so no race ends"));
            }
            output::note(format_args!("`dtn-cli l1 up --home {}` starts it again", home.path().display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Of two quick processors.
    const RATE: f64 = 250e6;

    #[test]
    fn a_difficulty_whose_races_do_not_end_is_refused_with_how_long_they_take() {
        assert_eq!(expected_hashes(1, RATE).unwrap().get(), 256);
        assert_eq!(expected_hashes(2, RATE).unwrap().get(), 65_536);
        for (difficulty, time) in [(5, "1.2 h"), (7, "9.1 years"), (8, "2338.2 years"), (u32::MAX, "forever")] {
            let error = format!("{:#}", expected_hashes(difficulty, RATE).unwrap_err());
            assert!(error.contains(&format!("expected to take {time}, which is more than 1.0 h")), "{error}");
        }
    }
}
