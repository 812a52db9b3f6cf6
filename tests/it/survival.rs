//! What an operator's night is made of, on real processes: peers that are killed, restarted, cut off, out of disk or out
//! of time, and stores that are lost. Each test ends with all peers at one tip, nobody caught lying, and every order
//! final exactly once.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::PathBuf,
    process::Command,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use dtn_api::Status;
use tempfile::TempDir;

use crate::common::{Accepted, Load, Scene, clocks::Clocks, lan::Lan, skip, text, wait_until};

#[test]
fn orders_go_on_being_final_when_one_primary_after_the_other_is_killed_under_load() {
    let scene = Scene::up(4);
    let accepted = Load::while_doing(&scene, 20, |load| {
        load.wait_for_more(20);
        for _ in 0..2 {
            let (view, primary) = scene.view(&[0, 1, 2, 3]);
            scene.kill(primary);
            // One batch may have been decided before.
            load.wait_for_more(40);
            let others: Vec<_> = (0..4).filter(|peer| *peer != primary).collect();
            assert!(scene.view(&others).0 > view, "the others follow another primary");
            scene.ok(&["l1", "up"]);
            load.wait_for_more(20);
        }
    });
    scene.assert_agreement(&[]);
    scene.assert_final_once(&accepted);
}

#[test]
fn with_f_peers_killed_at_once_the_others_go_on_and_the_killed_catch_up() {
    let scene = Scene::up(7);
    let accepted = Load::while_doing(&scene, 20, |load| {
        load.wait_for_more(20);
        let (_, primary) = scene.view(&[0, 1, 2, 3, 4, 5, 6]);
        scene.kill_all(&[primary, (primary + 1) % 7]);
        load.wait_for_more(40);
        scene.ok(&["l1", "up"]);
        load.wait_for_more(20);
    });
    scene.assert_agreement(&[]);
    scene.assert_final_once(&accepted);
}

#[test]
fn a_latecomer_and_a_crash_do_not_stop_a_network_of_four() {
    let scene = Scene::new();
    scene.init(4);
    (0..3).for_each(|peer| drop(scene.start(peer, &[], &[])));
    let mut accepted = scene.submit(1);
    // It has never voted, which its folder says.
    drop(scene.start(3, &[], &[]));
    scene.wait_for_links();
    scene.kill(0);
    accepted.extend(scene.submit(1));
    // The same with one that lost its disk, while nobody hands in anything.
    scene.ok(&["l1", "up"]);
    scene.kill(2);
    fs::remove_file(scene.peer(2).join("ledger.redb")).unwrap();
    scene.ok(&["l1", "up"]);
    scene.wait_for("an idle network heals", |statuses| {
        statuses.iter().all(|status| status.as_ref().is_some_and(|status| !status.silent))
    });
    scene.kill(1);
    accepted.extend(scene.submit(1));
    scene.ok(&["l1", "up"]);
    scene.assert_agreement(&[]);
    scene.assert_final_once(&accepted);
}

#[test]
fn what_a_quorum_has_replied_is_in_every_later_read_though_all_who_replied_were_killed_at_once() {
    let scene = Scene::up(4);
    let client = scene.client();
    // One that knows nothing of what the others are about to reply.
    scene.kill(3);
    for order in 1..=4 {
        let accepted = scene.submit(1);
        scene.kill_all(&[0, 1, 2]);
        (0..4).for_each(|peer| drop(scene.start(peer, &[], &[])));
        wait_until("a quorum answers", || {
            let Some(nonce) = scene.next_nonce(&client) else { return false };
            assert!(nonce >= order, "order {order} is final: {accepted:?}, and a read says that {nonce} is next");
            true
        });
        scene.wait_for_links();
        scene.kill(3);
    }
    scene.ok(&["l1", "up"]);
    scene.assert_agreement(&[]);
}

#[test]
fn a_rolling_restart_of_all_peers_loses_no_order() {
    let scene = Scene::up(4);
    let accepted = Load::while_doing(&scene, 20, |load| {
        for peer in 0..4 {
            load.wait_for_more(20);
            scene.stop(peer);
            scene.ok(&["l1", "up"]);
        }
        load.wait_for_more(20);
    });
    scene.assert_agreement(&[]);
    scene.assert_final_once(&accepted);
}

#[test]
fn a_network_that_is_cut_in_two_never_splits_and_goes_on_once_a_quorum_is_connected() {
    let lan = match Lan::new(4) {
        Ok(lan) => lan,
        Err(why) => return skip("a partition", &why),
    };
    let scene = Scene::inside(lan.on_operator());
    // The hosts are their own: the ports are free there.
    scene.ok(&["l1", "init"]);
    spread_over(&scene);
    for peer in 0..4 {
        drop(scene.start(peer, &lan.on_host(peer), &[]));
    }
    scene.wait_for_links();
    let mut accepted = scene.submit(5);
    scene.assert_agreement(&[]);

    // Two and two: neither side has a quorum.
    let before = scene.status(0);
    lan.split(&[2, 3]);
    thread::scope(|scope| {
        let submitted = scope.spawn(|| scene.submit(5));
        scene.wait_for("both sides have lost patience with the primary", |_| {
            let patience_lost =
                |side: [usize; 2]| side.iter().any(|peer| scene.log(*peer).contains("the view timed out"));
            patience_lost([0, 1]) && patience_lost([2, 3])
        });
        for status in scene.statuses().into_iter().flatten() {
            assert_eq!((status.height, status.block_hash), (before.height, before.block_hash), "a minority decided");
        }
        lan.heal();
        accepted.extend(submitted.join().unwrap());
    });
    scene.assert_agreement(&[]);

    // Three and the primary, whose plug is pulled: its connections are not closed, they just say nothing any more.
    let (view, primary) = scene.view(&[0, 1, 2, 3]);
    let before = scene.status(primary);
    lan.unplug(primary);
    accepted.extend(scene.submit(5));
    let others: Vec<_> = (0..4).filter(|peer| *peer != primary).collect();
    assert!(scene.view(&others).0 > view, "the majority follows another primary");
    assert_eq!(scene.status(primary).block_hash, before.block_hash, "nothing reaches the one that is cut off");
    scene.wait_for("the silence is noticed", |statuses| {
        let lost = |status: &Option<Status>| status.as_ref().is_some_and(|s| !s.connected.contains(&(primary as u16)));
        others.iter().all(|peer| lost(&statuses[*peer]))
    });
    lan.heal();
    accepted.extend(scene.submit(5));
    scene.assert_agreement(&[]);
    scene.assert_final_once(&accepted);
}

/// Gives each peer of a network its own host of a [`Lan`].
fn spread_over(scene: &Scene) {
    const FIRST_PORT: usize = 26600;
    let mut files: Vec<_> = (0..4).map(|peer| scene.peer(peer).join("node.toml")).collect();
    files.push(scene.home().join("client.toml"));
    for file in files {
        let mut config = fs::read_to_string(&file).unwrap();
        for peer in 0..4 {
            let port = FIRST_PORT + 2 * peer;
            let (data, api) = (Lan::address(peer), Lan::api_address(peer));
            config = config.replace(&format!("/ip4/127.0.0.1/tcp/{port}"), &format!("/ip4/{data}/tcp/{port}"));
            config = config.replace(&format!("127.0.0.1:{}", port + 1), &format!("{api}:{}", port + 1));
        }
        assert!(!config.contains("127.0.0.1"), "{config}");
        fs::write(file, config).unwrap();
    }
}

#[test]
fn a_peer_whose_disk_is_full_stops_and_says_so_and_goes_on_once_there_is_room() {
    let disk = match Disk::new() {
        Ok(disk) => disk,
        Err(why) => return skip("a full disk", &why),
    };
    let scene = Scene::new();
    scene.init(4);
    disk.take_over(&scene, 3);
    scene.ok(&["l1", "up"]);
    // Started anew by this test, which so sees how it ends.
    scene.stop(3);
    let mut peer = scene.start(3, &[], &[]);
    scene.wait_for_links();
    let accepted = Load::while_doing(&scene, 20, |load| {
        load.wait_for_more(20);
        disk.fill();
        assert_eq!(peer.wait().unwrap().code(), Some(1), "{}", scene.log(3));
        let log = scene.log(3);
        let error = log.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("no error: {log}"));
        let told = error.contains("/ledger.") && error.contains("No space left") && error.contains("free");
        assert!(told && !log.contains("panicked"), "{log}");
        // The others do without it, for longer than they had work from before.
        load.wait_for_more(40);
        disk.make_room();
        scene.ok(&["l1", "up"]);
        load.wait_for_more(20);

        // Where the log has no room either, the peer ends in the same way.
        scene.stop(3);
        fs::remove_file(scene.peer(3).join("log")).unwrap();
        let mut peer = scene.start(3, &[], &[]);
        scene.wait_for_links();
        disk.fill();
        assert_eq!(peer.wait().unwrap().code(), Some(1));
        disk.make_room();
        scene.ok(&["l1", "up"]);
    });
    scene.assert_agreement(&[]);
    scene.assert_final_once(&accepted);
}

/// A disk of a few megabytes.
struct Disk(TempDir);

impl Disk {
    /// Mounts it, or says why this machine cannot: it takes root.
    fn new() -> Result<Self, String> {
        let folder = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=16m", "none"]).arg(folder.path()).output();
        let output = mount.map_err(|error| format!("mount: {error}"))?;
        if !output.status.success() {
            folder.close().ok();
            return Err(text(&output.stderr).trim().to_string());
        }
        Ok(Self(folder))
    }

    /// Moves a peer's folder onto the disk, except for its log.
    fn take_over(&self, scene: &Scene, peer: usize) {
        let (folder, home) = (scene.peer(peer), scene.home());
        let config = fs::read_to_string(folder.join("node.toml")).unwrap();
        // Through a link, the way up is another one.
        fs::write(self.0.path().join("node.toml"), config.replace("../..", home.to_str().unwrap())).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        symlink(self.0.path(), &folder).unwrap();
        symlink(scene.path("log"), folder.join("log")).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.ballast()).unwrap();
        for size in [64 * 1024, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

#[test]
fn a_clock_that_jumps_stops_nobody_and_a_primary_from_the_future_is_replaced() {
    let clocks = match Clocks::new() {
        Ok(clocks) => clocks,
        Err(why) => return skip("a clock jump", &why),
    };
    let scene = Scene::new();
    scene.init(4);
    for peer in 0..4 {
        let variables = clocks.variables(peer);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        drop(scene.start(peer, &[], &variables));
    }
    scene.ok(&["l1", "up"]);
    let mut accepted = scene.submit(5);

    // An hour behind, a primary's blocks are dated right after their parents.
    let (view, primary) = scene.view(&[0, 1, 2, 3]);
    clocks.set(primary, "-1h");
    accepted.extend(scene.submit(5));
    assert_eq!(scene.view(&[0, 1, 2, 3]).0, view, "nothing is wrong with it");

    // An hour ahead, they are refused.
    clocks.set(primary, "+1h");
    accepted.extend(scene.submit(5));
    let others: Vec<_> = (0..4).filter(|peer| *peer != primary).collect();
    assert!(scene.view(&others).0 > view, "another primary took over");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let height = accepted.iter().map(|order| order.height).max().unwrap();
    let dated = scene.certificate(height).header.timestamp;
    assert!(dated < now + 60_000, "a block from the future is final: {dated}, now it is {now}");

    // As one of the others it disturbs nobody, neither ahead nor behind, where all blocks seem to come from the future.
    accepted.extend(scene.submit(5));
    clocks.set(primary, "-1h");
    accepted.extend(scene.submit(5));
    scene.assert_agreement(&[primary]);
    clocks.set(primary, "+0");
    accepted.extend(scene.submit(5));
    scene.assert_agreement(&[primary]);
    scene.assert_final_once(&accepted);
}

#[test]
fn a_peer_that_lost_its_store_is_silent_until_it_cannot_contradict_itself_and_then_votes_again() {
    let scene = Scene::up(4);
    let mut accepted = scene.submit(20);
    scene.kill(3);
    fs::remove_file(scene.peer(3).join("ledger.redb")).unwrap();
    accepted.extend(scene.submit(5));
    let lost = scene.status(0).height;
    scene.ok(&["l1", "up"]);
    let from = assert_votes_again(&scene, 3, &mut accepted);
    assert!(from > lost + 1, "it lost its store at height {lost}");
    for height in lost + 1..from {
        let signers = scene.certificate(height).certificate.signatures;
        assert!(signers.iter().all(|(signer, _)| signer.as_usize() != 3), "it voted at {height}, before {from}");
    }
    scene.assert_final_once(&accepted);
}

#[test]
fn a_peer_that_starts_empty_takes_over_the_state_where_the_blocks_are_gone() {
    let scene = Scene::new();
    scene.init(4);
    (0..4).for_each(|peer| scene.set_key(peer, "retain_blocks", "16"));
    scene.ok(&["l1", "up"]);
    scene.kill(3);
    fs::remove_file(scene.peer(3).join("ledger.redb")).unwrap();
    // Beyond the first checkpoint.
    let mut accepted = scene.submit_one_by_one(150);
    wait_until("the first block is pruned", || {
        text(&scene.run(&["l1", "block", "1"]).stderr).contains("no peer keeps the block at height 1 any more")
    });
    scene.ok(&["l1", "up"]);
    scene.assert_agreement(&[]);
    assert!(scene.log(3).contains("took over the state"), "{}", scene.log(3));
    assert_votes_again(&scene, 3, &mut accepted);
    scene.assert_final_once(&accepted);
}

/// Has the network go on until a peer that lost its store votes again, and then makes sure that it does: its vote is
/// needed. Gives the height from which on it votes.
fn assert_votes_again(scene: &Scene, peer: usize, accepted: &mut Vec<Accepted>) -> u64 {
    let says_from = || -> Option<u64> {
        let log = scene.log(peer);
        let line = log.lines().find(|line| line.contains("votes again from this height on"))?;
        line.split("until=").nth(1)?.split_whitespace().next()?.parse().ok()
    };
    wait_until("the peer says from where on it votes again", || says_from().is_some());
    let from = says_from().unwrap();
    while scene.status((peer + 1) % 4).height < from {
        accepted.extend(scene.submit(5));
    }
    scene.assert_agreement(&[]);
    let other = (peer + 2) % 4;
    scene.kill(other);
    accepted.extend(scene.submit(5));
    scene.ok(&["l1", "up"]);
    scene.assert_agreement(&[]);
    from
}
