//! Compiling the contracts into the artifacts that `dtn-settlement` embeds, with the settings of `foundry.toml`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use dtn_bindings::ARTIFACTS;
use foundry_compilers::{
    ProjectBuilder, ProjectPathsConfig,
    artifacts::{
        BytecodeHash, ConfigurableContractArtifact, EvmVersion, Settings, SettingsMetadata, SolcLanguage,
        output_selection::OutputSelection, remappings::Remapping,
    },
    solc::{Solc, SolcCompiler, SolcSettings},
};
use serde::Deserialize;

/// Where the artifacts are, from the repository's root.
pub const ARTIFACTS_DIR: &str = "contracts/artifacts";

/// Why the contracts were not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// No project here.
    #[error("there is no foundry.toml in {0} or above it; run this inside the repository")]
    NoProject(String),
    /// A mistake in `foundry.toml` or `remappings.txt`.
    #[error("{file}: {reason}")]
    Settings {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// No compiler.
    #[error("no Solidity compiler: run scripts/setup, or name one with DTN_SOLC ({0})")]
    NoCompiler(String),
    /// The compiler failed or found errors.
    #[error("{0}")]
    Compiler(String),
    /// A contract that should be there is not.
    #[error("the sources have no contract {0}")]
    Missing(String),
    /// A file operation.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What went wrong.
        source: io::Error,
    },
}

/// What of `foundry.toml` is read.
#[derive(Debug, Deserialize)]
struct Foundry {
    profile: Profiles,
}

#[derive(Debug, Deserialize)]
struct Profiles {
    default: Profile,
}

/// The settings that change what the compiler produces.
#[derive(Debug, Deserialize)]
struct Profile {
    src: PathBuf,
    libs: Vec<PathBuf>,
    solc: Option<PathBuf>,
    evm_version: String,
    #[serde(default)]
    optimizer: bool,
    optimizer_runs: Option<usize>,
    #[serde(default)]
    via_ir: bool,
    bytecode_hash: Option<String>,
    cbor_metadata: Option<bool>,
}

/// The folder with `foundry.toml`, at or above `start`.
pub fn find_project(start: &Path) -> Result<PathBuf, CompileError> {
    let absolute = std::path::absolute(start).unwrap_or_else(|_| start.to_path_buf());
    let found = absolute.ancestors().find(|dir| dir.join("foundry.toml").is_file()).map(Path::to_path_buf);
    found.ok_or_else(|| CompileError::NoProject(start.display().to_string()))
}

fn settings_error(file: &Path) -> impl Fn(String) -> CompileError + '_ {
    move |reason| CompileError::Settings { file: file.display().to_string(), reason }
}

fn read_profile(root: &Path) -> Result<Profile, CompileError> {
    let file = root.join("foundry.toml");
    let invalid = settings_error(&file);
    let text = fs::read_to_string(&file).map_err(|error| invalid(error.to_string()))?;
    let settings: Foundry = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
    Ok(settings.profile.default)
}

fn read_remappings(root: &Path) -> Result<Vec<Remapping>, CompileError> {
    let file = root.join("remappings.txt");
    let Ok(text) = fs::read_to_string(&file) else { return Ok(Vec::new()) };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let parsed = lines.map(|line| line.parse::<Remapping>().map_err(|error| settings_error(&file)(error.to_string())));
    let absolute = |remapping: Remapping| Remapping {
        path: format!("{}/", root.join(&remapping.path).display()).replace("//", "/"),
        ..remapping
    };
    parsed.map(|remapping| remapping.map(absolute)).collect()
}

/// `DTN_SOLC`, else what scripts/setup found (`FOUNDRY_SOLC`, also from `.env`), else `foundry.toml`'s, else PATH's.
fn find_solc(root: &Path, profile: &Profile) -> Option<PathBuf> {
    let dotenv = fs::read_to_string(root.join(".env")).unwrap_or_default();
    let set_up = dotenv.lines().find_map(|line| line.strip_prefix("FOUNDRY_SOLC="));
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let candidates = [
        variable("DTN_SOLC"),
        variable("FOUNDRY_SOLC"),
        set_up.map(|path| PathBuf::from(path.trim_matches('"'))),
        profile.solc.clone(),
    ];
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).map(|dir| dir.join("solc"));
    let all = candidates.into_iter().flatten().map(|path| root.join(path)).chain(on_path);
    all.into_iter().find(|path| path.is_file())
}

/// Compiles the project in `root`. The texts of the artifacts, by contract name.
pub fn compile(root: &Path) -> Result<BTreeMap<String, String>, CompileError> {
    let profile = read_profile(root)?;
    let solc = find_solc(root, &profile).ok_or_else(|| CompileError::NoCompiler("none found".into()))?;
    let solc = Solc::new(&solc).map_err(|error| CompileError::NoCompiler(format!("{}: {error}", solc.display())))?;
    let version = solc.version_short();

    let foundry_toml = root.join("foundry.toml");
    let invalid = settings_error(&foundry_toml);
    let evm_version: EvmVersion = profile.evm_version.parse().map_err(&invalid)?;
    let bytecode_hash: Option<BytecodeHash> =
        profile.bytecode_hash.map(|hash| hash.parse().map_err(&invalid)).transpose()?;
    let mut settings = Settings::new(OutputSelection::default_output_selection());
    settings.optimizer.enabled = Some(profile.optimizer);
    settings.optimizer.runs = profile.optimizer_runs;
    settings.evm_version = Some(evm_version);
    settings.via_ir = Some(profile.via_ir);
    settings.metadata =
        Some(SettingsMetadata { use_literal_content: None, bytecode_hash, cbor_metadata: profile.cbor_metadata });

    let compiler_error = |error: foundry_compilers::error::SolcError| CompileError::Compiler(error.to_string());
    let paths: ProjectPathsConfig<SolcLanguage> = ProjectPathsConfig::builder()
        .sources(root.join(&profile.src))
        .tests(root.join(&profile.src))
        .scripts(root.join(&profile.src))
        .libs(profile.libs.iter().map(|lib| root.join(lib)))
        .remappings(read_remappings(root)?)
        .build_with_root(root);
    let project = ProjectBuilder::<SolcCompiler>::new(Default::default())
        .paths(paths)
        .settings(SolcSettings { settings, ..SolcSettings::default() })
        .ephemeral()
        .no_artifacts()
        .offline()
        .build(SolcCompiler::Specific(solc))
        .map_err(compiler_error)?;
    let output = project.compile().map_err(compiler_error)?;
    if output.has_compiler_errors() {
        return Err(CompileError::Compiler(output.to_string()));
    }

    let artifact = |name: &str| {
        let compiled = output.find_first(name).and_then(|artifact| render(name, &version.to_string(), artifact));
        let text = compiled.ok_or_else(|| CompileError::Missing(name.to_string()))?;
        Ok((name.to_string(), text))
    };
    ARTIFACTS.iter().map(|(name, _)| artifact(name)).collect()
}

fn render(name: &str, compiler: &str, artifact: &ConfigurableContractArtifact) -> Option<String> {
    let bytecode = artifact.bytecode.as_ref()?.object.as_bytes()?;
    let json = serde_json::json!({
        "contractName": name,
        "compiler": compiler,
        "abi": artifact.abi.as_ref()?,
        "bytecode": bytecode,
    });
    Some(format!("{json:#}\n"))
}

/// Writes artifacts. The names of those that changed.
pub fn write(root: &Path, artifacts: &BTreeMap<String, String>) -> Result<Vec<String>, CompileError> {
    let changed = drifted(root, artifacts);
    let dir = root.join(ARTIFACTS_DIR);
    fs::create_dir_all(&dir).map_err(|source| CompileError::Io { path: dir.display().to_string(), source })?;
    for name in &changed {
        let path = dir.join(format!("{name}.json"));
        let written = fs::write(&path, &artifacts[name]);
        written.map_err(|source| CompileError::Io { path: path.display().to_string(), source })?;
    }
    Ok(changed)
}

/// The names of the artifacts whose files say something else than the compiler does.
pub fn drifted(root: &Path, artifacts: &BTreeMap<String, String>) -> Vec<String> {
    let on_disk = |name: &str| fs::read_to_string(root.join(ARTIFACTS_DIR).join(format!("{name}.json"))).ok();
    let differ = artifacts.iter().filter(|(name, text)| on_disk(name).as_deref() != Some(text.as_str()));
    differ.map(|(name, _)| name.clone()).collect()
}

/// The names of the artifacts of which this program embeds another version than the compiler gives.
pub fn embedded_drift(artifacts: &BTreeMap<String, String>) -> Vec<String> {
    let differ = ARTIFACTS.iter().filter(|(name, text)| artifacts.get(*name).map(String::as_str) != Some(*text));
    differ.map(|(name, _)| name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_embedded_is_what_the_compiler_gives() {
        let root = find_project(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the repository");
        match compile(&root) {
            Ok(artifacts) => assert_eq!(embedded_drift(&artifacts), [""; 0], "run `dtn-cli compile`"),
            Err(CompileError::NoCompiler(reason)) => eprintln!("not checked, no compiler: {reason}"),
            Err(error) => panic!("{error}"),
        }
    }
}
