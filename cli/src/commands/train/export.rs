//! `dtn-cli train export`: everything that an order's payment rests on, for programs that have nothing of ours.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use dtn_documents::export::{self, onnx, safetensors};
use dtn_participant::Peer;
use dtn_primitives::{B256, codec};
use dtn_train::Model;
use dtn_trainer::Blob;
use dtn_training::{Material, TrainingOrder};
use serde_json::json;

use super::{access::Asked, data::write};
use crate::{context::Context, output};

/// Write what is known of an order into a folder.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dtn-cli train export 0x3f1c…e2 --out export
  scripts/check-model export                     (checks all of it without any program of ours)

Written are order.json (terms, claims, committee, payments), the data (data.dtd, fold.dtd), the rows that were opened
(opening.bin), and of each revealed claim model.dtm, trace.json and, of linear models and networks, model.onnx, which gives the
same logits to the last bit, and model.safetensors. Peers keep what an order is about for a while after its end.")]
pub(crate) struct Export {
    /// The order
    order: B256,
    /// The folder to write to, which is made
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    asked: Asked,
}

pub(super) async fn run(export: &Export, context: &Context) -> Result<()> {
    let peer = export.asked.peer(context).await?;
    let at = peer.order(export.order).await?;
    fs::create_dir_all(&export.out).with_context(|| export.out.display().to_string())?;
    let mut folder = Folder { peer, at, out: export.out.clone(), files: Vec::new(), missing: Vec::new() };
    folder.fill().await?;
    let Folder { files, missing, .. } = folder;
    if context.json {
        return output::json(&json!({ "folder": export.out, "files": files, "missing": missing }));
    }
    files.iter().try_for_each(|file| output::line(export.out.join(file).display()))?;
    missing.iter().for_each(|what| output::warn(format_args!("the peer does not have {what} any more")));
    Ok(())
}

/// A folder that is being filled.
struct Folder {
    peer: Peer,
    at: TrainingOrder,
    out: PathBuf,
    files: Vec<PathBuf>,
    missing: Vec<String>,
}

impl Folder {
    async fn fill(&mut self) -> Result<()> {
        let document = export::order(self.peer.domain().network_id, &self.at);
        self.put("order.json", &serde_json::to_vec_pretty(&document)?)?;
        let Material { data, fold, .. } = self.at.proof.material().clone();
        self.copy("data.dtd", Blob::Data(data.root)).await?;
        self.copy("fold.dtd", Blob::Data(fold.root)).await?;
        if let Some(rows) = self.at.order.rows() {
            self.copy("opening.bin", Blob::Rows(rows)).await?;
        }
        for claim in self.at.order.scored_claims() {
            let Some(reveal) = self.at.order.revealed(claim as u8) else { continue };
            let folder = PathBuf::from(format!("claim-{claim}"));
            fs::create_dir_all(self.out.join(&folder))?;
            if let Some(bytes) = self.copy(folder.join("model.dtm"), Blob::Model(reveal.model)).await? {
                let model = Model::decode(&bytes)?;
                if model.layers().is_some() {
                    self.put(folder.join("model.onnx"), &onnx(&model)?)?;
                    self.put(folder.join("model.safetensors"), &safetensors(&model)?)?;
                }
            }
            if reveal.trace.is_zero() {
                continue;
            }
            if let Some(bytes) = self.peer.fetch(self.at.order.id(), Blob::Trace(reveal.trace)).await? {
                let states: Vec<B256> = codec::decode(&bytes, bytes.len())?;
                self.put(folder.join("trace.json"), &serde_json::to_vec_pretty(&states)?)?;
            }
        }
        if self.files.len() == 1 && self.at.order.scored_claims().is_empty() && self.missing.is_empty() {
            return Ok(());
        }
        if self.files.len() == 1 {
            bail!(
                "the peer has nothing of order {} any more but its state; ask another one with --api",
                self.at.order.id()
            );
        }
        Ok(())
    }

    async fn copy(&mut self, file: impl AsRef<Path>, blob: Blob) -> Result<Option<Vec<u8>>> {
        let bytes = self.peer.fetch(self.at.order.id(), blob).await?;
        match &bytes {
            Some(bytes) => self.put(file, bytes)?,
            None => self.missing.push(format!("{} {}", blob.kind(), blob.hash())),
        }
        Ok(bytes)
    }

    fn put(&mut self, file: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        write(&self.out.join(&file), bytes)?;
        self.files.push(file.as_ref().into());
        Ok(())
    }
}
