//! Trainers and scorers that are programs: good ones, and all the ways in which one can be bad.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dtn_custom::{Asked, Task, Tool, ToolError, score, train};
use dtn_primitives::B256;
use dtn_train::{Dataset, Family, Fraction, Grid, Model, Recipe, Task as Kind};
use tempfile::TempDir;

/// A folder with a program in it.
struct Bench {
    at: TempDir,
    time: Duration,
}

/// What came of it, and what it said on the way.
type Outcome<T> = (Result<T, ToolError>, Vec<String>);

/// Makes a program. Another process writes it: one that is open here may be open in what another test starts, and is not run then.
fn put(file: &Path, text: &str) {
    let put = "printf '%s' \"$1\" > \"$2\" && chmod 755 \"$2\"";
    let status = std::process::Command::new("sh").args(["-c", put, "put", text]).arg(file).status().unwrap();
    assert!(status.success());
}

impl Bench {
    fn new() -> Self {
        Self { at: tempfile::tempdir().unwrap(), time: Duration::from_secs(60) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.at.path().join(name)
    }

    /// Puts a shell script there; the folder is its first argument.
    fn script(&self, text: &str) -> Task {
        let file = self.path("tool");
        put(&file, &format!("#!/bin/sh\n{text}\n"));
        let tool = Tool::find(&file).unwrap();
        Task { tool, folder: self.path("work/one"), time: self.time }
    }

    async fn train(&self, script: &str) -> Outcome<Model> {
        let task = self.script(script);
        let mut lines = Vec::new();
        let asked = Asked {
            order: Some(B256::repeat_byte(7)),
            recipe: recipe(),
            baseline: Some(Fraction(1 << 15)),
            max_row_macs: 12,
        };
        let outcome = train(&task, &asked, (data(3), data(1)), |line| lines.push(line.to_owned())).await;
        assert!(!self.path("work/one").exists(), "its folder is gone");
        (outcome, lines)
    }

    /// The line that says why nothing came of it.
    async fn failure(&self, script: &str) -> String {
        let said = self.train(script).await.0.unwrap_err().to_string();
        assert!(!said.contains('\n') && said.len() < 1_000, "{said}");
        said
    }
}

fn recipe() -> Recipe {
    let grid = Grid { learning_rate: vec![Fraction(1)], momentum: vec![Fraction(1)], ..Grid::default() };
    Recipe { family: Family::Linear, grid, epochs: 1, batch: 1, segment_steps: 1 }
}

/// So many rows of two features, of two classes.
fn data(rows: usize) -> Dataset {
    let values = (0..2 * rows as i16).map(|value| value * 2048).collect();
    Dataset::new(Kind::Classes(2), 2, values, (0..rows as i32).map(|row| row % 2).collect()).unwrap()
}

const MODEL: &str = r#"echo '{"layers": [{"weights": [[1, 0], [0, 1]], "bias": [0, 0.5]}]}' > "$1/model.json""#;

async fn is_gone(process: &Path) -> bool {
    let process: u32 = fs::read_to_string(process).unwrap().trim().parse().unwrap();
    let status = || fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let began = Instant::now();
    // One that nobody has waited for yet is gone as well.
    while !status().is_empty() && !status().contains(") Z ") {
        if began.elapsed() > Duration::from_secs(30) {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

#[tokio::test]
async fn a_trainer_finds_its_task_and_rows_and_its_model_is_read() {
    let bench = Bench::new();
    let kept = bench.path("kept");
    let copy =
        format!("mkdir {0}; cp \"$1\"/* {0}; pwd > {0}/at; echo \"$# $1\" > {0}/told; env > {0}/env", kept.display());
    let (model, lines) = bench.train(&format!("echo hello >&2; {copy}\n{MODEL}")).await;
    let one = 1 << 24;
    assert_eq!(model.unwrap().layers().unwrap()[0].2, [one, 0, 0, one, 0, one / 2]);
    assert_eq!(lines, ["hello"]);
    let read = |name: &str| fs::read_to_string(kept.join(name)).unwrap();
    assert_eq!(read("data.csv"), "x0,x1,label\n0,0.5,0\n1,1.5,1\n2,2.5,0\n");
    assert_eq!(read("fold.csv"), "x0,x1,label\n0,0.5,0\n");
    let task: serde_json::Value = serde_json::from_str(&read("task.json")).unwrap();
    assert_eq!((task["task"].as_str(), task["outputs"].as_u64()), (Some("classes"), Some(2)), "{task}");
    assert_eq!((task["max_row_macs"].as_u64(), task["seconds"].as_u64()), (Some(12), Some(60)), "{task}");
    assert_eq!((task["baseline"].as_str(), task["rows"].as_u64()), (Some("0.5"), Some(3)), "{task}");
    assert_eq!(task["recipe"]["family"].as_str(), Some("linear"), "{task}");
    assert_eq!(format!("1 {}", read("at")), read("told"), "it is told the folder that it is in, and nothing else");
    // Whatever runs the test has more than that.
    assert!(std::env::vars().any(|(name, _)| name.starts_with("CARGO")));
    let known =
        ["PATH=", "HOME=", "LANG=", "LC_ALL=", "TZ=", "LD_LIBRARY_PATH=", "TMPDIR=", "PWD=", "OLDPWD=", "SHLVL=", "_="];
    let environment = read("env");
    let strange: Vec<_> = environment.lines().filter(|line| !known.iter().any(|name| line.starts_with(name))).collect();
    let strange: Vec<_> = strange
        .iter()
        .filter(|line| ["PYTHON", "VIRTUAL", "OMP_", "CUDA"].iter().all(|it| !line.starts_with(it)))
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[tokio::test]
async fn a_model_file_of_ours_is_taken_as_it_is() {
    let bench = Bench::new();
    let weights = vec![vec![3, -3, 2, -2, 1, -1]];
    let model = Model::of_layers(Kind::Classes(2), &[2, 2], weights).unwrap();
    fs::write(bench.path("exact"), model.encode()).unwrap();
    let (found, _) = bench.train(&format!("cp {} \"$1/model.dtm\"", bench.path("exact").display())).await;
    assert_eq!(found.unwrap(), model);
}

#[tokio::test]
async fn a_program_that_is_not_there_or_cannot_be_run_is_named() {
    let bench = Bench::new();
    let find = |name: &str| Tool::find(&bench.path(name)).unwrap_err().to_string();
    assert!(find("nowhere").contains("there is no program") && find("nowhere").contains("nowhere"));
    fs::write(bench.path("text"), "words").unwrap();
    assert!(find("text").contains("chmod +x") && find("").contains("chmod +x"));
    // One that goes after it was found, and one that no system runs.
    let model = Model::of_layers(Kind::Classes(2), &[2, 2], vec![vec![0; 6]]).unwrap();
    let task = bench.script("true");
    fs::remove_file(task.tool.program()).unwrap();
    let gone = score(&task, &model, data(1), |_| ()).await.unwrap_err().to_string();
    assert!(gone.contains("there is no program"), "{gone}");
    let task = bench.script("true");
    put(task.tool.program(), "#!/no/such/interpreter\n");
    let strange = score(&task, &model, data(1), |_| ()).await.unwrap_err().to_string();
    assert!(strange.contains("cannot be run"), "{strange}");
}

#[tokio::test]
async fn a_trainer_that_fails_is_killed_or_leaves_no_model_says_so_in_a_line() {
    let bench = Bench::new();
    let failed = bench.failure("echo first >&2; echo 'no module named torch' >&2; exit 3").await;
    assert!(failed.ends_with("ended with exit status: 3: no module named torch"), "{failed}");
    let killed = bench.failure("kill -9 $$").await;
    assert!(killed.contains("signal: 9"), "{killed}");
    let nothing = bench.failure("true").await;
    assert!(nothing.contains("neither model.json nor model.dtm"), "{nothing}");
    let folder = bench.failure("mkdir \"$1/model.json\"").await;
    assert!(folder.contains("neither model.json nor model.dtm"), "{folder}");
    let pipe = bench.failure("mkfifo \"$1/model.json\"").await;
    assert!(pipe.contains("neither model.json nor model.dtm"), "{pipe}");
    // A model does not help one that says it has failed.
    assert!(bench.failure(&format!("{MODEL}\nexit 1")).await.contains("exit status: 1"));
}

#[tokio::test]
async fn garbage_another_shape_and_what_is_far_too_large_are_no_models() {
    let bench = Bench::new();
    let garbage = bench.failure("head -c 1000 /dev/urandom > \"$1/model.json\"").await;
    assert!(garbage.contains("model.json of"), "{garbage}");
    let garbage = bench.failure("head -c 1000 /dev/urandom > \"$1/model.dtm\"").await;
    assert!(garbage.contains("model.dtm of"), "{garbage}");
    let narrow = bench.failure(r#"echo '{"layers":[{"weights":[[1,0]],"bias":[0,0]}]}' > "$1/model.json""#).await;
    assert!(narrow.contains("cannot be claimed: the model is for 1 features"), "{narrow}");
    // Three hidden units take 3·3 + 4·2 multiplications, and the order takes 12.
    let hidden =
        r#"{"layers":[{"weights":[[0,0,0],[0,0,0]],"bias":[0,0,0]},{"weights":[[0,0],[0,0],[0,0]],"bias":[0,0]}]}"#;
    let large = bench.failure(&format!("echo '{hidden}' > \"$1/model.json\"")).await;
    assert!(large.contains("takes 17 multiplications a row, and the order 12 at most"), "{large}");
    let huge = bench.failure("head -c 100000000 /dev/zero > \"$1/model.json\"").await;
    assert!(huge.contains("more than the"), "{huge}");
    let endless = bench.failure("ln -s /dev/zero \"$1/model.dtm\"").await;
    assert!(endless.contains("neither model.json nor model.dtm"), "{endless}");
}

#[tokio::test]
async fn a_tool_that_runs_too_long_is_ended_with_all_that_it_has_started() {
    let mut bench = Bench::new();
    bench.time = Duration::from_millis(800);
    let (child, began) = (bench.path("child"), Instant::now());
    let long = bench.failure(&format!("sleep 600 & echo $! > {}; wait", child.display())).await;
    assert!(long.contains("was ended after 0 s") && began.elapsed() < Duration::from_secs(30), "{long}");
    assert!(is_gone(&child).await);
    // One that ends, and leaves something that holds its output open, is not waited for.
    bench.time = Duration::from_secs(60);
    let began = Instant::now();
    let (model, _) = bench.train(&format!("{MODEL}\nsleep 600 & echo $! > {}", child.display())).await;
    assert!(model.is_ok() && began.elapsed() < Duration::from_secs(30), "{model:?}");
    assert!(is_gone(&child).await);
}

#[tokio::test]
async fn a_tool_that_nobody_waits_for_any_more_is_ended() {
    let bench = Bench::new();
    let child = bench.path("child");
    let task = bench.script(&format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", child.display()));
    let model = Model::of_layers(Kind::Classes(2), &[2, 2], vec![vec![0; 6]]).unwrap();
    let scoring = tokio::spawn(async move { score(&task, &model, data(1), |_| ()).await });
    while !child.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scoring.abort();
    assert!(scoring.await.unwrap_err().is_cancelled());
    assert!(is_gone(&child).await);
}

#[tokio::test]
async fn a_gigabyte_that_is_printed_is_read_and_forgotten() {
    let bench = Bench::new();
    let loud =
        format!("head -c 1000000000 /dev/zero; head -c 100000000 /dev/zero >&2; yes | head -c 1000000 >&2\n{MODEL}");
    let (model, lines) = bench.train(&loud).await;
    assert!(model.is_ok(), "{model:?}");
    assert!(lines.len() <= 1_000 && lines.iter().all(|line| line.len() <= 400), "{}", lines.len());
    assert_eq!(lines.last().map(String::as_str), Some("it says more, which is left out"));
}

#[tokio::test]
async fn a_tool_that_fills_its_folder_is_ended() {
    let bench = Bench::new();
    // As fast as files can be made, until somebody ends it.
    let many = bench.failure("i=0; while true; do i=$((i + 1)); : > \"$1/$i\"; done").await;
    assert!(many.contains("too many files"), "{many}");
}

#[tokio::test]
async fn a_scorer_sees_rows_and_outputs_and_says_a_number() {
    let bench = Bench::new();
    let model = Model::of_layers(Kind::Classes(2), &[2, 2], vec![vec![1 << 24, 0, 0, 1 << 24, 0, 0]]).unwrap();
    let kept = bench.path("kept");
    let task = bench.script(&format!("mkdir {0}; cp \"$1\"/* {0}; echo words; echo ' -2.5e-1 '; echo", kept.display()));
    assert_eq!(score(&task, &model, data(2), |_| ()).await.unwrap(), -0.25);
    let read = |name: &str| fs::read_to_string(kept.join(name)).unwrap();
    assert_eq!(read("rows.csv"), "x0,x1,label\n0,0.5,0\n1,1.5,1\n");
    assert_eq!(read("outputs.csv"), "y0,y1\n0,0.5\n1,1.5\n");
    for (script, why) in [
        ("true", "\"\", and no number"),
        ("echo 1; echo good", "\"good\", and no number"),
        ("echo nan", "no number"),
        ("echo inf", "no number"),
        ("echo 1; exit 2", "exit status: 2"),
    ] {
        let said = score(&bench.script(script), &model, data(2), |_| ()).await.unwrap_err().to_string();
        assert!(said.contains(why), "{script}: {said}");
    }
    let other = Dataset::new(Kind::Number, 2, vec![0, 0], vec![0]).unwrap();
    assert!(score(&bench.script("echo 1"), &model, other, |_| ()).await.is_err());
}
