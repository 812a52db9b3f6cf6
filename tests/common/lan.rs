//! A local network of the kernel's: each host is a network namespace, and a switch lies between them.
//!
//! The hosts reach each other at `10.77.0.N` through the switch, which can be taken apart. The operator's machine is the
//! switch itself; it reaches every host at `10.78.0.N`, whatever happens to the other network.

use std::{
    io::Write,
    process::{Command, Stdio},
};

/// Some hosts and their switch. The namespaces end with it.
pub(crate) struct Lan {
    name: String,
    hosts: usize,
}

impl Lan {
    /// Connects so many hosts, or says why this machine cannot: it takes root and `ip`.
    pub(crate) fn new(hosts: usize) -> Result<Self, String> {
        let lan = Self { name: format!("dtn-{}", std::process::id()), hosts };
        let mut switch = String::new();
        for bridge in ["left", "right", "operator"] {
            switch += &format!("link add {bridge} type bridge\nlink set {bridge} up\n");
        }
        switch += "addr add 10.78.0.254/24 dev operator\n";
        ip(&["netns", "add", &lan.switch()], "")?;
        for host in 0..hosts {
            let name = lan.name_of(host);
            ip(&["netns", "add", &name], "")?;
            for (port, interface, bridge) in [("peer", "data", "left"), ("api", "api", "operator")] {
                switch += &format!("link add {port}{host} type veth peer name {interface} netns {name}\n");
                switch += &format!("link set {port}{host} master {bridge} up\n");
            }
        }
        ip(&["-n", &lan.switch(), "-batch", "-"], &switch)?;
        for host in 0..hosts {
            let (data, api) = (Self::address(host), Self::api_address(host));
            let commands = format!(
                "addr add {data}/24 dev data\naddr add {api}/24 dev api\nlink set lo up\nlink set data up\nlink set api up\n"
            );
            ip(&["-n", &lan.name_of(host), "-batch", "-"], &commands)?;
        }
        Ok(lan)
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.name)
    }

    fn name_of(&self, host: usize) -> String {
        format!("{}-{host}", self.name)
    }

    /// What runs a command on a host.
    pub(crate) fn on_host(&self, host: usize) -> Vec<String> {
        ["ip", "netns", "exec"].map(String::from).into_iter().chain([self.name_of(host)]).collect()
    }

    /// What runs a command on the operator's machine.
    pub(crate) fn on_operator(&self) -> Vec<String> {
        ["ip", "netns", "exec"].map(String::from).into_iter().chain([self.switch()]).collect()
    }

    /// Where the hosts reach each other.
    pub(crate) fn address(host: usize) -> String {
        format!("10.77.0.{}", host + 1)
    }

    /// Where the operator reaches a host.
    pub(crate) fn api_address(host: usize) -> String {
        format!("10.78.0.{}", host + 1)
    }

    /// Puts some hosts on a switch of their own: nothing passes between them and the others, and nobody is told.
    pub(crate) fn split(&self, away: &[usize]) {
        let bridge = |host| if away.contains(&host) { "right" } else { "left" };
        self.change((0..self.hosts).map(|host| format!("link set peer{host} master {}", bridge(host))));
    }

    /// Pulls a host's plug.
    pub(crate) fn unplug(&self, host: usize) {
        self.change([format!("link set peer{host} down")]);
    }

    /// Connects all hosts again.
    pub(crate) fn heal(&self) {
        self.change((0..self.hosts).map(|host| format!("link set peer{host} master left up")));
    }

    fn change(&self, commands: impl IntoIterator<Item = String>) {
        let commands: Vec<_> = commands.into_iter().collect();
        ip(&["-n", &self.switch(), "-batch", "-"], &(commands.join("\n") + "\n")).expect("the switch obeys");
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for namespace in (0..self.hosts).map(|host| self.name_of(host)).chain([self.switch()]) {
            ip(&["netns", "del", &namespace], "").ok();
        }
    }
}

/// Runs `ip`, with commands for its standard input; what it says if it fails.
fn ip(arguments: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("ip: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // What cannot be written is in its exit code.
        stdin.write_all(input.as_bytes()).ok();
    }
    let output = child.wait_with_output().map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("ip {}: {}", arguments.join(" "), said.trim())) }
}
