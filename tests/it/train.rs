//! `dtn-cli train`, as a user runs it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

/// A folder of its own, in which commands run.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dtn-cli"));
        command.arg("train").args(line.split_whitespace()).current_dir(self.0.path());
        command.output().unwrap()
    }

    fn json(&self, line: &str) -> Value {
        let output = self.run(&format!("{line} --json"));
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a command says that has to fail with this exit code.
    fn refused(&self, line: &str, code: i32) -> String {
        let output = self.run(line);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }
}

#[test]
fn a_model_is_trained_checked_by_its_trace_and_scored() {
    let folder = Folder::new();
    let trained = folder.json("run digits --mlp 32 --epochs 15 --out model.dtm --checkpoints states");
    let (rows, correct) = (&trained["on_holdout"]["rows"], trained["on_holdout"]["correct"].as_u64().unwrap());
    assert!(rows == 359 && correct > 330, "{trained}");
    let segments = trained["segments"].as_u64().unwrap();
    let checked = folder.json("check model.trace digits --model model.dtm");
    assert_eq!((&checked["holds"], &checked["segments"]), (&true.into(), &segments.into()));
    assert_eq!(checked["model_root"], trained["model_root"]);
    let scored = folder.json("score model.dtm digits");
    assert_eq!((&scored["score"], &scored["model_root"]), (&trained["on_holdout"], &trained["model_root"]));
    assert_eq!(folder.json("score model.dtm digits --rows training")["score"], trained["on_training"]);
    assert_eq!(folder.json("score model.dtm digits --rows all")["score"]["rows"], 1797);
    // Segments by themselves, with their checkpoints and without.
    let by_checkpoint = folder.json("check model.trace digits --segment 3 --segment 0 --checkpoints states");
    let trained_up_to = folder.json("check model.trace digits --segment 3 --segment 0");
    for place in 0..2 {
        let [one, other] = [&by_checkpoint, &trained_up_to].map(|checked| &checked["checked"][place]["witness"]);
        assert!(one.is_string() && one == other, "{one} {other}");
    }
    assert!(folder.refused(&format!("check model.trace digits --segment {segments}"), 1).contains("no segment"));
}

#[test]
fn a_trace_that_was_changed_is_refused_with_the_segment() {
    let folder = Folder::new();
    folder.json("run wine --gbdt 2 --epochs 12 --segment-steps 2 --out model.dtm --checkpoints states");
    let trace = fs::read(folder.path("model.trace")).unwrap();
    // The hashes are the last of it: six after the first.
    let mut forged = trace.clone();
    let of_state = |state: usize| trace.len() - 32 * (7 - state);
    forged[of_state(4)] ^= 1;
    fs::write(folder.path("forged.trace"), &forged).unwrap();
    assert!(folder.refused("check forged.trace wine", 1).contains("segment 3 does not lead"));
    let output = folder.run("check forged.trace wine --segment 2 --segment 3 --segment 4 --checkpoints states --json");
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let holds = |place: usize| found["checked"][place]["fault"].is_null();
    assert_eq!([0, 1, 2].map(holds), [true, false, false], "{found}");
    let failure = folder.run("check forged.trace wine --json");
    let failure: Value = serde_json::from_slice(&failure.stdout).unwrap();
    assert_eq!((&failure["error"]["code"], &failure["error"]["data"]["segment"]), (&"other_trace".into(), &3.into()));

    fs::write(folder.path("longer.trace"), [&trace[..], &[0]].concat()).unwrap();
    assert!(folder.refused("check longer.trace wine", 1).contains("no trace"));
    fs::write(folder.path("forged.dtm"), [&fs::read(folder.path("model.dtm")).unwrap()[..], &[0]].concat()).unwrap();
    assert!(folder.refused("score forged.dtm wine", 1).contains("no model"));
    assert!(folder.refused("check model.trace iris", 1).contains("it is of data"));
    assert!(folder.refused("score model.dtm iris", 1).contains("13 features and 3 classes, the data has 4"));
}

#[test]
fn a_copied_trace_is_not_another_workers() {
    let folder = Folder::new();
    let worker = |byte: &str| format!("--worker 0x{}", byte.repeat(20));
    let run = "run iris --linear --epochs 2 --batch 8";
    let [mine, same, other] = [("a", "11"), ("b", "11"), ("c", "22")]
        .map(|(name, byte)| folder.json(&format!("{run} {} --out {name}.dtm", worker(byte))));
    assert_eq!(mine["trace_root"], same["trace_root"]);
    assert_ne!(mine["trace_root"], other["trace_root"]);
    // With the other's address in the place of the worker's.
    let trace = fs::read(folder.path("a.trace")).unwrap();
    let at = trace.windows(20).position(|bytes| bytes == [0x11; 20]).unwrap();
    let stolen = [&trace[..at], &[0x22; 20], &trace[at + 20..]].concat();
    fs::write(folder.path("stolen.trace"), stolen).unwrap();
    assert!(folder.refused("check stolen.trace iris", 1).contains("not the one of its seed"));
}

#[test]
fn a_csv_file_and_a_recipe_file_are_trained_like_what_is_shipped() {
    let folder = Folder::new();
    let rows: String =
        (0..200).map(|row| format!("{},{}.5,{}\n", row % 7, row % 11, 3 * (row % 7) - row % 11)).collect();
    fs::write(folder.path("plane.csv"), format!("a,b,c\n{rows}")).unwrap();
    fs::write(
        folder.path("recipe.toml"),
        "family = \"linear\"\nepochs = 60\nbatch = 8\nsegment_steps = 100\n\
         grid = { learning_rate = [0.02, 0.01], momentum = [0.9], l2 = [0] }\n",
    )
    .unwrap();
    let line =
        "run plane.csv --number --recipe recipe.toml --point 1 --holdout 50 --save-data rows.dtd --out plane.dtm";
    let trained = folder.json(line);
    let wrong = trained["on_holdout"]["squared_error"].as_f64().unwrap() / 65536.0 / 65536.0 / 50.0;
    assert!(wrong < 1e-4, "{trained}");
    folder.json("check plane.trace plane.csv --number --holdout 50");
    assert!(folder.refused("check plane.trace plane.csv --number", 1).contains("it is of data"));
    let encoded = folder.json("score plane.dtm rows.dtd --rows all");
    assert_eq!(encoded["score"], trained["on_training"]);
}

#[test]
fn what_cannot_be_trained_is_one_line_that_says_why() {
    let folder = Folder::new();
    let write = |name: &str, text: &str| fs::write(folder.path(name), text).unwrap();
    write("text.csv", "a,label\nx,1\ny,2\n");
    write("one.csv", "a,label\n1,1\n2,1\n");
    write("far.csv", &format!("a,label\n{}1,0\n", "0,0\n0,1\n".repeat(100)));
    write("bad.toml", "family = \"cnn\"");
    for (line, code, expected) in [
        ("run text.csv --linear --out m", 1, "line 2, column \"a\": \"x\" is no number"),
        ("run one.csv --linear --out m", 1, "nothing to learn"),
        ("run far.csv --linear --out m", 1, "beyond ±8"),
        ("run far.csv --label b --linear --out m", 1, "no column \"b\""),
        ("run none.csv --linear --out m", 1, "none.csv"),
        ("run mnist --linear --out m", 1, "digits, breast-cancer"),
        ("run digits --recipe bad.toml --out m", 1, "bad.toml"),
        ("run digits --out m", 2, "--linear"),
        ("run digits --linear --mlp 3 --out m", 2, "cannot be used"),
        ("run digits --linear --holdout 0 --out m", 1, "--holdout is 0 rows of 1797"),
        ("run digits --linear --holdout 100% --out m", 1, "--holdout is 1797 rows"),
        ("run digits --linear --batch 33 --out m", 1, "power of two"),
        ("run digits --linear --point 1 --out m", 1, "no point 1"),
        ("run digits --linear --learning-rate 2 --out m", 1, "learning_rate = 2"),
        ("run digits --linear --learning-rate fast --out m", 2, "\"fast\" is no number"),
        ("run digits --mlp 4000 --out m", 1, "parameters"),
        ("run digits --mlp 128 --epochs 20000 --segment-steps 1000 --out m", 1, "multiplications in all"),
        ("run digits --linear --out no/such/folder", 1, "no/such/folder"),
        ("check none digits", 1, "none"),
        ("score none digits", 1, "none"),
    ] {
        let said = folder.refused(line, code);
        assert!(said.contains(expected), "{line}: {said}");
        // What TOML says points into the file, on lines of its own.
        let is_line = said.trim_end().lines().count() == 1;
        assert!(code == 2 || is_line || line.contains("bad.toml"), "{line}: {said}");
    }
    assert!(!Path::new(&folder.path("m")).exists(), "nothing was written");
    let clipped = folder.run("run far.csv --clip --linear --batch 4 --out m.dtm");
    let said = String::from_utf8_lossy(&clipped.stderr);
    assert!(clipped.status.success() && said.contains("1 values were beyond"), "{said}");
}

#[test]
fn each_command_teaches_by_examples() {
    let folder = Folder::new();
    for command in ["run", "check", "score"] {
        let help = folder.run(&format!("{command} --help"));
        let text = String::from_utf8_lossy(&help.stdout);
        assert!(text.contains("Examples") && text.contains(&format!("dtn-cli train {command}")), "{text}");
    }
}

#[test]
fn a_trainer_and_a_scorer_of_ones_own_are_tried_alone_and_say_in_a_line_why_nothing_comes_of_them() {
    let folder = Folder::new();
    let tool = |name: &str, text: &str| {
        let file = folder.path(name);
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    };
    folder.json("run iris --linear --out exact.dtm");
    tool("trainer", &format!("cp {} \"$1/model.dtm\"", folder.path("exact.dtm").display()));
    let tried = folder.json("run iris --linear --trainer ./trainer --out model.dtm");
    assert_eq!(fs::read(folder.path("model.dtm")).unwrap(), fs::read(folder.path("exact.dtm")).unwrap());
    tool("scorer", "grep -c . < \"$1/rows.csv\"");
    let scored = folder.json("score model.dtm iris --scorer scorer");
    assert_eq!((&scored["score"], scored["by_scorer"].as_f64()), (&tried["score"], Some(31.0)), "a header and 30 rows");
    let why = |trainer: &str| {
        let said = folder.refused(&format!("run iris --linear --trainer {trainer} --out none.dtm"), 1);
        assert!(!folder.path("none.dtm").exists());
        said
    };
    assert!(why("nowhere").contains("there is no program"));
    fs::write(folder.path("text"), "words").unwrap();
    assert!(why("text").contains("chmod +x"));
    tool("fails", "echo sorry >&2; exit 7");
    assert!(why("fails").contains("exit status: 7: sorry"));
    tool("lazy", "true");
    assert!(why("lazy").contains("neither model.json nor model.dtm"));
    tool("wrong", "echo '{}' > \"$1/model.json\"");
    assert!(why("wrong").contains("missing field `layers`"));
    let none = folder.refused("score model.dtm iris --scorer lazy", 1);
    assert!(none.contains("no number"), "{none}");
}
