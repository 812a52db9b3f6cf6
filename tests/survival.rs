//! What an operator's night is made of, on real processes: peers that are killed, restarted, cut off, out of disk or out
//! of time, and stores that are lost. Each test ends with all peers at one tip, nobody caught lying, and every order
//! final exactly once.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use dtn_node::Status;

use common::{Load, Scene, lan::Lan, skip, wait_until};

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
        scene.start(peer, &lan.on_host(peer), &[]);
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
