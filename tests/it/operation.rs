//! What an operator sees and does, on real processes: metrics, live blocks, a diagnosis, a clean stop.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::common::{Scene, signal, skip, succeed, text, wait_until};

/// Asks a peer for a page: the status and the body.
fn get(scene: &Scene, index: usize, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(scene.api(index)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split_whitespace().nth(1).unwrap().parse().unwrap(), body.to_string())
}

fn height_of(scene: &Scene, index: usize) -> Option<u64> {
    scene.statuses()[index].as_ref().map(|status| status.height)
}

/// Checks that a page is OpenMetrics text and gives a sample's value.
fn sample(page: &str, name: &str) -> f64 {
    assert!(page.ends_with("# EOF\n"), "{page}");
    let mut found = None;
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
        assert!(series.starts_with("dtn_"), "{line}");
        assert!(!series.contains('{') || series.ends_with("\"}"), "{line}");
        found = found.or((series == name).then_some(value));
    }
    found.unwrap_or_else(|| panic!("no {name} in\n{page}"))
}

#[test]
fn metrics_agree_with_the_status_and_the_log_stays_within_its_limit() {
    const LIMIT: u64 = 5_000;
    let scene = Scene::new();
    scene.init(4);
    let limit = LIMIT.to_string();
    succeed(scene.command(&["l1", "up"]).env("DTN_NODE_LOG__MAX_BYTES", limit).env("DTN_LOG", "debug"));
    scene.submit(20);
    wait_until("metrics and status agree", || {
        let (status, page) = get(&scene, 0, "/metrics");
        assert_eq!(status, 200);
        let height = sample(&page, "dtn_height");
        height > 0.0 && Some(height as u64) == height_of(&scene, 0)
    });
    let (_, page) = get(&scene, 0, "/metrics");
    assert_eq!(sample(&page, "dtn_decided_blocks_total"), sample(&page, "dtn_height"));
    assert_eq!(sample(&page, "dtn_decided_transactions_total"), 20.0);
    for name in [
        "dtn_connected{peer=\"1\"}",
        "dtn_frames_in_total{peer=\"1\"}",
        "dtn_bytes_out_total{peer=\"1\"}",
        "dtn_votes_sent_total{kind=\"commit\"}",
        "dtn_votes_received_total{kind=\"commit\"}",
        "dtn_durable_writes_total",
        "dtn_journal_records_total",
        "dtn_decide_latency_seconds_count",
        "dtn_step_seconds_count{step=\"persist\"}",
        "dtn_store_bytes",
        "dtn_process_resident_memory_bytes",
    ] {
        assert!(sample(&page, name) > 0.0, "{name}");
    }
    let (status, body) = get(&scene, 0, "/health");
    assert!(status == 200 && body.contains("linked to 3 of 3 other"), "{status} {body}");

    let log = |name: &str| fs::metadata(scene.peer(0).join(name)).map(|metadata| metadata.len());
    wait_until("the log is cut", || log("log.1").is_ok());
    assert!(log("log").unwrap() <= LIMIT && log("log.1").unwrap() <= LIMIT);

    (1..3).for_each(|peer| scene.kill(peer));
    wait_until("two of four are no quorum", || {
        let (status, body) = get(&scene, 0, "/health");
        status == 503 && body.contains("linked to 1 of 3 other validators, and needs 2")
    });
}

#[test]
fn a_peer_that_cannot_write_its_log_goes_on() {
    let scene = Scene::new();
    scene.init(4);
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        return skip("a_peer_that_cannot_write_its_log_goes_on", "this system has no /dev/full");
    };
    let mut command = scene.command(&["l1", "node"]);
    let mut peer =
        command.arg(scene.peer(0)).env("DTN_LOG", "trace").stdout(Stdio::null()).stderr(full).spawn().unwrap();
    wait_until("it answers", || {
        assert_eq!(peer.try_wait().unwrap(), None, "it ended");
        TcpStream::connect(scene.api(0)).is_ok()
    });
    // It has tried to say much by now.
    assert!(get(&scene, 0, "/health").1.contains("linked to 0 of 3 other validators, and needs 2"));
    assert_eq!(peer.try_wait().unwrap(), None, "it ended");
    peer.kill().unwrap();
    peer.wait().unwrap();
}

/// Lines of a process as JSON, as they come.
struct Lines {
    process: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Lines {
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn tail_prints_certified_blocks_in_order_and_goes_on_when_a_peer_dies() {
    let scene = Scene::up(4);
    scene.submit(3);
    let mut process = scene.command(&["l1", "tail", "--from", "1", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap());
    let mut tail = Lines { process, lines };
    let (mut height, mut transactions) = (0, 0);
    let mut parent = scene.json(&["l1", "status"])[0]["network_id"].clone();
    let mut take = |wanted: usize| {
        while transactions < wanted {
            let block = tail.next();
            height += 1;
            assert_eq!(block["height"], height);
            assert_eq!(block["header"]["parent_hash"], parent);
            assert_eq!(block["certificate"]["block_hash"], block["hash"]);
            assert!(block["certificate"]["signatures"].as_array().unwrap().len() >= 3);
            parent = block["hash"].clone();
            transactions += block["transactions"].as_array().unwrap().len();
        }
        assert_eq!(transactions, wanted);
    };
    take(3);
    // The first peer is the one that it follows.
    scene.kill(0);
    scene.submit(3);
    take(6);
}

#[test]
fn doctor_names_a_killed_peer_and_what_is_misconfigured() {
    let scene = Scene::up(4);
    let report = scene.json(&["l1", "doctor"]);
    assert_eq!(report["healthy"], true, "{report}");
    assert_eq!(report["findings"].as_array().unwrap().len(), 0, "{report}");

    scene.kill(2);
    let output = scene.run(&["l1", "doctor"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("problem: peer 2: it does not answer at"), "{said}");
    assert!(said.contains("its process is not running") && said.contains("l1 up --home"), "{said}");
    assert!(scene.run(&["l1", "doctor", "--peer", "1"]).status.success(), "nothing is wrong with the others");

    // Its port is taken, its password is everybody's, and it listens to the world.
    let _taken = TcpListener::bind(scene.api(2)).unwrap();
    let password = scene.home().join("password");
    fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let file = scene.peer(3).join("node.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, config.replace("api = \"127.0.0.1", "api = \"0.0.0.0")).unwrap();
    let output = scene.run(&["l1", "doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let of =
        |check: &str| findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("{report}"));
    assert!(of("answers")["what"].as_str().unwrap().contains("another program has"), "{report}");
    assert!(of("secrets")["next"].as_str().unwrap().contains("chmod 600"), "{report}");
    assert_eq!(of("exposure")["peer"], 3);

    // A variable that is no key, or no value.
    let output = scene.command(&["l1", "doctor"]).env("DTN_NODE_THREADS", "many").output().unwrap();
    let said = text(&output.stdout);
    assert!(
        output.status.code() == Some(1) && said.to_lowercase().contains("threads") && said.contains("[configuration]"),
        "{said}"
    );
}

#[test]
fn a_peer_that_is_asked_to_end_ends_well_and_its_store_opens_again() {
    let scene = Scene::up(4);
    scene.submit(5);
    wait_until("peer 2 has what was submitted", || {
        height_of(&scene, 2).is_some_and(|height| Some(height) == height_of(&scene, 0))
    });
    let height = height_of(&scene, 2);
    assert!(scene.ok(&["l1", "down"]).contains("4 peers stopped"));
    let log = fs::read_to_string(scene.peer(2).join("log")).unwrap();
    assert!(log.lines().last().unwrap().ends_with("stopped"), "{log}");

    // Alone, it knows only what is in its store.
    let mut child = scene
        .command(&[
            "l1",
            "node",
            scene.peer(2).to_str().unwrap(),
            "--log-format",
            "json",
            "--set",
            "view_timeout_ms=900",
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("peer 2 is up", || height_of(&scene, 2).is_some());
    assert_eq!(height_of(&scene, 2), height, "what was final is final after a clean stop");
    signal("-TERM", &[child.id().to_string()]);
    let began = Instant::now();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    let events: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.last().unwrap()["message"], "stopped");
    assert!(events.iter().all(|event| event["level"].is_string() && event["timestamp"].is_string()));
}
