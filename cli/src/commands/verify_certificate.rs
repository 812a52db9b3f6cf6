//! `dtn-cli verify-certificate`: what a light client does. It needs the genesis and no connection.

use std::path::PathBuf;

use alloy_primitives::B256;
use anyhow::{Context as _, Result, ensure};
use clap::Args;
use dtn_api::CertifiedHeader;
use dtn_keys::bls::PublishedKeys;
use dtn_peer::files;
use dtn_peer::read_genesis;
use dtn_primitives::{Genesis, SettlementCertificate, ValidatorSet};
use dtn_settlement::message::{CertificateKind, SignedMessage};
use dtn_testbed::Home;
use serde_json::{Value, json};

use crate::{context::Context, failure::Coded, output};

/// The largest file that is read.
const MAX_FILE: u64 = 128 << 20;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli l1 certificate 12 --json > block.json && dtn-cli verify-certificate block.json
  dtn-cli verify-certificate first.json --genesis net/genesis.json
  dtn-cli verify-certificate first.json --bls-keys keys.json      (checks the BLS signatures instead)

It takes a block's certificate, a signed distribution or a signed rotation, trusts nothing but the genesis (and the BLS keys,
if they are given), and asks nobody. Exit code 0: a quorum has signed it.")]
pub(crate) struct VerifyCertificate {
    /// The certificate
    file: PathBuf,
    /// The network's genesis [default: genesis.json in --home]
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// The validators' published BLS keys, from `dtn-cli bls keys --out`
    #[arg(long, value_name = "FILE")]
    bls_keys: Option<PathBuf>,
}

pub(crate) async fn run(args: VerifyCertificate, context: &Context) -> Result<()> {
    let genesis = read_genesis(&args.genesis.unwrap_or_else(|| Home::new(&context.home).genesis_file()))?;
    let validators = genesis.validator_set()?;
    let name = args.file.display();
    let found: Value = files::read_json(&args.file, MAX_FILE)?;
    let keys: Option<PublishedKeys> =
        args.bls_keys.as_deref().map(|file| files::read_json(file, MAX_FILE)).transpose()?;
    let wrong = |error| Coded::not_valid(&args.file, None, format_args!("{name} is no certificate: {error}"));
    let verdict = match found.get("header").is_some() {
        true => block(serde_json::from_value(found).map_err(wrong)?, &genesis, &validators),
        false => {
            let signed: SignedMessage = serde_json::from_value(found).map_err(wrong)?;
            message(&signed, &genesis, &validators, keys.as_ref())
        }
    };
    let verdict = verdict.with_context(|| format!("{name} does not hold"))?;
    if context.json {
        return output::json(&verdict);
    }
    output::line(format!(
        "{name} holds: {} of {} validators of epoch {} signed {}, and {} are a quorum",
        verdict["signers"],
        validators.len(),
        validators.epoch(),
        verdict["what"].as_str().unwrap_or_default(),
        validators.quorum(),
    ))
}

fn block(certified: CertifiedHeader, genesis: &Genesis, validators: &ValidatorSet) -> Result<Value> {
    let CertifiedHeader { header, certificate, .. } = certified;
    let (network, chain) = (genesis.network_id(), genesis.chain_id);
    check_network((header.network_id, header.chain_id), genesis)?;
    let hash = header.hash();
    ensure!(
        (certificate.height, certificate.block_hash) == (header.height, hash),
        "the certificate is for block {} {}, and the header is that of block {} {hash}",
        certificate.height,
        certificate.block_hash,
        header.height
    );
    certificate.verify(&genesis.domain(), validators)?;
    let what = format!("block {} {hash}", header.height);
    Ok(json!({ "what": what, "network_id": network, "chain_id": chain, "epoch": certificate.epoch,
        "height": header.height, "hash": hash, "signers": certificate.signatures.len() }))
}

fn message(
    signed: &SignedMessage,
    genesis: &Genesis,
    validators: &ValidatorSet,
    keys: Option<&PublishedKeys>,
) -> Result<Value> {
    check_network((signed.network_id, signed.chain_id), genesis)?;
    let epoch = signed.message().epoch();
    ensure!(
        epoch == validators.epoch(),
        "it is of epoch {epoch}, and the genesis names those of {}",
        validators.epoch()
    );
    let addresses: Vec<_> = validators.iter().map(|(_, validator)| validator.address).collect();
    let none = PublishedKeys::new();
    let kind = if keys.is_some() { CertificateKind::Bls } else { CertificateKind::Ecdsa };
    let keys = keys.unwrap_or(&none);
    let certificate = signed.certificate(&addresses, keys, Some(kind))?;
    let places: Vec<_> = addresses.iter().map(|validator| keys.get(validator).copied()).collect();
    certificate.verify(signed.digest(), validators, &places)?;
    let signers = match &certificate {
        SettlementCertificate::Bls(certificate) => certificate.signers().count(),
        SettlementCertificate::Ecdsa(_) => validators.quorum(),
    };
    let what = format!("{} {}", if keys.is_empty() { "the message" } else { "by BLS the message" }, signed.digest());
    Ok(json!({ "what": what, "network_id": signed.network_id, "chain_id": signed.chain_id, "epoch": epoch,
        "digest": signed.digest(), "signers": signers }))
}

fn check_network(theirs: (B256, u64), genesis: &Genesis) -> Result<()> {
    let ours = (genesis.network_id(), genesis.chain_id);
    ensure!(
        theirs == ours,
        "it is of network {} on chain {}, and the genesis is of {} on {}",
        theirs.0,
        theirs.1,
        ours.0,
        ours.1
    );
    Ok(())
}
