use wasmtime::{Instance, Module, Store, Val};

use super::*;
use crate::engine::{self, Build, Flavour};

const PAGE: usize = 1 << 16;

fn meter(limit: u64) -> Meter {
    Meter::new(Some(limit), Profile::Standard)
}

#[test]
fn memories_and_tables_are_summed() {
    let mut meter = meter(4 * PAGE as u64);
    assert!(meter.memory_growing(0, PAGE, None).unwrap());
    assert!(meter.memory_growing(0, PAGE, None).unwrap());
    assert!(meter.table_growing(0, PAGE / 8, None).unwrap());
    assert!(meter.memory_growing(PAGE, 2 * PAGE, None).is_err());
}

#[test]
fn growth_that_wasmtime_could_not_do_is_not_counted() {
    let mut meter = meter(2 * PAGE as u64);
    assert!(meter.memory_growing(0, PAGE, None).unwrap());
    meter.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
    assert!(meter.memory_growing(0, PAGE, None).unwrap());
}

#[test]
fn in_the_strict_profile_it_ends_the_guest() {
    let mut meter = Meter::new(None, Profile::Strict);
    assert!(meter.memory_growing(0, PAGE, None).unwrap());
    assert!(meter.memory_grow_failed(wasmtime::Error::msg("no memory")).is_err());
}

#[test]
fn growth_beyond_the_memorys_own_maximum_fails_without_ending_the_guest() {
    let mut meter = meter(PAGE as u64);
    assert!(!meter.memory_growing(0, 2 * PAGE, Some(PAGE)).unwrap());
}

#[test]
fn what_a_call_may_copy_follows_the_limit() {
    assert_eq!(per_call(None, Mode::Normal), 128 << 20);
    assert_eq!(per_call(Some(16 << 20), Mode::Normal), 16 << 20);
    assert_eq!(per_call(Some(64 << 10), Mode::Normal), 1 << 20);
    assert_eq!(per_call(None, Mode::Shared), 16 << 20);
    assert_eq!(per_call(Some(1 << 30), Mode::Shared), 16 << 20);
    assert_eq!(per_call(Some(2 << 20), Mode::Shared), 2 << 20);
}

/// A guest on the real engine, with nothing but a memory and a table to grow.
struct Growing {
    store: Store<Meter>,
    instance: Instance,
}

impl Growing {
    fn new(profile: Profile, limit: Option<u64>, fields: &str) -> Growing {
        let engine = engine::compiler(Flavour::plain(Build { profile, mode: Mode::Normal })).unwrap();
        let wasm = wat::parse_str(format!("(module {fields})")).unwrap();
        let module = Module::new(&engine, wasm).unwrap();
        let mut store = Store::new(&engine, Meter::new(limit, profile));
        store.limiter(|meter| meter);
        if profile == Profile::Strict {
            store.set_fuel(u64::MAX).unwrap();
        }
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        Growing { store, instance }
    }

    /// Has the guest grow by this much, as its own instruction does; -1 when it was refused.
    fn grow(&mut self, delta: Val) -> Result<i64> {
        let grow = self.instance.get_func(&mut self.store, "grow").unwrap();
        let mut old = [Val::I64(0)];
        grow.call(&mut self.store, &[delta], &mut old)?;
        Ok(old[0].i64().unwrap_or_else(|| old[0].unwrap_i32().into()))
    }

    /// What the account says.
    fn told(&self) -> String {
        format!("{:?}", self.store.data().account)
    }
}

/// What a growth by `delta` does to the account that it was refused for, again and again, after one that was not.
fn refused_again_and_again(profile: Profile, fields: &str, one: Val, delta: Val) -> Growing {
    let mut guest = Growing::new(profile, Some(LIMIT), fields);
    // Wasmtime tells nobody that it succeeded: this is what a refusal might take back by mistake.
    assert!(guest.grow(one).unwrap() >= 0);
    let before = guest.told();
    for _ in 0..100 {
        assert_eq!(guest.grow(delta).unwrap(), -1, "{fields}");
    }
    assert_eq!(guest.told(), before, "{fields} grown by {delta:?}");
    assert!(guest.grow(one).unwrap() > 0, "what is left can still be had");
    assert_ne!(guest.told(), before);
    guest
}

/// More than any of the growths that succeed here.
const LIMIT: u64 = 64 << 20;

const MEMORY: &str =
    r#"(memory 1) (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))"#;
const MEMORY64: &str =
    r#"(memory i64 1) (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0)))"#;
const TABLE: &str = r#"(table 1 funcref)
    (func (export "grow") (param i32) (result i32) (table.grow (ref.null func) (local.get 0)))"#;
const TABLE64: &str = r#"(table i64 1 funcref)
    (func (export "grow") (param i64) (result i64) (table.grow (ref.null func) (local.get 0)))"#;

// The account has nothing but Wasmtime's words to tell a growth that it was asked about from one that it was not: these
// turn red where an update of Wasmtime changes them.
#[test]
fn growth_that_no_machine_could_do_leaves_the_account_as_it_was() {
    for profile in [Profile::Standard, Profile::Strict] {
        refused_again_and_again(profile, MEMORY, Val::I32(1), Val::I32(-1));
        refused_again_and_again(profile, MEMORY, Val::I32(1), Val::I32(65535));
        refused_again_and_again(profile, TABLE, Val::I32(1), Val::I32(-1));
    }
    // In the strict profile this costs more fuel than there is.
    refused_again_and_again(Profile::Standard, TABLE64, Val::I64(1), Val::I64(-1));
}

#[test]
fn growth_beyond_a_declared_maximum_leaves_the_account_as_it_was() {
    let memory = MEMORY.replace("(memory 1)", "(memory 1 4)");
    let table = TABLE.replace("(table 1 ", "(table 1 4 ");
    for profile in [Profile::Standard, Profile::Strict] {
        refused_again_and_again(profile, &memory, Val::I32(1), Val::I32(3));
        refused_again_and_again(profile, &table, Val::I32(1), Val::I32(3));
    }
}

#[test]
fn growth_that_this_machine_could_not_do_is_given_back() {
    // No limit of ours is in the way, and none of the memory's own: the address space is.
    let beyond = Val::I64(1 << 31);
    let mut guest = Growing::new(Profile::Standard, None, MEMORY64);
    assert_eq!(guest.grow(Val::I64(1)).unwrap(), 1);
    let before = guest.told();
    for _ in 0..100 {
        assert_eq!(guest.grow(beyond).unwrap(), -1);
    }
    assert_eq!(guest.told(), before);
    assert_eq!(guest.grow(Val::I64(1)).unwrap(), 2);

    let mut guest = Growing::new(Profile::Strict, None, MEMORY64);
    let end = format!("{:#}", guest.grow(beyond).unwrap_err());
    assert!(end.contains("this machine has no memory left"), "{end}");
}

#[test]
fn after_any_number_of_refusals_the_guest_has_what_it_may_have_and_no_page_more() {
    let mut guest = refused_again_and_again(Profile::Standard, MEMORY, Val::I32(1), Val::I32(-1));
    let mut pages = 3;
    let end = loop {
        match guest.grow(Val::I32(1)) {
            Ok(_) => pages += 1,
            Err(end) => break format!("{end:#}"),
        }
    };
    // 64 MiB less what is kept for the host: 62.375 MiB.
    assert_eq!(pages, 998, "{end}");
    assert!(end.contains("memory limit of 64 MiB reached"), "{end}");
}
