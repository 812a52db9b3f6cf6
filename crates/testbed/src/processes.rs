//! The peers of a network as processes of this machine: starting those that do not run, and stopping all.

use std::{process::Child, time::Duration};

use dtn_api::Status;
use dtn_peer::{ConfigError, PeerHome, files::exists, hold::Holder};
use dtn_report::{Progress, Tell, text::reason};
use futures::future::{join, join_all};
use tokio::time::{Instant, sleep};

use crate::{
    Result, TestbedError,
    home::Home,
    service::{Service, stop},
    survey::{Found, Survey},
};

const START_TIMEOUT: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(50);

/// A network that was started.
#[derive(Debug)]
pub struct Up {
    /// How the validators are doing; `None` for those that are not up.
    pub statuses: Vec<Option<Status>>,
    /// Why those are not, and observers that are not, in words.
    pub failures: Vec<String>,
}

/// Starts every peer that does not run and waits until all that can run are connected to each other, and are at least so
/// many. Observers have to answer, and are needed in no number. `ready` is told how many are. When it fails, what it started is stopped; peers that ran before go on.
pub async fn up(home: &Home, least: usize, ready: impl Fn(usize)) -> Result<Up> {
    let mut started = Started::default();
    let outcome = start_missing(home, least, ready, &mut started).await;
    if outcome.is_err() {
        let services: Vec<_> = started.0.iter().map(|it| it.service.clone()).collect();
        stop(&services).await?;
    }
    outcome
}

/// All peers of a network that the command has made for itself.
pub async fn up_all(home: &Home, tell: Tell<'_>) -> Result<Vec<Status>> {
    let n = home.peers()?.len();
    tell(Progress::Stage { what: "peers", parts: n as u64 });
    let up = up(home, n, |ready| tell(Progress::Parts(ready as u64))).await?;
    tell(Progress::Over);
    Ok(up.statuses.into_iter().flatten().collect())
}

/// A process that was started for a peer. Observers are counted on from the validators.
struct Starting {
    peer: usize,
    service: Service,
    child: Child,
}

/// What was started here.
#[derive(Default)]
struct Started(Vec<Starting>);

impl Drop for Started {
    fn drop(&mut self) {
        // Who holds nothing yet can be found by nobody else. An error means that it has ended.
        for Starting { service, child, .. } in &mut self.0 {
            if !service.runs() {
                child.kill().ok();
            }
        }
    }
}

async fn start_missing(home: &Home, least: usize, ready: impl Fn(usize), started: &mut Started) -> Result<Up> {
    let survey = Survey::of(home)?;
    let (mut peers, observers) = (home.peers()?, home.observers()?);
    let n = peers.len();
    let mut before = survey.ask().await;
    // Whether an observer runs, its files tell.
    before.extend(observers.iter().map(|_| Found::None));
    peers.extend(observers);
    let mut failures: Vec<Option<String>> = vec![None; peers.len()];
    for (index, (peer, answer)) in peers.iter().zip(&before).enumerate() {
        match (start(index, peer, answer, started), answer) {
            (Ok(()), _) => {}
            (Err(error), Found::Other(who)) => {
                failures[index] = Some(format!("{}; at {} {who}", reason(&error), survey.addresses[index]));
            }
            (Err(error), _) => failures[index] = Some(reason(&error)),
        }
    }
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        for (peer, why) in started.ended()? {
            failures[peer] = Some(why);
        }
        let observers = join_all(peers[n..].iter().map(|observer| survey.ask_observer(observer)));
        let (mut answers, observers) = join(survey.ask(), observers).await;
        answers.extend(observers);
        let mut statuses: Vec<_> =
            answers.iter().enumerate().map(|(index, answer)| started.own(index, answer)).collect();
        for (failure, _) in failures.iter_mut().zip(&statuses).filter(|(_, status)| status.is_some()) {
            // What was started twice ends once.
            *failure = None;
        }
        let failed = failures[..n].iter().flatten().count();
        if n - failed < least {
            let why = failures.into_iter().take(n).flatten().collect::<Vec<_>>().join("\n");
            return Err(TestbedError::TooFewStarted { failed, count: n, least, why });
        }
        // A new validator votes once the others have told it that they are new too.
        let begun =
            |status: &Status| status.connected.len() + 1 >= n - failed && !(status.silent && status.height == 0);
        let connected = statuses[..n].iter().flatten().filter(|status| begun(status)).count();
        let observed = (n..peers.len()).all(|index| statuses[index].is_some() || failures[index].is_some());
        ready(connected);
        if connected == n - failed && observed || Instant::now() > deadline {
            let is_up = |index: usize, status: &Status| index >= n || begun(status);
            let missing = statuses
                .iter()
                .enumerate()
                .filter(|(index, status)| !status.as_ref().is_some_and(|it| is_up(*index, it)));
            for (index, status) in missing {
                let log = peers[index].log();
                let address = match survey.addresses.get(index) {
                    Some(address) => address.to_string(),
                    None => peers[index].config(&[]).map_or("its address".into(), |config| config.api.to_string()),
                };
                let who = if index < n { format!("peer {index}") } else { format!("observer {}", index - n) };
                let what = match (&answers[index], status) {
                    (Found::Other(who), _) => format!("does not answer at {address}: {who}"),
                    (_, Some(status)) => format!("is linked to {} others", status.connected.len()),
                    (_, None) => format!("does not answer at {address}"),
                };
                let why = || format!("{who} {what} after {START_TIMEOUT:?}; its log is {}", log.display());
                failures[index].get_or_insert_with(why);
            }
            let failures: Vec<_> = failures.into_iter().flatten().collect();
            if connected < least {
                let why = failures.join("\n");
                return Err(TestbedError::TooFewConnected { connected, count: n, least, why });
            }
            statuses.truncate(n);
            return Ok(Up { statuses, failures });
        }
        sleep(POLL).await;
    }
}

/// Starts a peer, unless it runs: as a process that can be found, or as one that answers.
fn start(index: usize, peer: &PeerHome, answer: &Found, started: &mut Started) -> Result<()> {
    let service = Service::peer(peer);
    if service.runs() || matches!(answer, Found::Peer(_)) {
        return Ok(());
    }
    let file = peer.config_file();
    if !exists(&file)? {
        return Err(ConfigError::NoPeer { folder: peer.path().into(), file }.into());
    }
    let child = service.spawn()?;
    started.0.push(Starting { peer: index, service, child });
    Ok(())
}

impl Started {
    /// Those that have ended since this was asked, with their reasons. A peer that somebody else has started in the same moment
    /// is none of them: that one goes on, and is waited for.
    fn ended(&mut self) -> Result<Vec<(usize, String)>> {
        let mut ended = Vec::new();
        for it in &mut self.0 {
            if let Some(why) = it.service.ended(&mut it.child)? {
                ended.push((it.child.id(), it.peer, (!it.service.runs()).then_some(why)));
            }
        }
        self.0.retain(|it| ended.iter().all(|(id, ..)| *id != it.child.id()));
        Ok(ended.into_iter().filter_map(|(_, peer, why)| Some((peer, why?))).collect())
    }

    /// What answers, if it is the peer: where a process was started for it, that process.
    fn own(&self, index: usize, answer: &Found) -> Option<Status> {
        let Found::Peer(status) = answer else { return None };
        let started = self.0.iter().find(|it| it.peer == index);
        started.is_none_or(|it| it.child.id() == status.vitals.pid).then(|| Status::clone(status))
    }
}

/// Whether any peer of a network runs as a process of this machine.
pub fn any_peer_runs(home: &Home) -> Result<bool> {
    Ok(home.peers()?.iter().map(Service::peer).any(|peer| peer.runs()))
}

/// Stops all peers of a network, and the chain that it was left running with; gives how many peers were running. Fails if
/// peers of the network go on on this machine.
pub async fn down(home: &Home) -> Result<usize> {
    let peers: Vec<_> = home.peers()?.iter().map(Service::peer).collect();
    let observers = home.observers()?;
    let all: Vec<_> = peers.iter().cloned().chain(observers.iter().map(Service::peer)).collect();
    let stopped = stop(&all).await?;
    stop(&[Service::chain(home, 0)]).await?;
    let survey = Survey::of(home)?;
    let mut left = Vec::new();
    for (index, answer) in survey.ask().await.into_iter().enumerate() {
        let (Found::Peer(status), address) = (answer, survey.addresses[index]) else { continue };
        if !address.ip().is_loopback() {
            continue;
        }
        let who = match peers[index].holder() {
            Holder::Process(pid) => format!("was started again as process {pid}; stop it by what watches over it"),
            Holder::Nobody | Holder::Unseen => format!(
                "goes on as process {} by its own account, and holds neither its folder {} nor its keystore as far as can \
                 be seen from here; stop it where it was started",
                status.vitals.pid,
                peers[index].folder().display()
            ),
        };
        left.push(format!("peer {index} at {address} {who}"));
    }
    match left.is_empty() {
        true => Ok(stopped),
        false => Err(TestbedError::Left { stopped, left: left.join("\n") }),
    }
}
