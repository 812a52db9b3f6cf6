//! Files in which messages travel that validators sign: signed, combined, posted.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};
use dtn_keys::KeyChoice;
use dtn_peer::files;
use dtn_settlement::{
    bls_keys::BlsKeys,
    message::{CertificateKind, Content, SignedMessage},
};
use serde_json::json;

use crate::{
    combine,
    commands::desk::{Desk, send},
    context::{Context, Sender, ensure_new},
    output, said,
};

/// The largest file of earnings or signatures that is read: some half a million accounts.
pub(crate) const MAX_FILE: u64 = 128 << 20;

#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// The file
    file: PathBuf,
    /// Where to write: a file that is not there yet [default: the same file]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The validator's key: a name, an address, a file, or dev:N
    #[arg(long, env = "DTN_FROM", hide_env_values = true, value_name = "KEY")]
    from: Option<KeyChoice>,
}

#[derive(Debug, Args)]
pub(crate) struct Combine {
    /// The files
    #[arg(required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Where to write: one of the files, or one that is not there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// A signature of 65 bytes for each signer
    Ecdsa,
    /// One signature for all, by the validators' published BLS keys
    Bls,
}

#[derive(Debug, Args)]
pub(crate) struct Post {
    /// The file with the signatures
    file: PathBuf,
    /// How it is signed [default: what costs less]
    #[arg(long, value_name = "KIND")]
    certificate: Option<Kind>,
    #[command(flatten)]
    sender: Sender,
}

pub(crate) async fn sign(args: Sign, context: &Context) -> Result<()> {
    let mut signed = read(&args.file)?;
    said::preview(&signed)?;
    let mut network = context.network()?;
    // The keys of a development chain sign for no other one.
    network.chain_id = signed.chain_id;
    let key = context.signer(args.from.as_ref(), &network).await?;
    // What is not on the disk could be forgotten, and the opposite signed.
    context.pledges().make(&signed, key.address(), &args.file)?;
    signed.sign(&key);
    match args.out.filter(|out| *out != args.file) {
        Some(out) => write(&out, &signed, context),
        None => written(&args.file, &combine::add_to(&args.file, MAX_FILE, signed, SignedMessage::combine)?, context),
    }
}

pub(crate) fn combine(args: Combine, context: &Context) -> Result<()> {
    let signed = combine::combined(&args.files, MAX_FILE, SignedMessage::combine)?;
    output::note(&signed);
    write(&args.out, &signed, context)
}

pub(crate) async fn post(args: Post, context: &Context) -> Result<()> {
    let signed = read(&args.file)?;
    let (desk, account) = Desk::open_as(context, &args.sender).await?;
    check_network(&signed, &desk, &args.file)?;
    let keys = BlsKeys::new(desk.chain.clone(), desk.deployment.addresses.registry, desk.deployment.from_block);
    let (epoch, validators) = keys.validators().await?;
    let given = signed.message().epoch();
    ensure!(
        given == epoch,
        "{} is of epoch {given}, and the registry is at {epoch}: make it anew",
        args.file.display()
    );
    let kind = args.certificate.map(|kind| match kind {
        Kind::Ecdsa => CertificateKind::Ecdsa,
        Kind::Bls => CertificateKind::Bls,
    });
    let published = match kind {
        Some(CertificateKind::Ecdsa) => BTreeMap::new(),
        _ => keys.published().await?,
    };
    if kind == Some(CertificateKind::Bls) && published.is_empty() {
        bail!("no BLS keys of epoch {epoch} are published: `dtn-cli bls register` and `dtn-cli bls publish` do that");
    }
    let certificate = signed.certificate(&validators, &published, kind)?;
    output::note(&signed);
    send(&account, &signed.post(desk.deployment.addresses.registry, &certificate)?, context).await
}

/// Fails unless a message is of this network.
pub(crate) fn check_network(signed: &SignedMessage, desk: &Desk, file: &Path) -> Result<()> {
    let (network, chain) = (desk.deployment.network_id, desk.deployment.chain_id);
    let theirs = (signed.network_id, signed.chain_id);
    ensure!(
        theirs == (network, chain),
        "{} is of network {} on chain {}, and here is network {network} on chain {chain}",
        file.display(),
        theirs.0,
        theirs.1
    );
    Ok(())
}

/// Writes a message of this network that nobody has signed yet to a file that is not there yet.
pub(crate) fn new(content: Content, desk: &Desk, out: &Path, context: &Context) -> Result<()> {
    ensure_new(out)?;
    let signed = SignedMessage::new(desk.deployment.network_id, desk.deployment.chain_id, content)?;
    output::note(&signed);
    write(out, &signed, context)
}

/// Reads a message with its signatures, each of which is checked.
pub(crate) fn read(file: &Path) -> Result<SignedMessage> {
    Ok(files::read_json(file, MAX_FILE)?)
}

fn write(file: &Path, signed: &SignedMessage, context: &Context) -> Result<()> {
    files::write_json(file, signed)?;
    written(file, signed, context)
}

fn written(file: &Path, signed: &SignedMessage, context: &Context) -> Result<()> {
    let signers: Vec<_> = signed.signers().collect();
    if context.json {
        return output::json(&json!({ "file": file, "digest": signed.digest(), "signers": signers }));
    }
    let by = match signers.as_slice() {
        [] => "signed by nobody yet".to_string(),
        some => format!("signed by {}", some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    };
    output::line(format!("{}: {by}", file.display()))
}
