//! Races on real processes: the seed's command, what comes over line ports, and the ledger that follows.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::common::{Scene, free_port_range, race::Serving, succeed, text, wait_until};

const RECEIVED: &str = "Transaction received. Processing POW...";

/// A netcat in bash, for machines without one: sends its input and prints what comes until the other end closes.
const NETCAT: &str = "#!/usr/bin/env bash\nexec 3<>\"/dev/tcp/$1/$2\" || exit 1\ncat >&3\ntimeout 1 head -n 1 <&3\n";

/// Runs the command of the seed's users, with these ports, and gives what it prints.
fn send_as_the_seeds_users(folder: &Path, ports: &[u16]) -> String {
    let command = "echo \"Your transaction data\" | \
        tee >(nc localhost 5000) >(nc localhost 5001) >(nc localhost 5002) > /dev/null";
    let command = ["5000", "5001", "5002"].iter().zip(ports).fold(command.to_string(), |command, (port, ours)| {
        command.replace(&format!("localhost {port}"), &format!("127.0.0.1 {ours}"))
    });
    // A substituted process is not waited for, but holds the output open.
    let mut bash = Command::new("bash");
    bash.args(["-c", &command]);
    if Command::new("nc").arg("-h").output().is_err() {
        let (netcat, search) = (folder.join("nc"), std::env::var("PATH").unwrap());
        fs::write(&netcat, NETCAT).unwrap();
        fs::set_permissions(&netcat, fs::Permissions::from_mode(0o755)).unwrap();
        bash.env("PATH", format!("{}:{search}", folder.display()));
    }
    succeed(&mut bash)
}

/// Sends bytes to a port, ends, and gives what is answered.
fn send(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut writer, bytes) = (stream.try_clone().unwrap(), bytes.to_vec());
    let writing = std::thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    writing.join().unwrap();
    answer
}

#[test]
fn the_seeds_command_gives_one_entry_on_every_peer_and_the_ledger_outlives_them() {
    let scene = Scene::new();
    let first = free_port_range(3);
    let ports = [first, first + 1, first + 2];
    let mut serving = Serving::start(&scene, &ports, 2);
    assert!(serving.said().contains("to vote and not to race: Node4"), "{}", serving.said());
    assert_eq!(send_as_the_seeds_users(scene.folder.path(), &ports), format!("{RECEIVED}\n").repeat(3));
    serving.wait_for(1);
    assert_eq!(send_as_the_seeds_users(scene.folder.path(), &ports), format!("{RECEIVED}\n").repeat(3));
    let entries = serving.wait_for(2);
    for (number, entry) in (1..).zip(&entries) {
        assert_eq!(entry["number"], number);
        assert_eq!(entry["payload"]["line"]["data"], "0x596f7572207472616e73616374696f6e2064617461");
        assert!(entry["hash"].as_str().unwrap().starts_with("0x0000"), "{entry}");
        assert_ne!(entry["node"], "Node4", "it does not race");
    }
    for peer in ["0", "1", "2", "3"] {
        wait_until("each peer has the same ledger", || {
            scene.json(&["pow", "ledger", "--peer", peer]) == Value::from(entries.clone())
        });
    }
    let running = scene.ok(&["pow", "ledger", "--format", "jsonl"]);
    serving.stop();

    // The peers are gone, and their stores tell the same.
    assert_eq!(scene.ok(&["pow", "ledger", "--format", "jsonl"]), running);
    assert!(scene.ok(&["pow", "ledger"]).contains("Your transaction data"));
    let comparison = scene.json(&["pow", "report", "--html", scene.path("races.html").to_str().unwrap()]);
    assert_eq!(comparison["races"], 2);
    let won: Vec<_> =
        comparison["nodes"].as_array().unwrap().iter().map(|node| node["won"].as_u64().unwrap()).collect();
    assert_eq!((won.len(), won.iter().sum::<u64>(), won[3]), (4, 2, 0));
    assert!(fs::read_to_string(scene.path("races.html")).unwrap().contains("<svg"));

    // It goes on where it was.
    let mut serving = Serving::start(&scene, &ports, 2);
    assert!(serving.said().contains("2 entries so far"), "{}", serving.said());
    assert_eq!(send(ports[0], b"one more"), format!("{RECEIVED}\n"));
    let more = serving.wait_for(1);
    assert_eq!((&more[0]["number"], &more[0]["previous"]), (&Value::from(3), &entries[1]["entry_hash"]));

    // A peer that ends is missed, and the others go on.
    scene.kill(3);
    wait_until("it says so", || serving.said().contains("Node4 has ended"));
    assert_eq!(send(ports[1], b"without it"), format!("{RECEIVED}\n"));
    serving.wait_for(2);
    scene.ok(&["l1", "up"]);
    scene.kill_all(&[2, 3]);
    wait_until("it says what that means", || serving.said().contains("2 peers run and 3 are a quorum"));
    serving.stop();
    checked_files(&scene);
}

/// What becomes of files of the ledger, right and wrong ones.
fn checked_files(scene: &Scene) {
    let file = scene.path("ledger.jsonl");
    let file = file.to_str().unwrap();
    scene.ok(&["pow", "ledger", "--format", "jsonl", "--out", file]);
    let genesis = scene.home().join("genesis.json");
    let genesis = genesis.to_str().unwrap();
    assert!(scene.ok(&["pow", "ledger", "--check", file, "--genesis", genesis]).contains("4 entries are right"));
    let good = fs::read_to_string(file).unwrap();
    let lines: Vec<_> = good.lines().collect();
    let cases = [
        (good.replacen("Node", "Mode", 2), "entry 1 is wrong: its content hashes to"),
        ([lines[0], lines[2]].join("\n"), "entry 2 is wrong: it has the number 3"),
        (good[..good.len() - 20].to_string(), "entry 4 is wrong: it is no entry"),
        (format!("{}\n\0\u{fffd}garbage\n", lines[0]), "entry 2 is wrong: it is no entry"),
    ];
    for (bad, what) in cases {
        fs::write(file, &bad).unwrap();
        let message = scene.refused(&["pow", "ledger", "--check", file]);
        assert!(message.contains(what), "{message}");
        assert_eq!(fs::read_to_string(file).unwrap(), bad, "it is left as it is");
    }

    let seed = scene.path("ledger.json");
    scene.ok(&["pow", "ledger", "--format", "seed-json", "--out", seed.to_str().unwrap()]);
    let ours = fs::read_to_string(&seed).unwrap();
    let python = "import json, sys; sys.stdout.write(json.dumps(json.load(open(sys.argv[1])), indent=4))";
    match Command::new("python3").args(["-c", python]).arg(&seed).output() {
        Ok(theirs) => assert_eq!(text(&theirs.stdout), ours, "{}", text(&theirs.stderr)),
        Err(_) => crate::common::skip("python writes the ledger again", "there is no python3"),
    }
    let parsed: Value = serde_json::from_str(&ours).unwrap();
    assert_eq!(parsed.as_array().unwrap().len(), 4);
    assert_eq!(parsed[2]["transaction_data"], "one more");
}

#[test]
fn binary_long_and_many_lines_each_have_their_entry_or_are_refused_in_words() {
    let scene = Scene::new();
    let first = free_port_range(4);
    let ports = [first, first + 1, first + 2, first + 3];
    let mut serving = Serving::start(&scene, &ports, 1);
    let many: String = (0..300).map(|line| format!("line {line}\r\n")).collect();
    assert_eq!(send(ports[0], many.as_bytes()), format!("{RECEIVED}\n").repeat(300));
    let odd = [b"\xff\0\xfe\n\n".as_slice(), &[b'x'; 8192], b"\n", &[b'y'; 8193], b"\nlast"].concat();
    let refused = "error: a line has more than 8192 bytes and was not taken";
    assert_eq!(send(ports[3], &odd), [RECEIVED, RECEIVED, refused, RECEIVED, ""].join("\n"));
    let entries = serving.wait_for(303);
    let mut data: Vec<_> = entries.iter().map(|entry| entry["payload"]["line"]["data"].as_str().unwrap()).collect();
    data.sort_unstable();
    data.dedup();
    assert_eq!(data.len(), 303);
    assert!(data.contains(&"0xff00fe") && data.contains(&format!("0x{}", "78".repeat(8192)).as_str()));
    serving.stop();
    let table = scene.ok(&["pow", "ledger"]);
    assert!(table.contains("xxx…") && table.contains("\\0"), "what would move the cursor is escaped");
}

#[test]
fn what_cannot_be_served_is_refused_before_anything_starts() {
    let scene = Scene::new();
    let home = scene.home();
    let refused =
        |arguments: &[&str]| scene.refused(&[&["pow", "serve", "--home", home.to_str().unwrap()], arguments].concat());
    let said = refused(&["--difficulty", "8"]);
    assert!(said.contains("races of difficulty 8 take too long") && said.contains("years"), "{said}");
    assert!(refused(&["--ports", "7,7"]).contains("different ports"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert!(refused(&["--ports", &port]).contains(&format!("127.0.0.1:{port} cannot be had")));
    assert!(!home.exists());
    assert_eq!(scene.run(&["pow", "serve", "--difficulty", "0"]).status.code(), Some(2));
    assert!(scene.refused(&["pow", "ledger"]).contains("there is no network"));
    assert!(scene.refused(&["pow", "ledger", "--check", "no/such/file"]).contains("no/such/file"));
}
