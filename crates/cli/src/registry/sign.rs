//! `run-wasm sign`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use builder::registry::Reference;
use builder::sign::{self, PrivateKey};
use console::Term;
use serde::Serialize;

use super::{Access, Report};

/// The signature is stored beside the image, in cosign's form; those that are there stay. What is signed is the image that the
/// reference leads to now: name it by its digest to be sure which.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  run-wasm sign --generate-key team      # writes team.key and team.pub\n  \
                        run-wasm sign registry.example/team/hello:1.2.3 --key team.key\n  \
                        run-wasm verify registry.example/team/hello:1.2.3 --key team.pub"
)]
pub struct Args {
    /// registry/name:tag, registry/name@digest, or both, where the digest decides.
    #[arg(value_name = "REF", required_unless_present = "generate_key")]
    reference: Option<Reference>,
    /// A private key of ECDSA P-256 (PEM): PKCS#8, or cosign's, whose password is COSIGN_PASSWORD or asked for.
    #[arg(long, value_name = "FILE", required_unless_present = "generate_key")]
    key: Option<PathBuf>,
    /// Make a pair of keys instead: PREFIX.key to sign by, which nobody else should have, and PREFIX.pub to verify by.
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["reference", "key"])]
    generate_key: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Serialize)]
struct Pair {
    private: PathBuf,
    public: PathBuf,
}

#[derive(Debug, Serialize)]
struct Done {
    reference: String,
    digest: String,
    /// Where the signatures are.
    signatures: String,
    /// Whether this key had signed it before.
    was_there: bool,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        if let Some(prefix) = &self.generate_key {
            let files = sign::generate(prefix)?;
            let pair = Pair { private: files.private, public: files.public };
            return self.report.write(out, &pair, |pair| {
                format!("{}\n{}\n", pair.private.display(), pair.public.display())
            });
        }
        let reference = self.reference.context("there is nothing to sign: name an image")?;
        let key = self.key.context("there is nothing to sign by: name a key by --key")?;
        let key = PrivateKey::read(&key, || password(&key))?;
        let client = self.access.client(reference.repository(), self.report.progress())?;
        let signed = crate::work::run(sign::sign(&client, &reference, &key))?;
        let done = Done {
            reference: super::with_digest(&reference, &signed.image),
            digest: signed.image.to_string(),
            signatures: signed.signatures.to_string(),
            was_there: signed.was_there,
        };
        self.report.write(out, &done, |done| format!("{}\n", done.reference))
    }
}

/// The password of a key: of the environment, as cosign has it, or of whoever sits at the terminal.
fn password(key: &Path) -> Result<String> {
    if let Some(password) = std::env::var_os("COSIGN_PASSWORD") {
        return password.into_string().ok().context("COSIGN_PASSWORD is no text in UTF-8");
    }
    let terminal = Term::stderr();
    if !terminal.is_term() {
        bail!("it is encrypted, and there is no terminal to ask at: give its password in COSIGN_PASSWORD");
    }
    terminal.write_str(&format!("password of {}: ", key.display()))?;
    terminal.read_secure_line().context("cannot read the password: give it in COSIGN_PASSWORD")
}
