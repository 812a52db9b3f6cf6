//! What each check finds, and that a healthy network gives no finding.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use dtn_api::{Status, Vitals};
use dtn_primitives::{Address, B256};

use super::*;

/// Some time.
const NOW: u64 = 1_800_000_000_000;

fn status(index: usize, n: usize) -> Status {
    Status {
        network: "test".into(),
        network_id: B256::repeat_byte(1),
        chain_id: 31_337,
        validator: Some(index as u16),
        address: Address::repeat_byte(index as u8),
        nodes: n,
        quorum: dtn_primitives::quorum(n),
        view: 3,
        primary: 3,
        height: 100,
        block_hash: B256::repeat_byte(2),
        connected: (0..n as u16).filter(|peer| usize::from(*peer) != index).collect(),
        checkpoint: 0,
        mining: None,
        silent: false,
        pending_transactions: 0,
        open_orders: 0,
        working_on: None,
        evidence: Vec::new(),
        faults: vec![0; n],
        vitals: Vitals {
            version: "1.0.0".into(),
            uptime_s: 7_200,
            time_ms: NOW,
            view_timeout_ms: 2_000,
            lost_links: vec![7; n],
            ..Vitals::default()
        },
    }
}

/// Four peers of this machine with nothing wrong.
fn healthy() -> Observation {
    let n = 4;
    let peer = |index: usize| {
        let folder = PathBuf::from(format!("/net/peers/{index}"));
        let sample = Sample { status: status(index, n), clock_ahead_ms: 0, uncertain_ms: 1, tip_ms: Some(NOW) };
        let secret = |name: &str| Secret { path: folder.join(name), mode: Ok(0o600) };
        let api = format!("127.0.0.1:{}", 26_601 + 2 * index).parse().unwrap();
        let config = Configured {
            api,
            network_id: Ok(B256::repeat_byte(1)),
            taken: Vec::new(),
            keystore: secret("key.json"),
            password: secret("password"),
            file: Some(secret("node.toml")),
            settlement: Some(Ok(())),
        };
        let local = Local { running: true, last_error: None, free_bytes: Some(1 << 40), config: Ok(config), folder };
        Peer { index, api, first: Ok(sample.clone()), second: Ok(sample), local: Some(local) }
    };
    let peers = (0..n).map(peer).collect();
    Observation { home: "/net".into(), network_id: B256::repeat_byte(1), quorum: dtn_primitives::quorum(n), peers }
}

/// What all checks find when something is changed, as severity, peer and check; and all that they say.
type Found = (Severity, Option<usize>, &'static str);

fn after(change: impl FnOnce(&mut Observation)) -> (Vec<Found>, String) {
    let mut seen = healthy();
    change(&mut seen);
    let findings = diagnose(&seen);
    let text = findings.iter().map(|finding| format!("{} -> {}\n", finding.what, finding.next)).collect();
    (findings.iter().map(|finding| (finding.severity, finding.peer, finding.check)).collect(), text)
}

fn first(peer: &mut Peer) -> &mut Status {
    &mut peer.first.as_mut().unwrap().status
}

fn second(peer: &mut Peer) -> &mut Status {
    &mut peer.second.as_mut().unwrap().status
}

fn local(peer: &mut Peer) -> &mut Local {
    peer.local.as_mut().unwrap()
}

fn config(peer: &mut Peer) -> &mut Configured {
    local(peer).config.as_mut().unwrap()
}

fn silence(seen: &mut Observation, index: usize) {
    seen.peers[index].first = Err("connection refused".into());
    seen.peers[index].second = Err("connection refused".into());
    local(&mut seen.peers[index]).running = false;
    for peer in seen.peers.iter_mut().filter(|peer| peer.second.is_ok()) {
        first(peer).connected.retain(|other| usize::from(*other) != index);
        second(peer).connected.retain(|other| usize::from(*other) != index);
    }
}

#[test]
fn the_documentation_explains_every_check() {
    let text = include_str!("../../../../../docs/operate/operation.md");
    for (name, _) in ALL {
        assert!(text.contains(&format!("| `{name}` |")), "docs/operate/operation.md does not explain the check {name}");
    }
}

#[test]
fn a_healthy_network_gives_no_finding_idle_or_at_work() {
    assert_eq!(after(|_| ()), (vec![], String::new()));
    let (found, _) = after(|seen| {
        for peer in &mut seen.peers {
            first(peer).pending_transactions = 9;
            second(peer).pending_transactions = 9;
            second(peer).height = 150 + peer.index as u64;
        }
    });
    assert_eq!(found, vec![]);
}

#[test]
fn a_dead_peer_is_named_with_the_last_error_of_its_log() {
    let (found, text) = after(|seen| {
        silence(seen, 1);
        local(&mut seen.peers[1]).last_error = Some("error: the disk is full".into());
    });
    assert_eq!(found, [(Problem, Some(1), "answers")]);
    assert!(text.contains("the disk is full") && text.contains("l1 up --home /net"), "{text}");
}

#[test]
fn a_dead_peer_whose_port_another_program_has_is_told_so() {
    let (found, text) = after(|seen| {
        silence(seen, 1);
        config(&mut seen.peers[1]).taken.push("127.0.0.1:26603".into());
    });
    assert_eq!(found, [(Problem, Some(1), "answers")]);
    assert!(text.contains("another program has 127.0.0.1:26603"), "{text}");
}

#[test]
fn a_hanging_peer_and_one_elsewhere_are_told_apart() {
    let (_, text) = after(|seen| {
        silence(seen, 1);
        local(&mut seen.peers[1]).running = true;
    });
    assert!(text.contains("though its process is running"), "{text}");
    let (_, text) = after(|seen| {
        silence(seen, 1);
        seen.peers[1].local = None;
    });
    assert!(text.contains("look at its host"), "{text}");
}

#[test]
fn a_dead_primary_is_said_to_be_the_primary() {
    let (found, text) = after(|seen| silence(seen, 3));
    assert_eq!(found, [(Problem, Some(3), "answers"), (Problem, Some(3), "primary")]);
    assert!(text.contains("primary of view 3"), "{text}");
}

#[test]
fn fewer_than_a_quorum_is_said_once_for_the_network() {
    let (found, text) = after(|seen| {
        silence(seen, 0);
        silence(seen, 1);
    });
    let expected = [(Problem, Some(0), "answers"), (Problem, Some(1), "answers"), (Problem, None, "quorum")];
    assert_eq!(found, expected);
    assert!(text.contains("2 of 4 peers answer; 3 must"), "{text}");
}

#[test]
fn a_cut_off_peer_is_without_quorum_and_links() {
    let (found, text) = after(|seen| {
        second(&mut seen.peers[2]).connected.clear();
        for other in [0, 1, 3] {
            second(&mut seen.peers[other]).connected.retain(|peer| *peer != 2);
        }
    });
    assert_eq!(
        found,
        [
            (Problem, Some(2), "quorum"),
            (Problem, Some(0), "links"),
            (Problem, Some(1), "links"),
            (Problem, Some(2), "links"),
            (Problem, Some(3), "links")
        ]
    );
    assert!(text.contains("it has no link to peers 0, 1, 3, which answer"), "{text}");
}

#[test]
fn a_configuration_that_is_not_valid_is_quoted() {
    let (found, text) = after(|seen| local(&mut seen.peers[0]).config = Err("unknown field `lisen`".into()));
    assert_eq!(found, [(Problem, Some(0), "configuration")]);
    assert!(text.contains("lisen"), "{text}");
}

#[test]
fn a_peer_of_another_network_or_place_is_found() {
    let (found, _) = after(|seen| second(&mut seen.peers[0]).network_id = B256::repeat_byte(9));
    assert_eq!(found, [(Problem, Some(0), "genesis")]);
    // One that other things are wrong with is none of this network's business.
    let (found, _) = after(|seen| {
        second(&mut seen.peers[0]).network_id = B256::repeat_byte(9);
        second(&mut seen.peers[0]).connected.clear();
        seen.peers[1..].iter_mut().for_each(|peer| second(peer).connected.retain(|other| *other != 0));
    });
    assert_eq!(found, [(Problem, Some(0), "genesis")]);
    let (found, text) = after(|seen| {
        seen.peers.iter_mut().for_each(|peer| second(peer).network_id = B256::repeat_byte(9));
    });
    assert_eq!(found, [(Problem, None, "genesis")], "all of another network are one finding");
    assert!(text.contains("peers 0, 1, 2, 3 belong") && text.contains("127.0.0.1:26607"), "{text}");
    let (found, _) = after(|seen| second(&mut seen.peers[0]).validator = Some(2));
    assert_eq!(found, [(Problem, Some(0), "genesis")]);
    let (found, text) = after(|seen| second(&mut seen.peers[0]).validator = None);
    assert_eq!(found, [(Problem, Some(0), "genesis")]);
    assert!(text.contains("answers as an observer"), "{text}");
    let (found, _) = after(|seen| config(&mut seen.peers[0]).network_id = Ok(B256::repeat_byte(9)));
    assert_eq!(found, [(Problem, Some(0), "genesis")]);
    let (found, _) = after(|seen| config(&mut seen.peers[0]).network_id = Err("no such file".into()));
    assert_eq!(found, [(Problem, Some(0), "genesis")]);
}

#[test]
fn transactions_that_wait_while_nothing_becomes_final_are_a_problem() {
    let (found, _) = after(|seen| {
        first(&mut seen.peers[1]).pending_transactions = 1;
        second(&mut seen.peers[1]).pending_transactions = 1;
    });
    assert_eq!(found, [(Problem, None, "progress")]);
}

#[test]
fn views_that_change_without_a_decision_are_a_problem_and_many_changes_are_a_notice() {
    let (found, text) = after(|seen| seen.peers.iter_mut().for_each(|peer| second(peer).view = 5));
    assert_eq!(found, [(Problem, None, "views")]);
    assert!(text.contains("from view 3 to 5"), "{text}");
    let (found, _) = after(|seen| {
        for peer in &mut seen.peers {
            (second(peer).view, second(peer).height) = (4, 101);
        }
    });
    assert_eq!(found, [], "one view change and the network goes on");
    // The uptime is two hours.
    let (found, text) = after(|seen| second(&mut seen.peers[1]).vitals.view_changes = 25);
    assert_eq!(found, [(Notice, Some(1), "views")]);
    assert!(text.contains("25 new views in 2h"), "{text}");
    assert_eq!(after(|seen| second(&mut seen.peers[1]).vitals.view_changes = 24).0, []);
}

#[test]
fn a_peer_that_is_behind_is_a_problem_only_if_it_does_not_catch_up() {
    let at = |first_height, second_height| {
        after(|seen| {
            first(&mut seen.peers[1]).height = first_height;
            second(&mut seen.peers[1]).height = second_height;
        })
    };
    let (found, text) = at(40, 40);
    assert_eq!(found, [(Problem, Some(1), "behind")]);
    assert!(text.contains("60 blocks behind, at height 40"), "{text}");
    assert_eq!(at(40, 90).0, [(Notice, Some(1), "behind")]);
    assert_eq!(at(40, 100).0, []);
    let (found, _) = after(|seen| {
        first(&mut seen.peers[1]).height = 1_000_000;
        second(&mut seen.peers[1]).height = 1_000_000;
    });
    assert_eq!(found, [], "one peer that says it is far ahead does not put the others behind");
}

#[test]
fn clocks_apart_are_found_unless_the_answer_was_slow() {
    let apart = |ahead, uncertain| {
        after(|seen| {
            let sample = seen.peers[1].second.as_mut().unwrap();
            (sample.clock_ahead_ms, sample.uncertain_ms) = (ahead, uncertain);
        })
    };
    let (found, text) = apart(-6_000, 10);
    assert_eq!(found, [(Problem, Some(1), "clocks")]);
    assert!(text.contains("6000 ms behind"), "{text}");
    assert_eq!(apart(700, 10).0, [(Notice, Some(1), "clocks")]);
    assert_eq!(apart(6_000, 5_900).0, []);
    // This machine's own clock is nobody's.
    let (found, _) = after(|seen| {
        seen.peers.iter_mut().for_each(|peer| peer.second.as_mut().unwrap().clock_ahead_ms = 60_000);
    });
    assert_eq!(found, []);
}

#[test]
fn links_that_flap_name_the_peer_whose_key_may_be_used_twice() {
    let (found, text) = after(|seen| {
        for other in [0, 1, 2] {
            second(&mut seen.peers[other]).vitals.lost_links[3] += 6;
        }
    });
    assert_eq!(found, [(Problem, Some(3), "flapping")]);
    assert!(text.contains("6 times at one peer (seen by peers 0, 1, 2)") && text.contains("copied folder"), "{text}");
    // It was cut off, or started again.
    let once = |seen: &mut Observation| seen.peers.iter_mut().for_each(|peer| second(peer).vitals.lost_links[3] += 1);
    assert_eq!(after(once).0, []);
}

#[test]
fn a_block_from_the_future_is_told_unless_one_peer_alone_says_so() {
    let ahead = |peers: usize, ms: u64| {
        after(|seen| {
            for peer in &mut seen.peers[..peers] {
                peer.second.as_mut().unwrap().tip_ms = Some(NOW + ms);
            }
        })
    };
    let (found, text) = ahead(4, 3_540_000);
    assert_eq!(found, [(Problem, None, "time")]);
    assert!(text.contains("59m ahead of the peers' clocks"), "{text}");
    assert_eq!(ahead(1, 3_540_000).0, []);
    assert_eq!(ahead(4, dtn_ledger::MAX_AHEAD_MS).0, []);
}

#[test]
fn different_view_timeouts_are_a_notice() {
    let (found, text) = after(|seen| second(&mut seen.peers[1]).vitals.view_timeout_ms = 500);
    assert_eq!(found, [(Notice, None, "timeouts")]);
    assert!(text.contains("500 ms (peers 1), 2000 ms (peers 0, 2, 3)"), "{text}");
}

#[test]
fn evidence_and_faults_name_the_peer_they_are_against() {
    let (found, _) = after(|seen| {
        second(&mut seen.peers[0]).evidence.push(2);
        second(&mut seen.peers[1]).evidence.push(2);
    });
    assert_eq!(found, [(Problem, Some(2), "evidence")]);
    let (found, text) = after(|seen| {
        first(&mut seen.peers[0]).faults[3] = 7;
        second(&mut seen.peers[0]).faults[3] = 7;
    });
    assert_eq!(found, [(Notice, Some(3), "faults")]);
    assert!(text.contains("up to 7 faulty messages"), "{text}");
    let (found, _) = after(|seen| second(&mut seen.peers[0]).faults[3] = 1);
    assert_eq!(found, [(Problem, Some(3), "faults")]);
}

#[test]
fn a_validator_that_does_not_vote_yet_is_a_notice_and_too_many_of_them_are_a_problem() {
    let forget = |seen: &mut Observation, index: usize| {
        first(&mut seen.peers[index]).silent = true;
        second(&mut seen.peers[index]).silent = true;
    };
    assert_eq!(after(|seen| second(&mut seen.peers[1]).silent = true).0, [], "it may have started just now");
    assert_eq!(after(|seen| forget(seen, 1)).0, [(Notice, Some(1), "silent")]);
    let (found, text) = after(|seen| [1, 2].into_iter().for_each(|index| forget(seen, index)));
    assert_eq!(found, [(Problem, None, "silent")]);
    assert!(text.contains("2 validators vote, and 3 are needed"), "{text}");
}

#[test]
fn a_full_disk_is_found() {
    let (found, text) = after(|seen| local(&mut seen.peers[1]).free_bytes = Some(5 << 20));
    assert_eq!(found, [(Problem, Some(1), "disk")]);
    assert!(text.contains("/net/peers/1"), "{text}");
}

#[test]
fn secrets_that_are_open_or_unreadable_are_found_once_each() {
    let (found, text) = after(|seen| {
        for peer in &mut seen.peers {
            config(peer).password = Secret { path: "/net/password".into(), mode: Ok(0o644) };
        }
    });
    assert_eq!(found, [(Problem, Some(0), "secrets")], "the file that they share");
    assert!(text.contains("mode 644") && text.contains("chmod 600 /net/password"), "{text}");
    let (found, _) = after(|seen| config(&mut seen.peers[1]).keystore.mode = Err("no such file".into()));
    assert_eq!(found, [(Problem, Some(1), "secrets")]);
    let (found, text) = after(|seen| config(&mut seen.peers[1]).file.as_mut().unwrap().mode = Ok(0o644));
    assert_eq!(found, [(Notice, Some(1), "secrets")]);
    assert!(text.contains("chmod 600 /net/peers/1/node.toml"), "{text}");
}

#[test]
fn an_api_beyond_loopback_is_a_problem() {
    let (found, text) = after(|seen| config(&mut seen.peers[1]).api = "0.0.0.0:26603".parse().unwrap());
    assert_eq!(found, [(Problem, Some(1), "exposure")]);
    assert!(text.contains("0.0.0.0:26603"), "{text}");
}

#[test]
fn a_wrong_settlement_chain_is_quoted_and_none_is_fine() {
    let wrong = "http://127.0.0.1:8545 is chain 31337, but network `testnet` is chain 97";
    let (found, text) = after(|seen| config(&mut seen.peers[1]).settlement = Some(Err(wrong.into())));
    assert_eq!(found, [(Problem, Some(1), "settlement")]);
    assert!(text.contains(wrong), "{text}");
    assert_eq!(after(|seen| config(&mut seen.peers[1]).settlement = None).0, []);
}

#[test]
fn different_versions_are_a_notice() {
    let (found, text) = after(|seen| second(&mut seen.peers[1]).vitals.version = "1.1.0".into());
    assert_eq!(found, [(Notice, None, "versions")]);
    assert!(text.contains("1.0.0 (peers 0, 2, 3), 1.1.0 (peers 1)"), "{text}");
    let (found, _) = after(|seen| {
        silence(seen, 1);
        second(&mut seen.peers[0]).vitals.peer_versions = vec![None, Some("1.1.0".into())];
    });
    assert_eq!(found.last(), Some(&(Notice, None, "versions")), "of one that the others have met");
}

#[test]
fn a_validator_that_runs_twice_and_a_port_that_strangers_crowd_are_told() {
    let (found, _) = after(|seen| second(&mut seen.peers[1]).vitals.twin_seen = true);
    assert_eq!(found, [(Problem, Some(1), "twins")]);
    let crowd = |crowded| after(|seen| second(&mut seen.peers[2]).vitals.crowded_out = crowded);
    let (found, text) = crowd(500);
    assert_eq!(found, [(Notice, Some(2), "crowds")]);
    assert!(text.contains("500 connections"), "{text}");
    assert_eq!(crowd(network::CROWDED_OUT).0, []);
}
