//! `dtn-cli sign`, `combine` and `execute --signatures`: calls of the multisig that owners sign off chain.

use std::path::{Path, PathBuf};

use alloy_primitives::{Address, Bytes, U256};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use dtn_chain::{Account, signer::RemoteSigner};
use dtn_keys::KeyChoice;
use dtn_peer::files;
use dtn_settlement::{
    execution::{Execution, SignedExecution},
    multisig::Multisig,
};
use serde_json::json;

use crate::{
    combine,
    commands::{
        desk::{Desk, done},
        multisig::{CallArgs, WalletCall, describe_parts},
    },
    context::{Context, ensure_new},
    output, said,
};

/// The largest file of signatures that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli sign --from owner-01 --to 0x7099…79C8 --value 0.5ether --out payment.json
  dtn-cli sign payment.json --from owner-02                      (adds a signature; needs no connection)
  dtn-cli sign payment.json --from owner-03 --out third.json
  dtn-cli sign payment.json --from remote:0x7099…79C8@http://127.0.0.1:9000    (Web3Signer, Clef with a hardware wallet)
  dtn-cli sign payment.json --signature 0x1234…          (made elsewhere, as by cast; whose it is follows from it)
  dtn-cli combine payment.json third.json --out signed.json
  dtn-cli execute --signatures signed.json --from dev:0          (anybody may)

The file is EIP-712 typed data: `cast wallet sign --data --from-file payment.json` makes the same signature. A new file takes
its nonce from the chain, or from --nonce without a connection. What is signed is printed first.")]
pub(crate) struct Sign {
    /// A file to add a signature to, in place of a new call
    #[arg(conflicts_with_all = ["to", "nonce"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    call: CallArgs,
    /// The wallet's nonce, which is asked for otherwise
    #[arg(long)]
    nonce: Option<U256>,
    /// Where to write: a file that is not there yet [default: the file that was given]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The owner's key: a name, an address, a file, dev:N, or remote:ADDRESS@URL for a program that signs
    #[arg(long, env = "DTN_FROM", hide_env_values = true, value_name = "KEY")]
    from: Option<KeyChoice>,
    /// A signature that another tool has made, in place of a key
    #[arg(long, value_name = "HEX", requires = "file")]
    signature: Option<Bytes>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  dtn-cli combine first.json second.json third.json --out signed.json

Every signature is checked; files of different calls are refused.")]
pub(crate) struct Combine {
    /// The files
    #[arg(required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Where to write: one of the files, or one that is not there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) async fn sign(args: Sign, context: &Context) -> Result<()> {
    if let (None, Some(out)) = (&args.file, &args.out) {
        ensure_new(out)?;
    }
    let mut signed = match &args.file {
        Some(file) => read(file)?,
        None if args.call.is_given() => new(args.call, args.nonce, context).await?,
        None => bail!("name a file to sign, or the account to call with --to"),
    };
    let target = match (args.out, args.file) {
        // There may be more signatures in it by the time.
        (Some(out), Some(file)) if out == file => Target::Same(file),
        (Some(out), _) => Target::Other(out),
        (None, Some(file)) => Target::Same(file),
        (None, None) => bail!("where to? Name a file with --out"),
    };
    preview(&signed)?;
    if let Some(signature) = args.signature {
        let signer = signed.add_found(signature)?;
        note_owner(signer, &signed, context)?;
        return target.write(signed, context);
    }
    if let Some(KeyChoice::Remote { address, url }) = &args.from {
        let signature = RemoteSigner::new(url, *address)?.sign_typed_data(&signed.typed_data()?).await;
        signed.add(*address, signature.with_context(|| format!("the signer of {address}"))?)?;
        note_owner(*address, &signed, context)?;
        return target.write(signed, context);
    }
    let mut network = context.network()?;
    // The keys of a development chain sign for no other one.
    network.chain_id = signed.chain_id;
    let key = context.signer(args.from.as_ref(), &network).await?;
    signed.sign(&key);
    note_owner(key.address(), &signed, context)?;
    target.write(signed, context)
}

async fn new(call: CallArgs, nonce: Option<U256>, context: &Context) -> Result<SignedExecution> {
    let WalletCall { to, value, data, expiry } = call.read(context)?;
    let (wallet, chain_id, nonce) = match nonce {
        Some(nonce) => {
            let network = context.network()?;
            let deployment = context.find_deployment(&network.name)?.with_context(|| {
                format!("nothing was deployed on `{}` from here, so the wallet is not known", network.name)
            })?;
            (deployment.addresses.multisig, deployment.chain_id, nonce)
        }
        None => {
            let Desk { chain, multisig, .. } = Desk::open(context).await?;
            (multisig.address(), chain.chain_id(), multisig.nonce().await?)
        }
    };
    Ok(SignedExecution::new(wallet, chain_id, Execution { to, value, data, expiry, nonce }))
}

pub(crate) async fn combine(args: Combine, context: &Context) -> Result<()> {
    let signed = combine::combined(&args.files, MAX_FILE, SignedExecution::combine)?;
    preview(&signed)?;
    Target::Other(args.out).write(signed, context)
}

/// Sends the signatures of a file.
pub(crate) async fn execute(file: &Path, context: &Context, multisig: &Multisig, account: &Account) -> Result<()> {
    let signed = read(file)?;
    let chain_id = account.chain().chain_id();
    if (signed.wallet, signed.chain_id) != (multisig.address(), chain_id) {
        let (wallet, chain) = (signed.wallet, signed.chain_id);
        bail!("{} is for wallet {wallet} on chain {chain}, not {} on {chain_id}", file.display(), multisig.address());
    }
    let nonce = multisig.nonce().await?;
    if signed.execution.nonce != nonce {
        let given = signed.execution.nonce;
        bail!(
            "{} has nonce {given} and the wallet is at {nonce}: {}",
            file.display(),
            if given < nonce {
                "it was executed, or another call took its place; sign anew"
            } else {
                "others come first"
            }
        );
    }
    let (owners, threshold) = (multisig.owners().await?, multisig.threshold().await?);
    let signed = signed.chosen(&owners, threshold).with_context(|| format!("{}", file.display()))?;
    preview(&signed)?;
    let record = multisig.execute_signed(account, &signed).await?;
    if context.json {
        return output::json(&json!({ "id": signed.preview().digest, "transaction": record }));
    }
    done(account.chain(), &record)
}

/// Says what is odd about who signs for which wallet, as far as is known here without a connection.
fn note_owner(signer: Address, signed: &SignedExecution, context: &Context) -> Result<()> {
    match context.find_deployment(&context.network)? {
        Some(deployment) if deployment.addresses.multisig == signed.wallet => {
            if !deployment.owners.contains(&signer) {
                output::note(format_args!(
                    "note: {signer} was no owner of the wallet {} when it was deployed; its signature counts only if it is now",
                    signed.wallet
                ));
            }
        }
        _ => output::note(format_args!(
            "note: the wallet {} on chain {} was not deployed from here",
            signed.wallet, signed.chain_id
        )),
    }
    Ok(())
}

/// Shows what is signed, before it is.
fn preview(signed: &SignedExecution) -> Result<()> {
    let SignedExecution { wallet, chain_id, execution, .. } = signed;
    let Execution { to, value, data, expiry, nonce } = execution;
    said::preview(describe_parts(to, *value, data, *expiry))?;
    said::preview(format_args!("wallet {wallet} on chain {chain_id}, nonce {nonce}"))?;
    said::preview(signed.preview())
}

fn read(file: &Path) -> Result<SignedExecution> {
    Ok(files::read_json(file, MAX_FILE)?)
}

/// Where signatures are written.
enum Target {
    /// The file that they were read from, in which there may be more by now.
    Same(PathBuf),
    /// Another one.
    Other(PathBuf),
}

impl Target {
    fn write(self, signed: SignedExecution, context: &Context) -> Result<()> {
        match self {
            Self::Same(file) => {
                let all = combine::add_to(&file, MAX_FILE, signed, SignedExecution::combine)?;
                written(&file, &all, context)
            }
            Self::Other(file) => {
                files::write_json(&file, &signed)?;
                written(&file, &signed, context)
            }
        }
    }
}

fn written(file: &Path, signed: &SignedExecution, context: &Context) -> Result<()> {
    let signers: Vec<_> = signed.signers().collect();
    if context.json {
        return output::json(&json!({ "file": file, "preview": signed.preview(), "signers": signers }));
    }
    let list = signers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    output::line(format!("{}: signed by {list}", file.display()))
}
