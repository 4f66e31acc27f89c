//! What a native attacker in place of the guest can reach: the code of somebody who has broken out of Wasmtime, in a
//! process that was born and jailed exactly as a host is.
//!
//! Prints what was tried and what was reached, for each identity; reaching anything fails. The same attacker without the
//! jail shows that the attacks are real.

#[path = "jail/attacks.rs"]
mod attacks;
#[path = "jail/supervisor.rs"]
mod supervisor;
#[path = "jail/sys.rs"]
mod sys;

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::ExitCode;

use attacks::{Bait, Report};
use host::jail::{self, Closed, Jail, Sockets};
use host::protocol::{Channel, Reply, Request, Role};
use host::spawn::{Birth, inherited_control, spawn};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdGetfdFlags, WaitId, WaitIdOptions, pidfd_getfd, waitid};

/// The role of the child, and the one without a jail.
const JAILED: &str = "attack";
const FREE: &str = "attack-freely";

/// How many harmless attacks have to succeed without the jail for the test to mean anything.
const REAL: usize = 20;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [_, role @ (JAILED | FREE), bait] => match child(*role == JAILED, bait) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("FAILED {error}");
                ExitCode::FAILURE
            }
        },
        _ => parent(),
    }
}

/// The child: closes the jail as a host does, attacks, and reports on stderr, which is a pipe to the parent.
fn child(jailed: bool, bait: &str) -> Result<()> {
    let bait: Bait = serde_json::from_str(bait)?;
    let channel = Channel::new(inherited_control());
    let Some((Request::Enter { jail, .. }, _)) = channel.receive::<Request>()? else {
        return Err("no jail".into());
    };
    if jailed {
        let Closed { missing, sockets } = jail::enter(&jail, None, None)?;
        channel.send(&Reply::Jailed { missing, sockets }, &[])?;
    }
    eprintln!("{}", serde_json::to_string(&attacks::run(&bait, jailed))?);
    Ok(())
}

fn parent() -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    let mut check = |name: &str, result: Result<String>| {
        let (word, text) = match result {
            Ok(text) => ("ok", text),
            Err(error) => ("FAILED", error.to_string()),
        };
        println!("test {name} ... {word}\n  {}", text.replace('\n', "\n  "));
        if word == "ok" { passed += 1 } else { failed += 1 }
    };
    check("the_attacks_are_real_without_the_jail", free());
    for (name, jail) in jails() {
        check(&format!("nothing_is_reached_by_{name}"), jailed(&jail));
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every kind of jail that the product makes.
fn jails() -> Vec<(&'static str, Jail)> {
    let jail = |id: u32, sockets: Sockets, compiler: bool| Jail {
        uid: id,
        gid: id,
        groups: Vec::new(),
        umask: Some(0o022),
        sockets,
        open_files: 1024,
        oom_score_adj: None,
        require: Vec::new(),
        memory: None,
        compiler,
    };
    vec![
        ("uid_0", jail(0, Sockets::None, false)),
        ("uid_0_with_network", jail(0, Sockets::Own, false)),
        ("uid_65532", jail(65_532, Sockets::None, false)),
        ("uid_65532_with_network", jail(65_532, Sockets::Own, false)),
        ("uid_0_among_many", jail(0, Sockets::Asked, false)),
        ("uid_65532_among_many", jail(65_532, Sockets::Asked, false)),
        ("a_compiler", jail(65_534, Sockets::None, true)),
    ]
}

fn jailed(jail: &Jail) -> Result<String> {
    let (report, missing) = attack(JAILED, jail)?;
    let lacks = if missing.is_empty() {
        String::new()
    } else {
        format!(" (this kernel lacks {})", missing.join(", "))
    };
    let sum = format!("uid {}: tried {}, reached {}{lacks}", jail.uid, report.tried, report.reached.len());
    match report.reached.as_slice() {
        [] => Ok(sum),
        reached => Err(format!("{sum}\nREACHED {}", reached.join("\nREACHED ")).into()),
    }
}

fn free() -> Result<String> {
    let jail = jails().swap_remove(0).1;
    let (report, _) = attack(FREE, &jail)?;
    let sum =
        format!("without the jail: tried {} that do no harm, reached {}", report.tried, report.reached.len());
    if report.reached.len() < REAL {
        Err(format!("{sum}: {}", report.reached.join(", ")).into())
    } else {
        Ok(sum)
    }
}

/// Starts the attacker amid things that are worth reaching; its report, and what the kernel lacks of the jail.
fn attack(role: &str, jail: &Jail) -> Result<(Report, Vec<String>)> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
    let secret = folder.path().join("secret");
    fs::write(&secret, "the node's")?;
    fs::set_permissions(&secret, Permissions::from_mode(0o666))?;
    let socket = folder.path().join("socket");
    let _listener = UnixListener::bind(&socket)?;
    fs::set_permissions(&socket, Permissions::from_mode(0o777))?;
    let abstract_name = format!("run-wasm-bait-{}", std::process::id());
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name)?)?;
    let server = TcpListener::bind("127.0.0.1:0")?;
    let bait = Bait {
        secret: secret.display().to_string(),
        socket: socket.display().to_string(),
        abstract_name,
        port: server.local_addr()?.port(),
        victim: std::process::id().cast_signed(),
        // Whoever has to ask is refused.
        network: jail.sockets == Sockets::Own,
    };

    let (channel, theirs) = Channel::pair()?;
    let (output, its_output) = pipe_with(PipeFlags::CLOEXEC)?;
    let bait = serde_json::to_string(&bait)?;
    let child = spawn(&Birth {
        args: &[role, &bait],
        control: theirs.as_fd(),
        stderr: its_output.as_fd(),
        cgroup: None,
        join: &[],
        new_network: false,
        one_heap: true,
    })?;
    drop((theirs, its_output));
    channel
        .send(&Request::Enter { jail: jail.clone(), netns: false, mounts: false, role: Role::Alone }, &[])?;
    // An attacker without a jail says nothing and closes the channel at its end.
    channel.readable_by(None)?;
    let (missing, sockets) = match channel.receive_plain::<Reply>() {
        Ok(Some(Reply::Jailed { missing, sockets })) => (missing, sockets),
        _ => (Vec::new(), None),
    };
    let supervisor = match sockets {
        Some(number) => {
            let listener = pidfd_getfd(&child.pidfd, number, PidfdGetfdFlags::empty())?;
            Some(std::thread::spawn(move || supervisor::refuse_all(&listener)))
        }
        None => None,
    };
    let mut text = String::new();
    File::from(output).read_to_string(&mut text)?;
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)?;
    if let Some(supervisor) = supervisor
        && !supervisor.join().is_ok_and(|asked| asked > 0)
    {
        return Err("nobody was asked for a socket".into());
    }
    let report =
        serde_json::from_str(text.trim()).map_err(|_| format!("the attacker ended ({status:?}): {text}"))?;
    Ok((report, missing))
}
