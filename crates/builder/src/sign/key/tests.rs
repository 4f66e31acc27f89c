use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use image::Digest;
use image::signature::{payload, verify};

use super::*;

/// openssl, as another implementation.
fn openssl(folder: &Path, words: &[&str]) -> Output {
    Command::new("openssl").args(words).current_dir(folder).output().expect("openssl is installed")
}

fn succeeds(folder: &Path, words: &[&str]) -> Vec<u8> {
    let output = openssl(folder, words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn plain(path: &Path) -> Result<PrivateKey> {
    PrivateKey::read(path, || bail!("nobody gives a password"))
}

#[test]
fn a_key_of_cosigns_signs_with_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("cosign.key"), include_bytes!("../vectors/cosign.key")).unwrap();
    fs::write(path("cosign.pub"), include_bytes!("../vectors/cosign.pub")).unwrap();
    let private = PrivateKey::read(&path("cosign.key"), || Ok("open sesame".into())).unwrap();
    let public = public_key(&path("cosign.pub")).unwrap();
    assert_eq!(private.public(), &public);
    let image = Digest::of(b"an image");
    let statement = payload(&image, "registry.example/a");
    assert!(verify(&statement, &private.sign(&statement).unwrap(), &public, &image).is_ok());
    let error = PrivateKey::read(&path("cosign.key"), || Ok("wrong".into())).unwrap_err();
    let sentence = format!("{error:#}");
    assert!(sentence.contains("cosign.key cannot be used to sign: its password is another"), "{sentence}");
}

#[test]
fn a_pair_is_made_that_only_its_owner_reads_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let files = generate(&folder.path().join("team.v1")).unwrap();
    assert_eq!(files.private, folder.path().join("team.v1.key"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&files.private), mode(&files.public)), (0o600, 0o644));
    let (private, public) = (plain(&files.private).unwrap(), public_key(&files.public).unwrap());
    assert_eq!(private.public(), &public);
    for taken in [&files.private, &files.public] {
        let other = if taken == &files.private { &files.public } else { &files.private };
        fs::remove_file(other).unwrap();
        let before = fs::read(taken).unwrap();
        let error = generate(&folder.path().join("team.v1")).unwrap_err().to_string();
        assert!(error.contains(&taken.display().to_string()) && error.contains("another prefix"), "{error}");
        assert_eq!(fs::read(taken).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::remove_file(taken).unwrap();
        generate(&folder.path().join("team.v1")).unwrap();
    }
    let error = generate(&folder.path().join("no/such")).unwrap_err();
    assert!(format!("{error:#}").starts_with("cannot write "), "{error:#}");
}

#[test]
fn openssl_verifies_what_we_sign_and_we_what_it_signs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let image = Digest::of(b"an image");
    let statement = payload(&image, "registry.example/a");
    fs::write(path("payload"), &statement).unwrap();
    let ours = generate(&path("ours")).unwrap();
    succeeds(
        folder.path(),
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "theirs.key"],
    );
    succeeds(folder.path(), &["pkey", "-in", "theirs.key", "-pubout", "-out", "theirs.pub"]);
    for files in [ours, Files { private: path("theirs.key"), public: path("theirs.pub") }] {
        let (private, public) = (plain(&files.private).unwrap(), public_key(&files.public).unwrap());
        let signature = private.sign(&statement).unwrap();
        assert!(verify(&statement, &signature, &public, &image).is_ok());
        fs::write(path("sig"), BASE64_STANDARD.decode(&signature).unwrap()).unwrap();
        let name = files.public.to_str().unwrap();
        let check = ["dgst", "-sha256", "-verify", name, "-signature", "sig", "payload"];
        assert_eq!(succeeds(folder.path(), &check), b"Verified OK\n");
        let name = files.private.to_str().unwrap();
        let signature = succeeds(folder.path(), &["dgst", "-sha256", "-sign", name, "payload"]);
        assert!(verify(&statement, &BASE64_STANDARD.encode(signature), &public, &image).is_ok());
        // The test can tell: what is not signed is refused by both.
        fs::write(path("payload"), b"another").unwrap();
        assert!(!openssl(folder.path(), &check).status.success());
        fs::write(path("payload"), &statement).unwrap();
    }
}

#[test]
fn a_file_that_is_no_private_key_is_named_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let curve = "ec_paramgen_curve:P-384";
    succeeds(at, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "sec1"]);
    succeeds(at, &["pkcs8", "-topk8", "-in", "sec1", "-out", "encrypted", "-passout", "pass:x"]);
    succeeds(at, &["pkcs8", "-topk8", "-nocrypt", "-in", "sec1", "-out", "good"]);
    succeeds(at, &["pkey", "-in", "sec1", "-pubout", "-out", "public"]);
    succeeds(at, &["genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", "p384"]);
    succeeds(at, &["pkey", "-in", "p384", "-pubout", "-out", "p384.pub"]);
    fs::write(at.join("cosign"), include_bytes!("../vectors/cosign.key")).unwrap();
    fs::write(at.join("damaged"), pem::encode("ENCRYPTED SIGSTORE PRIVATE KEY", b"{}")).unwrap();
    fs::write(at.join("empty"), "").unwrap();
    fs::write(at.join("large"), vec![b' '; 1 << 20]).unwrap();
    for (name, word) in [
        ("sec1", "openssl pkcs8 -topk8 -nocrypt"),
        ("encrypted", "openssl pkcs8 -in"),
        ("public", "name the private one"),
        ("p384", "no private key of ECDSA P-256"),
        ("cosign", "nobody gives a password"),
        ("damaged", "it is damaged"),
        ("empty", "--generate-key"),
        ("large", "no file with a key"),
        ("absent", "cannot read"),
    ] {
        let sentence = format!("{:#}", plain(&at.join(name)).unwrap_err());
        assert!(sentence.contains(word) && sentence.contains(name), "{sentence}");
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
    }
    assert!(plain(&at.join("good")).is_ok());
    for (name, word) in
        [("good", "holds no public key"), ("p384.pub", "another kind"), ("absent", "cannot read")]
    {
        let sentence = format!("{:#}", public_key(&at.join(name)).unwrap_err());
        assert!(sentence.contains(word) && sentence.contains(name), "{sentence}");
    }
}
