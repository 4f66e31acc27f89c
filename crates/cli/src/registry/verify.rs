//! `run-wasm verify`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use builder::registry::Reference;
use builder::sign;
use serde::Serialize;

use super::{Access, Report};

/// Prints the image with its digest when one of its signatures is by this key, and fails otherwise. Use what is printed: a tag
/// may lead to another image a moment later.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: run-wasm verify registry.example/team/hello:1.2.3 --key team.pub")]
pub struct Args {
    /// registry/name:tag, registry/name@digest, or both, where the digest decides.
    #[arg(value_name = "REF")]
    reference: Reference,
    /// A public key of ECDSA P-256 (PEM), such as cosign's.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Serialize)]
struct Done {
    reference: String,
    digest: String,
    key: PathBuf,
    /// The digest of the public key.
    key_digest: String,
    /// The repository that it was in when it was signed, where its signature tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_in: Option<String>,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let key = sign::public_key(&self.key)?;
        let client = self.access.client(self.reference.repository(), self.report.progress())?;
        let name = self.key.display().to_string();
        let verified = crate::work::run(sign::verify(&client, &self.reference, &key, &name))?;
        let done = Done {
            reference: super::with_digest(&self.reference, &verified.image),
            digest: verified.image.to_string(),
            key: self.key,
            key_digest: key.fingerprint().to_string(),
            signed_in: verified.signed_in,
        };
        self.report.write(out, &done, |done| format!("{}\n", done.reference))
    }
}
