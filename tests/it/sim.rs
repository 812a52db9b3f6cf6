//! `dtn-cli sim`, as a user runs it.

use std::process::{Command, Output};

use serde_json::Value;

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dtn-cli")).arg("sim").args(arguments).output().expect("dtn-cli runs")
}

fn json(arguments: &[&str]) -> Value {
    let output = sim(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_run_tells_what_it_took_and_is_the_same_again() {
    let arguments = ["pbft", "--nodes", "20", "--latency", "350ms", "--bandwidth", "30mbps", "--seed", "7"];
    let [first, again] = [json(&arguments), json(&arguments)];
    assert_eq!((&first["verdict"], &first["view"]), (&"pass".into(), &0.into()));
    assert_eq!(first["digest"], again["digest"]);
    assert_eq!(first["by_kind"]["commit"]["messages"], 20 * 19);
    assert_eq!((&first["rounds"], first["replicas"].as_array().map(Vec::len)), (&4.into(), Some(20)));
    let replicas = first["replicas"].as_array().expect("replicas");
    let sent: u64 = replicas.iter().filter_map(|replica| replica["sent_bytes"].as_u64()).sum();
    let over_time = first["bytes_over_time"].as_array().expect("buckets");
    let left: u64 = over_time.iter().filter_map(|bucket| bucket[1].as_u64()).sum();
    // What was still to leave when all had decided is missing.
    assert!(left <= sent && left * 10 > sent * 9, "{left} of {sent}");
    let [first, all, client] =
        ["decided_first_ms", "decided_all_ms", "replied_ms"].map(|figure| first[figure].as_f64().expect("a number"));
    assert!(first < all && first < client && client < 5_000.0, "{first} {all} {client}");
    assert_ne!(json(&["pbft", "--nodes", "20", "--seed", "8"])["digest"], again["digest"]);
}

#[test]
fn liars_that_are_tolerated_are_survived_and_more_are_refused() {
    for behaviour in ["equivocator", "silent", "slow", "forger", "false-certifier"] {
        let run = json(&["pbft", "--nodes", "7", "--byzantine", "2", "--behaviour", behaviour, "--blocks", "5"]);
        assert_eq!(run["verdict"], "pass", "{behaviour}");
    }
    let refused = sim(&["pbft", "--nodes", "7", "--byzantine", "3"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("tolerate 2 liars at most"));
}

#[test]
fn impossible_networks_are_refused_by_name() {
    for (argument, reason) in [
        ("--nodes=0", "4 to 1000"),
        ("--nodes=1001", "4 to 1000"),
        ("--latency=-5ms", "latency"),
        ("--latency=1h", "more than 60 s"),
        ("--bandwidth=fast", "no bandwidth"),
        ("--loss=1", "share"),
        ("--behaviour=kind", "equivocator"),
        ("--behaviour=silent", "--byzantine"),
        ("--region=sydney", "write sydney:3"),
        ("--region=atlantis:4", "there are virginia"),
        ("--region=sydney:3", "4 to 1000"),
        ("--crash=9@1s", "there is no replica 9"),
        ("--crash=0@soon", "write a time"),
        ("--partition=3s..1s:0", "ends before it begins"),
        ("--partition=1s..3s:sydney", "no replica is in"),
        ("--synchrony=synchronous", "delta is needed"),
        ("--scheduler=target-primary", "delta is needed"),
        ("--synchrony=sometimes", "unknown variant"),
        ("--max-events=0", "shows nothing"),
        ("--blocks=0", "1 to 10,000 blocks"),
        ("--view-timeout=0s", "a millisecond at least"),
        ("--view-timeout=500000000years", "30 days at most"),
        ("--transaction-bytes=99999999999", "1 GiB"),
        ("--transactions=1000000000000", "1000000 at most"),
    ] {
        let refused = sim(&["pbft", argument]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(reason), "{argument}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// A file that is removed with its folder.
fn temporary(name: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join(name).to_str().expect("a path of text").to_string();
    (folder, path)
}

#[test]
fn three_of_ten_replicas_in_sydney_on_a_thin_link_are_late_and_hold_nobody_up() {
    let run = json(&[
        "pbft",
        "--nodes",
        "10",
        "--region",
        "frankfurt:7",
        "--region",
        "sydney:3@10mbps",
        "--transactions=1000",
    ]);
    assert_eq!(run["verdict"], "pass");
    let [first, all] = ["decided_first_ms", "decided_all_ms"].map(|figure| run[figure].as_f64().expect("a number"));
    // 133 ms one way and 310,000 B at 10 Mbit/s.
    assert!(first < 30.0 && (381.0..420.0).contains(&all), "{first} {all}");
}

#[test]
fn every_scenario_of_the_folder_ends_as_it_says() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path()).collect();
    // Those of training orders are in a folder of their own, and played where their rules are.
    files.retain(|file| file.is_file());
    files.sort();
    assert!(files.len() >= 10, "{}", files.len());
    for file in files {
        let mined = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("nakamoto-"));
        let protocol = if mined { "nakamoto" } else { "pbft" };
        let output = sim(&[protocol, file.to_str().expect("text"), "--json"]);
        let run: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let stands_still = ["target-primary.toml", "second-vote.toml"].iter().any(|name| file.ends_with(name));
        let expected = if stands_still { "no progress" } else { "pass" };
        assert_eq!(run["verdict"], expected, "{}: {run}", file.display());
        assert_eq!(output.status.success(), expected == "pass");
        assert!(run["about"].as_str().is_some_and(|about| about.len() > 40), "{} teaches nothing", file.display());
    }
}

#[test]
fn miners_are_played_and_measured_and_a_recorded_run_of_theirs_is_shown() {
    let (_folder, file) = temporary("run.toml");
    let arguments = ["nakamoto", "--shares=70,10,10,10", "--byzantine=1", "--behaviour=withholder", "--blocks=50"];
    let run = json(&[&arguments[..], &["--block-interval=1s", "--confirmations=3", "--record", &file]].concat());
    assert_eq!(run["verdict"], "pass");
    let mining = &run["mining"];
    let figure = |name: &str| mining[name].as_f64().expect(name);
    assert!((0.7..1.6).contains(&(figure("mean_interval_ms") / 1e3)), "{mining}");
    assert!(figure("fork_rate") > 0.1 && figure("reorganizations") > 5.0 && figure("finals") >= 50.0, "{mining}");
    assert!(run["decision_ms"]["p50"].as_f64() < run["decision_ms"]["p99"].as_f64());

    let shown = sim(&["replay", &file]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success() && text.contains("finds height 1") && text.contains("for a chain with more work"));

    // A file of miners is theirs, and what it says can be changed.
    let refused = sim(&["pbft", &file]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("dtn-cli sim nakamoto"));
    let other = json(&["nakamoto", &file, "--confirmations=2", "--seed=1"]);
    assert_eq!(other["mining"]["confirmations"], 2);
    for (argument, reason) in [
        ("--block-interval=1ms", "mining.block_interval"),
        ("--confirmations=0", "mining.confirmations"),
        ("--expected-hashes=0", "mining.expected_hashes"),
        ("--hash-rate=-1", "mining.hash_rate"),
        ("--shares=1,2", "mining.shares"),
        ("--secret=0", "mining.secret"),
        ("--rate-change=1h", "write 1h:10"),
        ("--rate-change=1h:0", "mining.change.0.factor"),
    ] {
        let refused = sim(&["nakamoto", argument]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(reason), "{argument}: {said}");
    }
}

#[test]
fn a_file_and_options_say_the_same_and_options_win() {
    let options = ["pbft", "--nodes=7", "--latency=normal:40ms,5ms", "--crash=0@1s+2s", "--blocks=9", "--every=300ms"];
    let printed = sim(&[&options[..], &["--print-scenario"]].concat());
    let (_folder, file) = temporary("scenario.toml");
    std::fs::write(&file, &printed.stdout).expect("written");
    let [by_options, by_file] = [json(&options), json(&["pbft", &file])];
    assert_eq!(by_options["digest"], by_file["digest"]);
    let changed = json(&["pbft", &file, "--nodes=10", "--seed=3"]);
    assert_eq!((&changed["nodes"], &changed["seed"]), (&10.into(), &3.into()));

    let broken = String::from_utf8(printed.stdout).expect("text").replace("replica = 0", "replica = 70");
    std::fs::write(&file, &broken).expect("written");
    let refused = sim(&["pbft", &file]);
    let said = String::from_utf8_lossy(&refused.stderr);
    let line = broken.lines().position(|line| line.contains("replica = 70")).expect("it is there") + 1;
    assert!(said.contains(&format!("line {line}: crash.0.replica: there is no replica 70")), "{said}");
}

#[test]
fn a_recorded_run_is_shown_message_by_message_and_another_one_is_told() {
    let (_folder, file) = temporary("run.toml");
    let run = json(&["pbft", "--nodes=4", "--byzantine=1", "--behaviour=equivocate", "--record", &file]);
    let shown = sim(&["replay", &file]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(
        shown.status.success() && text.contains("decides height 1") && text.contains("-> 2      prepare"),
        "{text}"
    );
    assert!(text.trim_end().ends_with(&format!("digest {})", run["digest"].as_str().expect("text"))), "{text}");
    let commits = sim(&["replay", &file, "--kind", "commit", "--replica", "2", "--json"]);
    let commits: Vec<Value> = String::from_utf8_lossy(&commits.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (ended, commits) = commits.split_last().expect("lines");
    assert_eq!(ended["ended"]["run"]["digest"], run["digest"]);
    assert!(!commits.is_empty());
    for commit in commits {
        let message = &commit["what"]["delivered"];
        assert!(message["kind"] == "commit" && (message["from"] == 2 || message["to"] == 2), "{commit}");
    }
    assert_eq!(String::from_utf8_lossy(&sim(&["replay", &file, "--last", "3"]).stdout).lines().count(), 4);

    let recorded = std::fs::read_to_string(&file).expect("a file");
    for (from, to, reason) in [
        ("seed = 0", "seed = 1", "records another run"),
        ("events = ", "events = x", "is no scenario"),
        ("[recorded]", "[recordet]", "unknown field"),
        ("verdict = \"pass\"\n", "", "missing field"),
    ] {
        assert!(recorded.contains(from), "{from}");
        std::fs::write(&file, recorded.replacen(from, to, 1)).expect("written");
        let refused = sim(&["replay", &file, "--last", "1"]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && said.contains(reason), "{to}: {said}");
    }
    std::fs::write(&file, [0xff, 0xfe, 0]).expect("written");
    assert!(String::from_utf8_lossy(&sim(&["replay", &file]).stderr).contains("cannot read"));
}

#[test]
fn a_page_of_several_runs_needs_nothing_but_itself() {
    let (_folder, file) = temporary("page.html");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let [sydney, attack] = ["sydney", "equivocation"].map(|name| format!("{folder}/{name}.toml"));
    let output = sim(&["pbft", &sydney, &attack, "--html", &file]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("sydney") && table.contains("equivocation"), "{table}");
    let page = std::fs::read_to_string(&file).expect("a file");
    let sections: Vec<_> = page.split("<article>").skip(2).collect();
    let named = ["Comparison", "sydney", "equivocation"].map(|name| format!("<h2>{name}</h2>"));
    assert!(sections.len() == 3 && sections.iter().zip(&named).all(|(section, name)| section.contains(name)), "{page}");
    for section in &sections[1..] {
        assert!(section.contains("Bytes by replica") && section.contains("a view without a decision"), "{section}");
    }
    for shown in ["Comparison", "Messages one by one", "Sent over time", "Bytes by type", "frankfurt", "decides 1"] {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(!page.contains("http") && !page.contains("<script"), "it refers to something outside");
}

#[test]
fn a_sweep_that_was_stopped_goes_on_where_it_stopped() {
    let (_folder, file) = temporary("runs.csv");
    let sweep = |seeds: &str| {
        let network = ["sweep", "--nodes=7", "--byzantine=2", "--loss=0.2", "--gst=3s", "--blocks=3"];
        json(&[&network[..], &["--seeds", seeds, "--csv", &file]].concat())
    };
    assert_eq!(sweep("5")["verdicts"]["pass"], 5);
    let before = std::fs::read_to_string(&file).expect("a file");
    // A run that is in the file is not played again.
    let marked = before.replacen(&digest_of(&before), "not played again", 1);
    std::fs::write(&file, &marked).expect("written");
    assert_eq!(sweep("8")["runs"], 8);
    let after = std::fs::read_to_string(&file).expect("a file");
    assert!(after.starts_with(&marked) && after.lines().count() == 9, "{after}");
    let seeds: std::collections::BTreeSet<_> = after.lines().skip(1).filter_map(|row| row.split(',').nth(1)).collect();
    assert_eq!(seeds.len(), 8, "each once: {after}");

    // The last line was not written to its end: its seed is played again.
    std::fs::write(&file, &after[..after.len() - 7]).expect("written");
    assert_eq!(sweep("8")["runs"], 8);
    assert_eq!(std::fs::read_to_string(&file).expect("a file").lines().count(), 9);

    let other = sim(&["sweep", "--nodes=10", "--seeds=1", "--csv", &file]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("the runs of another scenario"));
    std::fs::write(&file, "not,a,sweep\n1,2,3\n").expect("written");
    let refused = sim(&["sweep", "--seeds", "1", "--csv", &file]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not a sweep's file"));
}

#[test]
fn a_sweep_leaves_a_file_that_is_not_its_own_as_it_is() {
    let (_folder, file) = temporary("notes.txt");
    let begun = "scenario,seed,verdict,decided_all_ms,replied_ms,view,messages,bytes,events,digest\nmy other notes";
    for notes in ["my only notes", "my only notes\n", "my notes\nand more", begun] {
        std::fs::write(&file, notes).expect("written");
        let refused = sim(&["sweep", "--seeds", "2", "--nodes", "4", "--csv", &file]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(1) && said.contains("is not a sweep's file"), "{said}");
        assert_eq!(std::fs::read_to_string(&file).expect("a file"), notes);
    }
    // A sweep that was stopped while it wrote its first line had begun it.
    std::fs::write(&file, "scenario,seed,ver").expect("written");
    assert_eq!(json(&["sweep", "--seeds", "2", "--nodes", "4", "--csv", &file])["runs"], 2);
    assert_eq!(std::fs::read_to_string(&file).expect("a file").lines().count(), 3);
}

#[test]
fn a_sweep_in_which_chance_chooses_everything_goes_on_where_it_stopped() {
    let (_folder, file) = temporary("runs.csv");
    let sweep = |from: &str, seeds: &str| {
        json(&["sweep", "--random", "--from", from, "--seeds", seeds, "--csv", &file])["runs"].clone()
    };
    assert_eq!(sweep("3", "4"), 4);
    let before = std::fs::read_to_string(&file).expect("a file");
    let mut seeds: Vec<_> = before.lines().skip(1).filter_map(|row| row.split(',').nth(1)).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, ["3", "4", "5", "6"], "each can be run again by --from: {before}");
    assert_eq!(sweep("3", "4"), 4);
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), before, "nothing is played again");
}

#[test]
fn what_a_run_would_write_over_stays_until_it_is_done() {
    let (_folder, file) = temporary("page.html");
    std::fs::write(&file, "the page of yesterday").expect("written");
    let refused = sim(&["pbft", "--nodes", "4", "--html", &file, "--record", "/no/such/folder/run.toml"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "the page of yesterday");
}

/// The last column of the first run.
fn digest_of(runs: &str) -> String {
    let row = runs.lines().nth(1).expect("a run");
    row.rsplit(',').next().expect("a column").to_string()
}

#[test]
fn a_sweep_makes_the_first_run_that_fails_small_and_a_replay_shows_it() {
    let (_folder, file) = temporary("failed.toml");
    let network = ["sweep", "--nodes=7", "--synchrony=asynchronous", "--scheduler=target-primary", "--blocks=8"];
    let more = ["--loss=0.1", "--jitter=20ms", "--crash=3@1s+1s", "--stop-after=30s", "--seeds=2", "--failed", &file];
    let failed = sim(&[&network[..], &more].concat());
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(failed.status.code() == Some(1) && said.contains("seed 0 fails") && said.contains("no progress"), "{said}");
    let smallest = std::fs::read_to_string(&file).expect("a file");
    assert!(smallest.contains("blocks = 1\n") && smallest.contains("loss = 0.0"), "{smallest}");
    assert!(!smallest.contains("[[crash]]") && smallest.contains("target-primary"), "{smallest}");
    let shown = sim(&["replay", &file, "--last", "5"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("nothing was decided"), "{shown:?}");
    assert!(shown.status.success(), "it is the run that was recorded");
}

#[test]
fn chance_may_choose_everything() {
    for engine in ["pbft", "nakamoto"] {
        let summary = json(&["sweep", "--random", "--engine", engine, "--seeds", "30"]);
        assert_eq!((&summary["runs"], &summary["verdicts"]["pass"]), (&30.into(), &30.into()), "{engine}");
    }
}

#[test]
fn the_published_table_is_reproduced_where_its_links_are_slow() {
    let cells = json(&["pot-table"]);
    let mut compared = 0;
    for cell in cells.as_array().expect("cells") {
        let (Some(published), Some(ours)) = (cell["published_s"].as_f64(), cell["fpbft_s"].as_f64()) else { continue };
        // The row that is labelled 5,000 has the times of 500; and nothing explains 7.215 s for 10,000 at 30 Mbit/s.
        let transactions = cell["transactions"].as_u64().expect("a number");
        if transactions >= 5000 {
            continue;
        }
        let tolerated = if cell["mbps"] == 0.1 { 0.05 } else { 0.20 };
        assert!((ours / published - 1.0).abs() <= tolerated, "{cell}");
        compared += 1;
    }
    assert_eq!(compared, 18);
}

#[test]
fn accounts_with_strategies_play_training_orders_and_what_makes_no_sense_is_refused() {
    let (_folder, page) = temporary("run.html");
    let arguments = ["train", "--nodes=40", "--orders=20", "--deviate=forger:0.1", "--deviate", "lazy:0.1", "--seed=3"];
    let [first, again] = [json(&[&arguments[..], &["--html", &page]].concat()), json(&arguments)];
    assert_eq!(first, again);
    assert_eq!((&first["won"], &first["forged"]), (&20.into(), &0.into()));
    let lines = first["lines"].as_array().expect("lines");
    let of = |strategy: &str| lines.iter().find(|line| line["strategy"] == strategy).expect(strategy);
    assert!(of("forger")["payoff"].as_f64().expect("a number") < -0.2 && of("lazy")["caught"] == 1.0, "{first}");
    let page = std::fs::read_to_string(page).expect("a page");
    assert!(page.contains("<svg") && page.contains("forger, worker"), "{page}");
    assert_eq!(json(&["train", "--sweep=20"])["broken"], 0);
    for (argument, reason) in [
        ("--nodes=5", "6 to 1000"),
        ("--deviate=saint:0.1", "test-trainer"),
        ("--deviate=forger", "write forger:0.05"),
        ("--deviate=forger:2", "give 0 to 1"),
        ("--tactic=pray", "stay, quit, denounce"),
        ("--stake=0.05", "a stake of a worker"),
        ("--redundancy=0", "auditors"),
        ("--colluders=nan", "colluders"),
        ("--run-cost=0.9", "a reward of"),
        ("--latency=1h", "latency"),
        ("--orders=0", "orders"),
        ("--sweep=0", "--sweep 0"),
    ] {
        let refused = sim(&["train", argument]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(reason), "{argument}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
