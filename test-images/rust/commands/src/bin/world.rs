//! `world DIR`: all that a program can learn beyond its input, a `key: value` a line. In the strict profile each line is
//! the same on every run and every machine.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() {
    let directory = std::env::args().nth(1).expect("usage: world DIR");

    // std seeds each map from the host's randomness.
    let map: HashMap<u32, ()> = (0..16).map(|number| (number, ())).collect();
    println!("map: {:?}", map.keys().collect::<Vec<_>>());
    let mut bytes = [0; 8];
    println!("random: {:?} {bytes:02x?}", getrandom::fill(&mut bytes).map(|()| "ok"));
    let _ = getrandom::fill(&mut bytes);
    println!("more random: {bytes:02x?}");

    println!("time: {:?}", SystemTime::now().duration_since(UNIX_EPOCH));
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(50));
    println!("slept: {:?}", start.elapsed());

    let list = || fs::read_dir(&directory).expect("the directory is there").map(|entry| entry.expect("an entry"));
    println!("list: {:?}", list().map(|entry| entry.file_name()).collect::<Vec<_>>());
    for entry in list() {
        let metadata = entry.metadata().expect("metadata of an entry");
        let age = metadata.modified().map(|time| time.duration_since(UNIX_EPOCH));
        println!("entry: {:?} {:?} {} {age:?}", entry.file_name(), metadata.file_type(), metadata.len());
    }

    let mut piece = [0; 4096];
    println!("stdin: {:?}", std::io::stdin().read(&mut piece));
    println!("env: {:?}", std::env::vars().collect::<Vec<_>>());

    // What NaN an operation gives is the machine's choice.
    let nan = std::hint::black_box(0.0f64) / std::hint::black_box(0.0f64);
    println!("nan: {:016x} {:016x}", nan.to_bits(), (-nan).sqrt().to_bits());
    println!("pages: {}", vec![1u8; 1 << 20].into_iter().map(u64::from).sum::<u64>());
}
