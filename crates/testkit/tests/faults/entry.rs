//! Entry points that are no file, or not one to run.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use testkit::{Bundle, Generation, alone};

use super::refused;

/// A container whose `/app.wasm` is made by `make` is refused for a reason with these words.
fn entry_is_refused(words: &[&str], make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::bytes(nest, "entry", "app.wasm", b"")?;
        let place = bundle.rootfs().join("app.wasm");
        fs::remove_file(&place)?;
        make(&place)?;
        refused(bundle, nest, words)
    })
}

fn node(place: &Path, kind: FileType, device: u64) -> Result<()> {
    Ok(mknodat(CWD, place, kind, Mode::from_raw_mode(0o666), device)?)
}

#[test]
fn a_missing_file_is_named() -> Result<()> {
    entry_is_refused(&["/app.wasm", "No such file"], |_| Ok(()))
}

#[test]
fn a_link_out_of_the_root_leads_nowhere() -> Result<()> {
    entry_is_refused(&["/app.wasm"], |place| Ok(symlink("/etc/passwd", place)?))?;
    entry_is_refused(&["/app.wasm"], |place| Ok(symlink("../../../../../../../etc/passwd", place)?))?;
    entry_is_refused(&["/app.wasm"], |place| Ok(symlink("/proc/self/exe", place)?))
}

#[test]
fn links_in_a_circle_lead_nowhere() -> Result<()> {
    entry_is_refused(&["/app.wasm", "symbolic links"], |place| Ok(symlink("/app.wasm", place)?))
}

#[test]
fn a_fifo_does_not_block() -> Result<()> {
    entry_is_refused(&["/app.wasm", "no regular file"], |place| node(place, FileType::Fifo, 0))
}

#[test]
fn a_device_is_not_read() -> Result<()> {
    let zero = makedev(1, 5);
    entry_is_refused(&["/app.wasm", "root file system"], |place| node(place, FileType::CharacterDevice, zero))
}

#[test]
fn a_folder_is_no_wasm() -> Result<()> {
    entry_is_refused(&["/app.wasm", "no regular file"], |place| Ok(fs::create_dir(place)?))
}

#[test]
fn a_sparse_terabyte_is_too_large() -> Result<()> {
    entry_is_refused(
        &["/app.wasm", "1099511627776 bytes"],
        |place| Ok(File::create(place)?.set_len(1 << 40)?),
    )
}

#[test]
fn a_native_program_is_sent_to_another_runtime() -> Result<()> {
    entry_is_refused(&["/app.wasm", "native program", "runtimeClassName"], |place| {
        Ok(fs::copy("/proc/self/exe", place).map(drop)?)
    })
}

#[test]
fn a_script_is_sent_to_another_runtime() -> Result<()> {
    entry_is_refused(&["/app.wasm", "native program"], |place| Ok(fs::write(place, "#!/bin/sh\nexit 0\n")?))
}

#[test]
fn no_command_is_no_container() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "entry", "hello.wasm")?;
        refused(bundle.spec(|spec| spec["process"]["args"] = serde_json::json!([]))?, nest, &["command"])
    })
}

#[test]
fn ten_thousand_arguments_arrive() -> Result<()> {
    alone(|nest| {
        let args: Vec<String> =
            std::iter::once("/args.wasm".into()).chain((1..10_000).map(|n| format!("{n:050}"))).collect();
        let bundle = Bundle::of(nest, "many", "args.wasm")?;
        let bundle = bundle.spec(|spec| spec["process"]["args"] = args.clone().into())?;
        let shim = bundle.shim(Generation::V3)?;
        assert_eq!(shim.run()?, 0);
        let wanted: String = args.iter().enumerate().map(|(n, arg)| format!("arg[{n}]={arg}\n")).collect();
        assert!(shim.output() == wanted, "{} bytes", shim.output().len());
        shim.shutdown()
    })
}
