//! What the command line must not say again, whatever it is given and however it fails.

use std::{fs, process::Command};

use tempfile::TempDir;

/// Looks like a private key.
const KEY: &str = "5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c";

/// What a command says in an empty folder, on both of its outputs, and its exit code.
fn said(folder: &TempDir, variables: &[(&str, &str)], arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dtn-cli"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DTN_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(folder.path()).envs(variables.iter().copied());
    let output = command.output().expect("it runs");
    let both = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&both).into_owned(), output.status.code())
}

#[test]
fn what_looks_like_a_private_key_is_never_repeated() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let prefixed = format!("0x{KEY}");
    for key in [KEY, &prefixed] {
        for arguments in [
            &["show", "--from", key][..],
            &["confirm", key, "--from", key],
            &["propose", "--from", key, "--to", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"],
            &["rewards", "sign", "a.json", "--from", key],
            &["deploy", key],
            &["keys", "export-address", key],
            &["keys", "generate", "--name", key],
            &["keys", "import", key, "--file", "key.txt"],
            &["fund", "--amount", "1ether", "--to", key],
            &["registry", "rotate", "--validators", key, "--out", "out.json"],
            &["rewards", "show", "--account", key],
            &["network", "check", "--account", key],
            &["l1", "read", "nonce", key],
            &["keys", "import", "x", "--file", key],
            &["keys", "generate", "--name", "z", "--password-file", key],
            &["fund", "--amount", "1ether", "--to", "nobody", "--keys", key],
            &["show", "--network", key],
            &["show", "--config", key],
            &["show", "--home", key],
            &["sign", key, "--from", "dev:0"],
            &["execute", "--signatures", key],
            &["l1", "status", "--home", key],
            &["l1", "submit", key],
            &["l1", "node", key],
            &["sim", "pbft", key],
            &["show", "--from", "5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c 5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c"],
            &[
                "fund",
                "--amount",
                "1ether",
                "--from",
                "5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c 5e7c5e7c5e7c5e7c5e7c5e7c5e7c5e7c",
            ],
        ] {
            fs::write(folder.path().join("key.txt"), format!("0x{}", "07".repeat(32))).expect("writable");
            fs::write(folder.path().join("password"), "x\n").expect("writable");
            let shared = [("DTN_PASSWORD_FILE", "password"), ("DTN_RPC_URL", "http://127.0.0.1:1")];
            for json in [&[][..], &["--json"]] {
                let (said, code) = said(&folder, &shared, &[arguments, json].concat());
                assert!(
                    !said.contains("5e7c5e7c") && code.is_some_and(|code| code > 0),
                    "{arguments:?}: {code:?} {said}"
                );
            }
        }
        for arguments in [&["confirm", "0x12"][..], &["fund", "--help"], &["propose", "--to", "a", "--json"]] {
            let (said, _) = said(&folder, &[("DTN_FROM", key)], arguments);
            assert!(!said.contains("5e7c5e7c"), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn a_url_is_cut_wherever_it_was_given() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let url = "https://node.example/v3/S3CRETPATH";
    for arguments in [
        &["network", "check", "--network", url][..],
        &["network", "check", "--config", url],
        &["keys", "export-address", url],
        &["confirm", "0x07", "--from", url],
        &["confirm", "0x07", "--from", "remote:http://S3CRETPATH@node.example"],
        &["fund", "--amount", "1ether", "--to", url],
        &["l1", "submit", url],
    ] {
        for json in [&[][..], &["--json"]] {
            let (said, code) = said(&folder, &[], &[arguments, json].concat());
            assert!(
                !said.contains("S3CRETPATH") && code.is_some_and(|code| code > 0),
                "{arguments:?}: {code:?} {said}"
            );
        }
    }
    let network =
        "[networks.mine]\nchain_id = 7\nrpc = \"http://127.0.0.1:1\"\nexplorer = \"https://S3CRET@a.example\"\n";
    fs::write(folder.path().join("dtn.toml"), network).expect("writable");
    let (said, _) = said(&folder, &[], &["network", "list", "--json"]);
    assert!(!said.contains("S3CRET") && said.contains("https://a.example/…"), "{said}");
}

#[test]
fn a_nodes_url_is_shown_without_what_may_open_it() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for (url, shown) in [
        ("http://user:s3cret@127.0.0.1:1", "http://127.0.0.1:1/…"),
        ("http://127.0.0.1:1/v3/s3cret?key=s3cret#s3cret", "http://127.0.0.1:1/…"),
        ("wss://user:s3cret@node.example/s3cret", "wss://node.example/…"),
        ("user:s3cret@node.example/s3cret", "node.example/…"),
        ("http://127.0.0.1:1/s3cret,http://user:s3cret@127.0.0.1:2/", "http://127.0.0.1:1/…, http://127.0.0.1:2/…"),
    ] {
        let network = format!("[networks.mine]\nchain_id = 7\nrpc = \"{url}\"\n");
        fs::write(folder.path().join("dtn.toml"), &network).expect("writable");
        for (variables, arguments) in [
            (&[][..], &["network", "check", "--rpc", url][..]),
            (&[("DTN_RPC_URL", url)], &["show", "-vv"]),
            (&[("DTN_RPC_URL", url), ("RUST_LOG", "trace")], &["network", "check", "--network", "mine"]),
            (&[("DTN_NETWORKS__MINE__RPC", url)], &["network", "check", "--network", "mine", "--json"]),
            (&[], &["network", "check", "--network", "mine"]),
        ] {
            let (said, code) = said(&folder, variables, arguments);
            assert_eq!(code, Some(1), "{said}");
            assert!(!said.contains("s3cret") && said.contains(shown), "{arguments:?}: {said}");
        }
        for arguments in [&["network", "list"][..], &["network", "list", "--json"]] {
            let (said, _) = said(&folder, &[], arguments);
            assert!(!said.contains("s3cret") && said.contains("mine"), "{said}");
        }
        let (help, _) = said(&folder, &[("DTN_RPC_URL", url)], &["network", "check", "--help"]);
        assert!(!help.contains("s3cret") && help.contains("DTN_RPC_URL"), "{help}");
        let remote = format!("remote:0x12@{url}");
        let (said, _) = said(&folder, &[], &["confirm", "0x07", "--from", &remote]);
        assert!(!said.contains("s3cret"), "{said}");
    }
    for damaged in [
        "rpc = = \"https://user:s3cret@node.example\"",
        "rpcs = \"https://node.example/s3cret\"",
        "rpc = \"https://node.example/s3cret",
    ] {
        fs::write(folder.path().join("dtn.toml"), format!("[networks.mine]\nchain_id = 7\n{damaged}\n"))
            .expect("writable");
        let (said, code) = said(&folder, &[], &["network", "list", "--json"]);
        assert!(!said.contains("s3cret") && code == Some(1), "{said}");
    }
}
