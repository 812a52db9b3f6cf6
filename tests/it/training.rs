//! Training orders on real processes: peers with `train = true`, providers without a peer, and cheats.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use dtn_keys::{KeyInfo, Password};
use dtn_primitives::{Address, SecretKey};
use dtn_testbed::Home;
use serde_json::Value;

use crate::common::{Scene, text};

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
        let scene = Scene::new();
        scene.init(4);
        for peer in 0..4 {
            let behaviour = if lazy == Some(peer) { "\ntrain_behaviour = \"lazy\"" } else { "" };
            scene.set_key(peer, "threads", &format!("1\ntrain = true{behaviour}"));
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
