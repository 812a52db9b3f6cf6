//! What Ctrl-C does to commands that see to it and to those that do not.

use std::{
    fs,
    io::Read,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::common::{Scene, signal, wait_until};

/// Starts a command with its standard output in a pipe.
fn started(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Interrupts a command; its exit code and what it has printed.
fn interrupted(mut child: Child) -> (Option<i32>, String) {
    signal("-INT", &[child.id().to_string()]);
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    (child.wait().unwrap().code(), printed)
}

/// Whether a process takes the signal in its own way by now: it is among those that it catches.
fn catches(child: &Child) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim().to_string();
    u64::from_str_radix(&caught, 16).unwrap() & 0b10 != 0
}

#[test]
fn what_is_interrupted_fails_as_everything_else_does_and_following_is_done() {
    let scene = Scene::up(4);
    scene.submit(1);
    let busy = ["aow", "iterate", "--start", "1", "--steps", "4294967296", "--json"];
    for arguments in [&["sim", "sweep", "--seeds", "10000000", "--json"][..], &busy] {
        let child = started(&mut scene.command(arguments));
        wait_until("it catches the signal", || catches(&child));
        let (ended, printed) = interrupted(child);
        assert_eq!(ended, Some(1), "{arguments:?}: {printed}");
        let error: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
        assert_eq!(error["error"]["code"], "interrupted", "{arguments:?}");
    }
    for arguments in [&["l1", "tail", "--from", "1"][..], &["l1", "status", "--watch", "1s"]] {
        let mut child = started(&mut scene.command(arguments));
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert_eq!(interrupted(child).0, Some(0), "{arguments:?}");
    }
}

#[test]
fn a_demo_that_is_interrupted_at_its_start_leaves_nothing() {
    let scene = Scene::new();
    let temporary = scene.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let orders = scene.orders("orders.jsonl", &[r#"{"dataset":"a","model":"b","metric":"c"}"#]);
    let child = started(scene.command(&["demo", "--transactions", &orders, "--nodes", "40"]).env("TMPDIR", &temporary));
    let drafts = || {
        let networks = fs::read_dir(&temporary).unwrap().flatten();
        networks.flat_map(|network| fs::read_dir(network.path()).unwrap().flatten()).count()
    };
    wait_until("it makes keys", || drafts() > 0);
    let (ended, printed) = interrupted(child);
    assert_eq!((ended, fs::read_dir(&temporary).unwrap().count()), (Some(1), 0), "{printed}");
}
