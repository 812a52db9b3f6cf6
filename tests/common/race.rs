//! Peers that take in lines and race for them.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Stdio},
};

use serde_json::Value;

use super::{Scene, signal, wait_until};

/// A `dtn-cli pow serve` that runs on a scene's network.
pub(crate) struct Serving {
    child: Child,
    entries: PathBuf,
    messages: PathBuf,
}

impl Serving {
    /// Starts it, and waits until it takes in lines.
    pub(crate) fn start(scene: &Scene, ports: &[u16], difficulty: u32) -> Self {
        let (entries, messages) = (scene.path("entries"), scene.path("messages"));
        let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let mut command = scene.command(&["pow", "serve", "--ports", &ports, "--json"]);
        command.args(["--difficulty", &difficulty.to_string()]).arg("--home").arg(scene.home());
        command.stdin(Stdio::null()).stdout(File::create(&entries).unwrap()).stderr(File::create(&messages).unwrap());
        let mut serving = Self { child: command.spawn().unwrap(), entries, messages };
        wait_until("it takes in lines", || {
            assert_eq!(serving.child.try_wait().unwrap(), None, "{}", serving.said());
            serving.said().contains("waiting for lines")
        });
        serving
    }

    /// What it says beside the entries.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.messages).unwrap()
    }

    /// Waits until it has printed so many entries, and gives all that it has.
    pub(crate) fn wait_for(&mut self, count: usize) -> Vec<Value> {
        let mut entries = Vec::new();
        wait_until(&format!("{count} entries"), || {
            assert_eq!(self.child.try_wait().unwrap(), None, "{}", self.said());
            let text = fs::read_to_string(&self.entries).unwrap();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            entries = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            entries.len() >= count
        });
        entries
    }

    /// Interrupts it as Ctrl-C does: it stops the peers and ends well.
    pub(crate) fn stop(mut self) {
        signal("-INT", &[self.child.id().to_string()]);
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.said());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Only of use when a test has failed: its scene stops the peers.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
