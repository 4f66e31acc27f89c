//! TLS: authorities of one's own, and never plain text where TLS is due.

use std::fs;

use builder::registry::{Client, Options, Platforms, Reference, Silent, Source};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::daemon::Daemon;
use crate::kit::{Kit, image, options, sentence};

/// A registry with a certificate of an authority that nobody knows, and that authority's own certificate.
fn with_tls(folder: &std::path::Path) -> (Daemon, std::path::PathBuf) {
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, folder.display().to_string());
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let certificate = leaf.signed_by(&key, &issuer).unwrap();
    let path = |name: &str| folder.join(name);
    fs::write(path("ca.pem"), authority_certificate.pem()).unwrap();
    fs::write(path("cert.pem"), certificate.pem()).unwrap();
    fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let tls =
        format!(", tls: {{certificate: {}, key: {}}}", path("cert.pem").display(), path("key.pem").display());
    (Daemon::with(&tls, ""), path("ca.pem"))
}

#[tokio::test]
async fn an_authority_of_ones_own_is_believed_when_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (daemon, ca_file) = with_tls(folder.path());
    let reference: Reference = format!("{}/a:1", daemon.address).parse().unwrap();
    let source = Source::layout(image("x"));
    let kit = Kit::with(Options { ca_file: Some(ca_file), ..options() });
    kit.client.push(&source, &reference, &[]).await.unwrap();
    kit.client.pull(&reference, Platforms::Best, &kit.store).await.unwrap();

    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let (_another, wrong) = with_tls(&other);
    let stranger = Kit::with(Options { ca_file: Some(wrong), ..options() });
    let error = sentence(stranger.client.push(&source, &reference, &[]).await.unwrap_err());
    assert!(error.contains("authority that is not known here") && error.contains("--ca-file"), "{error}");
}

#[tokio::test]
async fn a_registry_without_tls_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let (_tls, ca_file) = with_tls(folder.path());
    let plain = Daemon::start();
    let kit = Kit::with(Options { ca_file: Some(ca_file), ..options() });
    let repository = crate::kit::repository(&plain.address, "a");
    let error = sentence(kit.client.tags(&repository).await.unwrap_err());
    assert!(error.contains("does not speak TLS") && error.contains("--plain-http"), "{error}");
}

#[test]
fn a_file_that_holds_no_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for content in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        fs::write(&file, content).unwrap();
        let options = Options { ca_file: Some(file.clone()), ..options() };
        let error = sentence(Client::new(options, std::sync::Arc::new(Silent)).unwrap_err());
        assert!(error.contains("ca.pem cannot be used"), "{error}");
    }
}
