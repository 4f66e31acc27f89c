//! Calls out of order, twice, or about what is not there.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use containerd_shim_protos::api::{
    CheckpointTaskRequest, Empty, ExecProcessRequest, PidsRequest, PidsResponse, StartRequest, StartResponse,
    StateRequest, StateResponse, Status,
};
use protobuf::well_known_types::any::Any;
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use serde_json::json;
use testkit::{Bundle, Generation, alone, eventually};

use super::works;

/// Whether a call failed with this status and these words.
fn fails<T>(result: Result<T>, words: &[&str]) -> Result<()> {
    let Err(error) = result else { anyhow::bail!("the call succeeded") };
    let message = format!("{error:#}");
    ensure!(words.iter().all(|word| message.contains(word)), "not {words:?}: {message}");
    Ok(())
}

#[test]
fn both_generations_of_the_service_are_served() -> Result<()> {
    for generation in [Generation::V2, Generation::V3] {
        alone(|nest| {
            let bundle = Bundle::of(nest, "served", "exit.wasm")?;
            let bundle =
                bundle.spec(|spec| spec["process"]["args"] = serde_json::json!(["/exit.wasm", "7"]))?;
            let shim = bundle.shim(generation)?;
            assert_eq!(shim.run()?, 7);
            shim.shutdown()
        })?;
    }
    Ok(())
}

#[test]
fn two_starts_of_one_id_find_one_shim() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "twice", "hello.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        let second = bundle.call("start")?;
        ensure!(second.code == 0 && second.stdout.starts_with("unix://"), "{second}");
        let shims = nest
            .processes()?
            .into_iter()
            .filter(|process| process.command_line.contains("-id twice"))
            .count();
        assert_eq!(shims, 1);
        shim.create()?;
        fails(shim.create(), &["ALREADY_EXISTS", "twice"])?;
        shim.start()?;
        fails(shim.start(), &["FAILED_PRECONDITION", "twice", "started"])?;
        assert_eq!(shim.wait()?, 0);
        assert_eq!(shim.delete()?, 0);
        shim.shutdown()?;
        works(nest, "twice")
    })
}

#[test]
fn many_starts_at_once_find_one_shim() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "crowd", "hello.wasm")?;
        let addresses = std::thread::scope(|scope| {
            let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| bundle.call("start"))).collect();
            calls
                .into_iter()
                .map(|call| call.join().map_err(|_| anyhow::anyhow!("a panic"))?)
                .collect::<Result<Vec<_>>>()
        })?;
        for start in &addresses {
            ensure!(start.code == 0 && Some(start) == addresses.first(), "{start}");
        }
        let shims = nest
            .processes()?
            .into_iter()
            .filter(|process| process.command_line.contains("-id crowd"))
            .count();
        assert_eq!(shims, 1);
        let shim = bundle.shim(Generation::V3)?;
        assert_eq!(shim.run()?, 0);
        shim.shutdown()
    })
}

#[test]
fn what_is_not_there_is_not_found() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "absent", "hello.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        fails(shim.start(), &["NOT_FOUND", "absent"])?;
        fails(shim.wait(), &["NOT_FOUND", "absent"])?;
        fails(shim.kill(9), &["NOT_FOUND", "absent"])?;
        fails(shim.delete(), &["NOT_FOUND", "absent"])?;
        let state = StateRequest { id: "absent".into(), ..Default::default() };
        fails(shim.call::<_, StateResponse>("State", &state), &["NOT_FOUND", "absent"])?;
        let pids = PidsRequest { id: "absent".into(), ..Default::default() };
        fails(shim.call::<_, PidsResponse>("Pids", &pids), &["NOT_FOUND", "absent"])?;
        shim.abandon()
    })
}

#[test]
fn what_is_not_supported_says_so() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "plain", "sleep.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        shim.create()?;
        let exec = ExecProcessRequest { id: "plain".into(), exec_id: "sh".into(), ..Default::default() };
        fails(shim.call::<_, Empty>("Exec", &exec), &["FAILED_PRECONDITION", "does not run"])?;
        let checkpoint = CheckpointTaskRequest { id: "plain".into(), ..Default::default() };
        fails(shim.call::<_, Empty>("Checkpoint", &checkpoint), &["UNIMPLEMENTED", "checkpoint"])?;
        fails(shim.call::<_, Empty>("NoSuchMethod", &exec), &[])?;
        // Created and never started: it can be deleted as it is.
        shim.delete()?;
        shim.shutdown()
    })
}

#[test]
fn the_end_of_a_container_does_not_wait_for_an_exec_that_is_being_started() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "ends", "sleep.wasm")?;
        let bundle = bundle.spec(|spec| spec["process"]["args"] = json!(["/sleep.wasm", "3600"]))?;
        let shim = bundle.shim(Generation::V3)?;
        shim.create()?;
        shim.start()?;
        // It waits ten seconds for somebody who reads it.
        let output = bundle.path().join("fifo");
        mkfifoat(CWD, &output, Mode::RUSR | Mode::WUSR)?;
        let process = json!({"user": {"uid": 0, "gid": 0}, "args": ["nap", "0"], "cwd": "/"});
        let (id, exec_id) = ("ends".to_owned(), "late".to_owned());
        let exec = ExecProcessRequest {
            id: id.clone(),
            exec_id: exec_id.clone(),
            stdout: output.display().to_string(),
            spec: Some(Any { value: process.to_string().into_bytes(), ..Any::default() }).into(),
            ..Default::default()
        };
        shim.call::<_, Empty>("Exec", &exec)?;
        let start = StartRequest { id: id.clone(), exec_id: exec_id.clone(), ..Default::default() };
        let state = StateRequest { id, exec_id, ..Default::default() };
        let refused = std::thread::scope(|scope| {
            let started = scope.spawn(|| shim.call::<_, StartResponse>("Start", &start));
            eventually("it is being started", 30, || {
                let state: StateResponse = shim.call("State", &state)?;
                Ok(state.status.enum_value_or_default() == Status::RUNNING)
            })?;
            let begin = Instant::now();
            shim.kill(Signal::KILL.as_raw().unsigned_abs())?;
            assert_eq!(shim.wait()?, 137);
            ensure!(begin.elapsed() < Duration::from_secs(8), "it has waited {:?}", begin.elapsed());
            started.join().map_err(|_| anyhow::anyhow!("a panic"))
        })?;
        fails(refused, &["the container has ended"])?;
        shim.delete()?;
        shim.shutdown()
    })
}

#[test]
fn a_create_whose_caller_is_gone_is_done_whole() -> Result<()> {
    alone(|nest| {
        // It takes a while to compile.
        let bundle = Bundle::of(nest, "orphan", "hello-js.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        shim.create_and_hang_up()?;
        let state = StateRequest { id: "orphan".into(), ..Default::default() };
        eventually("it is there", 120, || Ok(shim.call::<_, StateResponse>("State", &state).is_ok()))?;
        shim.start()?;
        assert_eq!(shim.wait()?, 0);
        shim.delete()?;
        shim.shutdown()
    })
}

#[test]
fn a_running_task_is_not_deleted() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "busy", "spin.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        shim.create()?;
        shim.start()?;
        fails(shim.delete(), &["FAILED_PRECONDITION", "busy", "running"])?;
        shim.kill(9)?;
        assert_eq!(shim.wait()?, 137);
        assert_eq!(shim.delete()?, 137);
        shim.shutdown()
    })
}

#[test]
fn an_id_that_is_a_path_makes_no_file_anywhere() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "honest", "hello.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        let request = containerd_shim_protos::api::CreateTaskRequest {
            id: "../../escape".into(),
            bundle: bundle.path().display().to_string(),
            ..Default::default()
        };
        let create = shim.call::<_, containerd_shim_protos::api::CreateTaskResponse>("Create", &request);
        fails(create, &["INVALID_ARGUMENT", "../../escape"])?;
        shim.abandon()
    })
}
