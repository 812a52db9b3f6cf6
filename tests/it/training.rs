//! Training orders on real processes: peers with `train = true`, providers without a peer, and cheats.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use dtn_keys::{KeyInfo, Password};
use dtn_primitives::{Address, SecretKey};
use dtn_testbed::Home;
use serde_json::Value;

use crate::common::{ROOT, Scene, skip, text};

const ETHER: u128 = 1_000_000_000_000_000_000;

/// A network whose peers train, one of them lazily, and keys of accounts beside them.
struct Market {
    scene: Scene,
}

/// A command that goes on until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Market {
    fn open(lazy: Option<usize>) -> Self {
        Self::with(|peer| if lazy == Some(peer) { "train_behaviour = \"lazy\"".into() } else { String::new() })
    }

    /// One whose peers have lines more in their configuration.
    fn with(line: impl Fn(usize) -> String) -> Self {
        let scene = Scene::new();
        scene.init(4);
        for peer in 0..4 {
            scene.set_key(peer, "threads", &format!("1\ntrain = true\n{}", line(peer)));
        }
        scene.ok(&["l1", "up"]);
        Self { scene }
    }

    fn keys(&self) -> String {
        self.scene.home().join("keys").to_str().unwrap().into()
    }

    fn key(&self, name: &str) -> SecretKey {
        let password = Password::from_file(&self.scene.home().join("password")).unwrap();
        KeyInfo::at(&self.scene.home().join("keys").join(format!("{name}.json"))).unwrap().unlock(&password).unwrap()
    }

    /// Makes an account beside those of the network.
    fn account(&self, name: &str) -> Address {
        let password = self.scene.home().join("password");
        let keys = self.keys();
        let made = ["keys", "generate", "--keys", &keys, "--password-file", password.to_str().unwrap(), "--name", name];
        self.scene.ok(&made);
        self.key(name).address()
    }

    /// Gives the validators and accounts ten ether each.
    fn fund(&self, accounts: &[Address]) {
        let home = Home::new(self.scene.home());
        let validators = (0..4).map(|peer| self.scene.status(peer).address);
        let all: Vec<_> = validators.chain(accounts.iter().copied()).collect();
        let credit = dtn_testbed::training::credit(&home, &all, 10 * ETHER);
        tokio::runtime::Runtime::new().unwrap().block_on(credit).unwrap();
    }

    fn command(&self, arguments: &[&str], name: &str) -> Command {
        let password = self.scene.home().join("password");
        let mut command = self.scene.command(arguments);
        command.args(["--from", name, "--keys", &self.keys(), "--password-file", password.to_str().unwrap()]);
        command
    }

    /// Has an account train for whatever is ordered.
    fn provider(&self, name: &str, behaviour: &str) -> Running {
        let mut command = self.command(&["train", "claim", "--be", behaviour], name);
        Running(command.stdout(Stdio::null()).spawn().unwrap())
    }

    /// Has an account train by a program of its own. What it says is in a file.
    fn own_trainer(&self, name: &str, trainer: &Path) -> Running {
        let mut command = self.command(&["train", "claim", "--trainer", trainer.to_str().unwrap(), "--json"], name);
        Running(command.stdout(fs::File::create(self.scene.path(name)).unwrap()).spawn().unwrap())
    }

    fn client(&self) -> Address {
        self.scene.client().parse().unwrap()
    }
}

fn addresses(found: &Value, of: &str, condition: impl Fn(&Value) -> bool) -> Vec<Address> {
    let all = found[of].as_array().unwrap().iter().filter(|one| condition(one));
    all.map(|one| one[if of == "claims" { "worker" } else { "account" }].as_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn an_order_from_the_command_line_is_trained_checked_and_paid_and_cheats_lose_what_they_had_at_stake() {
    let market = Market::open(Some(3));
    let [honest, thief, other] = ["worker-01", "worker-02", "worker-03"].map(|name| market.account(name));
    market.fund(&[market.client(), honest, thief, other]);
    let _providers = [
        market.provider("worker-01", "honest"),
        market.provider("worker-02", &format!("thief:{honest}")),
        market.provider("worker-03", "honest"),
    ];
    let order = [
        "train",
        "order",
        "digits",
        "--linear",
        "--epochs",
        "4",
        "--learning-rate",
        "0.1",
        "--segment-steps",
        "40",
        "--reward",
        "1ether",
        "--baseline",
        "0.8",
        "--claims",
        "3",
        "--committee",
        "4",
        "--redundancy",
        "3",
        "--beacon",
        "block",
    ];
    let found = market.scene.json(&order);
    assert_eq!(found["ending"]["ending"], "final", "{found:#}");
    let winner: Address = found["ending"]["worker"].as_str().unwrap().parse().unwrap();
    assert!([honest, other].contains(&winner), "{found:#}");
    let peers = (0..4).map(|peer| market.scene.status(peer).address).collect::<Vec<_>>();
    let is_out = |one: &Value| !one["fault"].is_null();
    assert_eq!(addresses(&found, "committee", is_out), [peers[3]], "{found:#}");

    // What the peers answer afterwards, and why.
    let id = found["order"].as_str().unwrap();
    assert_eq!(market.scene.json(&["train", "status", id]), found);
    let over = market.scene.json(&["train", "status", "--over"]);
    assert_eq!(over["orders"][0]["winner"].as_str().unwrap().parse::<Address>().unwrap(), winner);
    let explain = |account: Address| market.scene.json(&["train", "explain", id, "--account", &account.to_string()]);
    let (won, stranger) = (explain(winner), explain(Address::repeat_byte(9)));
    let prize = |paid: &Value| paid["why"].as_str().unwrap().contains("the prize");
    assert!(won["paid"].as_array().unwrap().iter().any(prize), "{won:#}");
    assert!(stranger["took_part"] == false && stranger["rules"].as_array().unwrap().is_empty(), "{stranger:#}");
    let said = market.scene.ok(&["train", "explain", id, "--account", &peers[3].to_string()]);
    assert!(said.contains("no") && said.contains("shows no"), "{said}");

    // All of it, for those who have nothing of ours.
    let out = market.scene.path("export");
    market.scene.ok(&["train", "export", id, "--out", out.to_str().unwrap()]);
    for file in ["order.json", "data.dtd", "fold.dtd", "opening.bin", "claim-0/model.dtm", "claim-0/model.onnx"] {
        assert!(fs::metadata(out.join(file)).is_ok_and(|file| file.len() > 0), "{file}");
    }
    let refused = market.scene.refused(&["train", "status", &format!("{:#x}", dtn_primitives::B256::repeat_byte(1))]);
    assert!(refused.contains("knows no order"), "{refused}");
}

#[test]
fn where_only_scores_count_a_trainer_of_ones_own_beats_the_built_in_one_and_one_that_fails_costs_one_order() {
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("where_only_scores_count", "there is no python3");
    }
    let plain = Path::new(ROOT).join("examples/trainer/plain.py");
    let market = Market::with(|_| format!("trainer = {plain:?}"));
    let [built_in, own, clumsy] = ["worker-01", "worker-02", "worker-03"].map(|name| market.account(name));
    market.fund(&[market.client(), built_in, own, clumsy]);
    // The first time it fails, and then it trains like the other one.
    let clumsy_trainer = market.scene.path("clumsy");
    let mark = market.scene.path("mark");
    let script = format!(
        "#!/bin/sh\nif mkdir {}; then echo no luck >&2; exit 3; fi\nexec {} \"$1\"\n",
        mark.display(),
        plain.display()
    );
    fs::write(&clumsy_trainer, script).unwrap();
    fs::set_permissions(&clumsy_trainer, fs::Permissions::from_mode(0o755)).unwrap();
    let _providers = [
        market.provider("worker-01", "honest"),
        market.own_trainer("worker-02", &plain),
        market.own_trainer("worker-03", &clumsy_trainer),
    ];
    let order = |committee: &str, claims: &str| {
        let order = "train order digits --linear --epochs 1 --learning-rate 0.01 --score --reward 1ether --baseline 0.3 \
                     --beacon block --committee";
        let words: Vec<_> = order.split_whitespace().chain([committee, "--claims", claims]).collect();
        market.scene.json(&words)
    };
    let hidden = |found: &Value, of: Address| {
        let claims = found["claims"].as_array().unwrap();
        let claim = claims.iter().find(|claim| claim["worker"].as_str().unwrap().parse::<Address>().unwrap() == of);
        claim.unwrap()["hidden"].as_f64().unwrap()
    };
    let found = order("4", "2");
    assert_eq!(
        (found["ending"]["ending"].as_str(), found["proof"].as_str()),
        (Some("final"), Some("score")),
        "{found:#}"
    );
    assert_eq!(found["ending"]["worker"].as_str().unwrap().parse::<Address>().unwrap(), own, "{found:#}");
    let mut claimed = addresses(&found, "claims", |claim| claim["hidden"].is_number());
    claimed.sort();
    let mut expected = [built_in, own];
    expected.sort();
    assert_eq!(claimed, expected, "{found:#}");
    assert!(hidden(&found, own) > hidden(&found, built_in), "{found:#}");
    let said = fs::read_to_string(market.scene.path("worker-03")).unwrap();
    assert!(said.contains("exit status: 3: no luck"), "{said}");

    // There is no trace to be had, and all else is.
    let out = market.scene.path("export");
    market.scene.ok(&["train", "export", found["order"].as_str().unwrap(), "--out", out.to_str().unwrap()]);
    for file in ["order.json", "data.dtd", "fold.dtd", "opening.bin", "claim-0/model.dtm", "claim-1/model.dtm"] {
        assert!(fs::metadata(out.join(file)).is_ok_and(|file| file.len() > 0), "{file}");
    }
    assert!(!out.join("claim-0/trace.json").exists());

    // Who has failed once takes the next one, and so does the peer that is left over, by the trainer of its configuration: the
    // same trainer comes to the same model.
    let next = order("3", "4");
    let workers = addresses(&next, "claims", |claim| claim["hidden"].is_number());
    let peer = workers.iter().find(|worker| ![built_in, own, clumsy].contains(worker));
    assert!(workers.contains(&clumsy) && peer.is_some(), "{next:#}");
    let expected = hidden(&next, own);
    assert_eq!([hidden(&next, clumsy), hidden(&next, *peer.unwrap())], [expected; 2], "{next:#}");
}

#[test]
fn an_order_that_nobody_can_pay_or_no_network_admits_says_what_to_do() {
    let market = Market::open(None);
    market.account("poor");
    let order = ["train", "order", "iris", "--linear", "--reward", "1ether", "--baseline", "0.8"];
    let said = |arguments: &[&str], name: &str| {
        let output = market.command(arguments, name).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        text(&output.stderr)
    };
    let poor = said(&order, "poor");
    assert!(poor.contains("has 0 wei") || poor.contains("0 of"), "{poor}");
    let cheap = said(&["train", "order", "iris", "--linear", "--reward", "1000", "--baseline", "0.8"], "poor");
    assert!(cheap.contains("give") && cheap.contains("wei"), "{cheap}");
    let sure = said(&["train", "order", "iris", "--linear", "--reward", "1ether", "--baseline", "1.5"], "poor");
    assert!(sure.contains("baseline"), "{sure}");
    let short = said(&[&order[..], &["--window", "1s"]].concat(), "poor");
    assert!(short.contains("window") && short.contains("8000"), "{short}");
    let all = said(&[&order[..], &["--holdout", "100%"]].concat(), "poor");
    assert!(all.contains("--holdout"), "{all}");
}
