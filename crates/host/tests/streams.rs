//! The standard streams: ends, slow readers, nobody there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use support::{cat, guest, holding, module};

/// `EIO` of WASI preview 1, which is what it has for a stream that was closed.
const CLOSED: u8 = 29;

#[test]
fn what_comes_in_goes_out_until_the_last_writer_closes() {
    let ended = guest(&cat()).stdin(holding(b"to be copied")).run();
    assert_eq!((ended.outcome.code, ended.stdout.as_str()), (0, "to be copied"));
}

#[test]
fn without_stdin_the_guest_reads_an_end() {
    let ended = guest(&cat()).run();
    assert_eq!((ended.outcome.code, ended.stdout.as_str()), (0, ""));
}

#[test]
fn without_stdout_what_is_written_is_gone() {
    assert_eq!(guest(&cat()).stdin(holding(b"nobody sees this")).start().join().unwrap().code, 0);
}

#[test]
fn a_fifo_has_no_end_before_its_first_writer_came() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stdin");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let stdin = OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap();
    let greeting = r#"(data (i32.const 100) "ready\n")
        (func $hello (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 6))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"#;
    let wat = cat()
        .replace("(func (export \"_start\")", &format!("{greeting} (func (export \"_start\") (call $hello)"));
    let (mut stdout, out) = std::io::pipe().unwrap();
    let running = guest(&wat).stdin(stdin).stdout(out).start();
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready).unwrap();

    // Fails with ENXIO when the guest has gone.
    let mut writer = OpenOptions::new().write(true).custom_flags(nonblocking).open(&path).unwrap();
    writer.write_all(b"late").unwrap();
    drop(writer);

    assert_eq!(support::text(stdout), "late");
    assert_eq!(running.join().unwrap().code, 0);
}

#[test]
fn a_fifo_ends_when_its_writer_has_come_and_gone_without_a_word() {
    for profile in ["standard", "strict"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stdin");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let stdin = OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap();
        let running = guest(&cat()).annotated(&[("profile", profile)]).stdin(stdin).start();
        // Most of the time the guest waits by now; it has to end in either case.
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(OpenOptions::new().write(true).open(&path).unwrap());
        assert_eq!(running.join().unwrap().code, 0, "{profile}");
    }
}

#[test]
fn a_slow_reader_gets_everything_before_the_end_is_told() {
    let (mut stdout, out) = std::io::pipe().unwrap();
    let running = guest(&flood()).stdout(out).start();
    let mut first = [0; 1];
    stdout.read_exact(&mut first).unwrap();
    assert!(!running.is_finished(), "most of it cannot have been written yet");
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len() + 1, FLOOD);
    assert_eq!(running.join().unwrap().code, 0);
}

#[test]
fn the_reason_of_a_trap_comes_behind_what_was_written_to_a_slow_reader() {
    let wat = flood().replace("(;end;)", "unreachable");
    let (stderr, err) = std::io::pipe().unwrap();
    // One stream for both, as a terminal would be.
    let running = guest(&wat).stdout(err).start();
    let text = support::text(stderr);
    assert!(text.get(FLOOD..).unwrap().starts_with("wasm trap: "), "{:?}", text.get(FLOOD..));
    assert_eq!(running.join().unwrap().code, 134);
}

#[test]
fn a_reader_that_has_gone_is_an_error_to_the_guest_and_to_nobody_else() {
    let (stdout, out) = std::io::pipe().unwrap();
    drop(stdout);
    let outcome = guest(&cat()).stdin(holding(b"to nobody")).stdout(out).start().join().unwrap();
    assert_eq!((outcome.code, outcome.reason), (CLOSED, None));
}

#[test]
fn a_reader_that_goes_while_the_guest_waits_for_it_does_not_keep_the_guest() {
    let (mut stdout, out) = std::io::pipe().unwrap();
    let running = guest(&flood()).stdout(out).start();
    stdout.read_exact(&mut [0; 1]).unwrap();
    drop(stdout);
    assert_eq!(running.join().unwrap().code, CLOSED);
}

#[test]
fn files_serve_as_streams() {
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(b"from a file").unwrap();
    input.rewind().unwrap();
    let mut output = tempfile::tempfile().unwrap();
    let running = guest(&cat()).stdin(input).stdout(output.try_clone().unwrap()).start();
    assert_eq!(running.join().unwrap().code, 0);
    output.rewind().unwrap();
    assert_eq!(std::io::read_to_string(output).unwrap(), "from a file");
}

#[test]
fn devices_serve_as_streams() {
    let null = || OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(guest(&cat()).stdin(null()).stdout(null()).start().join().unwrap().code, 0);
}

#[test]
fn a_terminal_serves_as_all_streams() {
    use rustix::pty::{OpenptFlags, grantpt, ptsname, unlockpt};
    let controller = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let terminal = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(name.to_str().unwrap())
            .unwrap()
    };
    let running = guest(&cat()).stdin(terminal()).stdout(terminal()).start();
    let mut controller = File::from(controller);
    // A line, then control-D: the end.
    controller.write_all(b"typed\n\x04").unwrap();
    let mut seen = String::new();
    while seen.matches("typed").count() < 2 {
        let mut bytes = [0; 64];
        let read = controller.read(&mut bytes).unwrap();
        seen += std::str::from_utf8(bytes.get(..read).unwrap()).unwrap();
    }
    assert_eq!(running.join().unwrap().code, 0);
}

const FLOOD: usize = 1 << 20;

/// Writes a megabyte, 64 KiB at a time; any error is its exit code.
fn flood() -> String {
    module(
        r#"(func (export "_start") (local $round i32) (local $error i32)
              (memory.fill (i32.const 65536) (i32.const 46) (i32.const 65536))
              (loop $more
                (i32.store (i32.const 0) (i32.const 65536))
                (i32.store (i32.const 4) (i32.const 65536))
                (local.tee $error (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (if (then (call $exit (local.get $error))))
                (local.set $round (i32.add (local.get $round) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $round) (i32.const 16))))
              (;end;))"#,
    )
}
