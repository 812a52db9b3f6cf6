//! A configuration in layers: what is built in, under a TOML file, under environment variables, under settings of a command
//! line. The later wins, key by key, and a mistake is told with who made it.

mod range;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_path_to_error::Segment;
use toml::{Table, Value};

pub use range::OutOfRange;

/// What parts the names of nested keys in a variable: `DTN_NODE_LOG__LEVEL` is `log.level`.
const NESTED: &str = "__";

/// Who says what a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Variable(String),
    Setting,
}

/// A key and its value, given as `KEY=VALUE`, as `log.level=debug`.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    key: Vec<String>,
    value: Value,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("a setting is KEY=VALUE, as log.level=debug")?;
        Ok(Self { key: key.trim().split('.').map(str::to_owned).collect(), value: value_of(value.trim()) })
    }
}

/// What a text outside of a file stands for: what TOML reads in it, and itself where that is nothing.
fn value_of(text: &str) -> Value {
    let table: Option<Table> = format!("it = {text}").parse().ok();
    let single = table.filter(|table| table.len() == 1).and_then(|mut table| table.remove("it"));
    single.unwrap_or_else(|| Value::String(text.into()))
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{who} is not valid: {what}")]
pub struct Mistake {
    /// Who says it: a key in a file, a variable, a setting.
    pub who: String,
    /// What is wrong. It may show a line of the file.
    pub what: String,
}

/// The layers, each merged into those before it.
#[derive(Debug, Default)]
pub struct Layers {
    merged: Table,
    /// Who said last what a key is.
    sources: BTreeMap<Vec<String>, Source>,
    file: Option<PathBuf>,
}

impl Layers {
    /// What is built in.
    pub fn built_in(defaults: &impl Serialize) -> Result<Self, toml::ser::Error> {
        Ok(Self { merged: Table::try_from(defaults)?, ..Self::default() })
    }

    /// With the text of a TOML file on top.
    pub fn file(mut self, file: &Path, text: &str) -> Result<Self, Mistake> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| Mistake {
            who: file.display().to_string(),
            what: error.to_string().trim_end().to_owned(),
        })?;
        self.file = Some(file.to_owned());
        self.merge(&mut Vec::new(), Value::Table(table), &Source::File(file.to_owned()));
        Ok(self)
    }

    /// With the environment variables of a prefix on top, as far as the key that one stands for begins as given.
    #[must_use]
    pub fn variables(self, prefix: &str, under: &[&str]) -> Self {
        self.variables_of(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
            prefix,
            under,
        )
    }

    fn variables_of(mut self, all: impl Iterator<Item = (String, String)>, prefix: &str, under: &[&str]) -> Self {
        for (name, value) in all {
            let Some(key) = name.strip_prefix(prefix) else { continue };
            let mut key: Vec<_> = key.to_ascii_lowercase().split(NESTED).map(str::to_owned).collect();
            if key.len() > under.len() && under.iter().zip(&key).all(|(under, key)| under == key) {
                self.merge(&mut key, value_of(&value), &Source::Variable(name));
            }
        }
        self
    }

    /// With settings on top.
    #[must_use]
    pub fn settings(mut self, settings: &[Setting]) -> Self {
        for Setting { key, value } in settings {
            self.merge(&mut key.clone(), value.clone(), &Source::Setting);
        }
        self
    }

    /// Puts a value at a key. Keys are the same whatever their case, because variables have none: an address under `peers`
    /// is spelled in many ways.
    fn merge(&mut self, key: &mut Vec<String>, value: Value, source: &Source) {
        if let Value::Table(table) = value {
            for (name, value) in table {
                key.push(name);
                self.merge(key, value, source);
                key.pop();
            }
            return;
        }
        let Some((last, parents)) = key.split_last() else { return };
        let mut table = &mut self.merged;
        for name in parents {
            let name = spelled(table, name);
            let inner = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
            if !inner.is_table() {
                *inner = Value::Table(Table::new());
            }
            let Value::Table(inner) = inner else { return };
            table = inner;
        }
        table.insert(spelled(table, last), value);
        self.sources.insert(key.iter().map(|name| name.to_ascii_lowercase()).collect(), source.clone());
    }

    /// What the layers come to.
    pub fn extract<T: DeserializeOwned>(&self) -> Result<T, Mistake> {
        serde_path_to_error::deserialize(Value::Table(self.merged.clone())).map_err(|error| {
            let name = |segment: &Segment| match segment {
                Segment::Map { key } => Some(key.clone()),
                _ => None,
            };
            let key: Vec<_> = error.path().iter().map_while(name).collect();
            Mistake { who: self.who(&key), what: error.inner().message().to_owned() }
        })
    }

    /// Who says what a key is, in words.
    pub fn who(&self, key: &[String]) -> String {
        let lower: Vec<_> = key.iter().map(|name| name.to_ascii_lowercase()).collect();
        let said = (0..=lower.len()).rev().find_map(|end| self.sources.get(&lower[..end]));
        let (key, file) = (key.join("."), self.file.as_deref().map(Path::display));
        match (said, file) {
            (Some(Source::Setting), _) => format!("--set {key}"),
            (Some(Source::Variable(name)), _) => format!("the variable {name}"),
            (Some(Source::File(file)), _) => format!("{key} in {}", file.display()),
            (None, Some(file)) if key.is_empty() => file.to_string(),
            (None, Some(file)) => format!("{key} in {file}"),
            (None, None) => key,
        }
    }
}

/// How a table spells a name already, or as it is given.
fn spelled(table: &Table, name: &str) -> String {
    table.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned().unwrap_or_else(|| name.to_owned())
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key.join("."), self.value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Log {
        level: String,
        bytes: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        api: String,
        #[serde(default)]
        peers: BTreeMap<String, u16>,
        log: Log,
    }

    const FILE: &str = "api = \"a\"\n[log]\nlevel = \"info\"\nbytes = 1\n[peers]\n0xAb = 1\n";

    fn layers(text: &str, variables: &[(&str, &str)], settings: &[&str]) -> Result<Config, Mistake> {
        let settings: Vec<Setting> = settings.iter().map(|text| text.parse().unwrap()).collect();
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let layers = Layers::default().file(Path::new("node.toml"), text)?;
        layers.variables_of(variables, "DTN_NODE_", &[]).settings(&settings).extract()
    }

    #[test]
    fn the_later_layer_wins_key_by_key_and_keys_are_the_same_in_every_case() {
        let variables = [("DTN_NODE_LOG__LEVEL", "debug"), ("DTN_NODE_PEERS__0XAB", "2"), ("OTHER", "3")];
        let config = layers(FILE, &variables, &["log.bytes=7", "api=b:1"]).unwrap();
        let log = Log { level: "debug".into(), bytes: 7 };
        assert_eq!(config, Config { api: "b:1".into(), peers: [("0xAb".into(), 2)].into(), log });
        assert_eq!(layers(FILE, &[("DTN_NODE_LOG__LEVEL", "debug")], &["log.level=warn"]).unwrap().log.level, "warn");
    }

    #[test]
    fn what_is_built_in_is_below_everything_and_only_variables_below_a_key_count() {
        let log = Log { level: "info".into(), bytes: 1 };
        let built_in = Layers::built_in(&Config { api: "a".into(), peers: BTreeMap::new(), log }).unwrap();
        let all = [("DTN_LOG__LEVEL", "debug"), ("DTN_API", "b"), ("DTN_LOG", "c")];
        let all = all.into_iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let config: Config = built_in.variables_of(all, "DTN_", &["log"]).extract().unwrap();
        assert_eq!((config.api.as_str(), config.log.level.as_str()), ("a", "debug"));
    }

    #[test]
    fn a_mistake_is_told_with_who_made_it() {
        for (text, variables, settings, who) in [
            (FILE, &[][..], &["log.colour=red"][..], "--set log.colour"),
            (FILE, &[], &["log.bytes=many"], "--set log.bytes"),
            (FILE, &[("DTN_NODE_LOG__BYTES", "-1")], &[], "the variable DTN_NODE_LOG__BYTES"),
            ("api = \"a\"\n[log]\nlevl = \"info\"\n", &[], &[], "log.levl in node.toml"),
            ("api = 1\n[log]\nlevel = \"info\"\nbytes = 1\n", &[], &[], "api in node.toml"),
            ("api = \"a\"\n", &[], &[], "node.toml"),
            ("api = = 1\n", &[], &[], "node.toml"),
        ] {
            let mistake = layers(text, variables, settings).unwrap_err();
            assert_eq!(mistake.who, who, "{mistake}");
        }
        assert!(layers("api = \"a\"\n", &[], &[]).unwrap_err().what.contains("`log`"), "what is missing is named");
        assert!(layers("\n\nx = = 1", &[], &[]).unwrap_err().what.contains("line 3"));
    }

    #[test]
    fn a_text_is_a_number_a_list_or_itself_and_never_more_than_one_key() {
        assert_eq!(value_of("12"), Value::Integer(12));
        assert_eq!(value_of("[\"a\", \"b\"]"), Value::Array(vec!["a".into(), "b".into()]));
        for text in ["debug", "127.0.0.1:8545", "https://a.example/x", "1\nmore = 2", "3gwei", ""] {
            assert_eq!(value_of(text), Value::String(text.into()), "{text}");
        }
    }

    #[test]
    fn a_value_makes_room_for_a_table_and_the_other_way_round() {
        let said = layers("api = \"a\"\nlog = 1\n", &[], &["log.level=debug", "log.bytes=2"]).unwrap();
        assert_eq!(said.log, Log { level: "debug".into(), bytes: 2 });
        assert_eq!(layers(FILE, &[], &["log=1"]).unwrap_err().who, "--set log");
    }
}
