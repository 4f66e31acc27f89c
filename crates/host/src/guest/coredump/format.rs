//! The bytes of a core dump: a Wasm module whose custom sections tell of the stack and whose data is the memory
//! (<https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md>).

use std::io::{self, Write};
use std::ops::Range;

use wasm_encoder::{
    ConstExpr, CoreDumpInstancesSection, CoreDumpModulesSection, CoreDumpSection, CoreDumpStackSection,
    CoreDumpValue, Encode, GlobalSection, GlobalType, HeapType, MemorySection, MemoryType, RefType, ValType,
};
use wasmtime::{FrameInfo, Global, Instance, Memory, Module, Store, Val, WasmCoreDump};

/// The data section, in the binary format of Wasm.
const DATA: u8 = 11;

/// Memory is cut into so many pieces at most, of a page of the machine at least: readers bound the number of segments.
const MOST_PIECES: usize = 8192;
const SMALLEST_PIECE: usize = 4096;

/// A segment's length and offset in their longest forms, and what stands around them.
const SEGMENT: u64 = 32;
/// The data section's id, size and count.
const SECTION: u64 = 16;

/// Everything but the content of memories.
pub(super) struct Head(Vec<u8>);

impl Head {
    /// `name`: what the guest is called. `seen`: what there is of it in its store.
    pub fn new<T: 'static>(name: &str, seen: &WasmCoreDump, store: &mut Store<T>) -> Head {
        let mut modules = CoreDumpModulesSection::new();
        let mut instances = CoreDumpInstancesSection::new();
        let mut known = Vec::new();
        for instance in seen.instances() {
            let module = instance.module(&*store);
            let unnamed = || format!("<module {}>", known.len());
            modules.module(module.name().map_or_else(unnamed, str::to_owned));
            let index = number(known.len());
            known.push(ModuleKey::of(module));
            // An instance is told of under the index of its module. One that stands alone has all that there is.
            match seen.instances() {
                [_alone] => {
                    let all = |count: usize| 0..number(count);
                    instances.instance(index, all(seen.memories().len()), all(seen.globals().len()));
                }
                _ => {
                    instances.instance(index, exported(instance, seen.memories(), store), []);
                }
            }
        }
        let mut stack = CoreDumpStackSection::new("main");
        for frame in seen.frames() {
            let key = ModuleKey::of(frame.module());
            // Of several instances of a module the trace does not tell which one it was.
            let index = known.iter().position(|module| *module == key).unwrap_or(known.len());
            let none: [CoreDumpValue; 0] = [];
            stack.frame(number(index), frame.func_index(), offset(frame), none, []);
        }
        let mut dump = wasm_encoder::Module::new();
        dump.section(&CoreDumpSection::new(name)).section(&modules).section(&instances).section(&stack);
        dump.section(&declared(seen.memories(), store)).section(&values(seen.globals(), store));
        Head(dump.finish())
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Which of the memories one of several instances exports. Those that it keeps to itself, and globals, are in the dump as well,
/// but Wasmtime does not tell whose they are.
fn exported<T: 'static>(instance: &Instance, memories: &[Memory], store: &mut Store<T>) -> Vec<u32> {
    let exports = instance.exports(&mut *store).filter_map(|export| export.into_memory());
    let addresses: Vec<_> = exports.collect::<Vec<_>>().iter().map(|own| own.data_ptr(&*store)).collect();
    let is_own = |memory: &Memory| addresses.contains(&memory.data_ptr(&*store));
    (0..).zip(memories).filter(|(_, memory)| is_own(memory)).map(|(index, _)| index).collect()
}

/// What tells one module of a guest from another, which may have the same name.
#[derive(PartialEq, Eq)]
struct ModuleKey {
    image: Range<*const u8>,
    first_function: Option<usize>,
}

impl ModuleKey {
    fn of(module: &Module) -> ModuleKey {
        let first_function = module.functions().next().map(|function| function.offset);
        ModuleKey { image: module.image_range(), first_function }
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn offset(frame: &FrameInfo) -> u32 {
    frame.func_offset().map_or(0, number)
}

fn declared<T: 'static>(memories: &[Memory], store: &Store<T>) -> MemorySection {
    let mut section = MemorySection::new();
    for memory in memories {
        let ty = memory.ty(store);
        section.memory(MemoryType {
            minimum: memory.size(store),
            maximum: ty.maximum(),
            memory64: ty.is_64(),
            shared: ty.is_shared(),
            page_size_log2: (ty.page_size_log2() != 16).then_some(ty.page_size_log2().into()),
        });
    }
    section
}

/// Globals with what they hold. References mean nothing outside of the guest.
fn values<T: 'static>(globals: &[Global], store: &mut Store<T>) -> GlobalSection {
    let mut section = GlobalSection::new();
    for global in globals {
        let mutable = global.ty(&*store).mutability() == wasmtime::Mutability::Var;
        let (val_type, value) = match global.get(&mut *store) {
            Val::I32(value) => (ValType::I32, ConstExpr::i32_const(value)),
            Val::I64(value) => (ValType::I64, ConstExpr::i64_const(value)),
            Val::F32(bits) => (ValType::F32, ConstExpr::f32_const(f32::from_bits(bits).into())),
            Val::F64(bits) => (ValType::F64, ConstExpr::f64_const(f64::from_bits(bits).into())),
            Val::V128(value) => (ValType::V128, ConstExpr::v128_const(value.as_u128().cast_signed())),
            _ => (ValType::Ref(RefType::ANYREF), ConstExpr::ref_null(HeapType::ANY)),
        };
        section.global(GlobalType { val_type, mutable, shared: false }, &value);
    }
    section
}

/// The content of memories: what is not zero, piece by piece. It is looked through twice, as a section begins with its
/// size; the guest does not run in between.
pub(super) struct Pieces {
    memories: Vec<Place>,
    piece: usize,
    counted: Cursor,
    written: Cursor,
    /// How many pieces there is room for, and what they take.
    segments: u32,
    bytes: u64,
    left_out: u64,
}

/// A memory as it is addressed.
struct Place {
    memory: Memory,
    is_64: bool,
    size: usize,
}

/// How far one has come.
#[derive(Default)]
struct Cursor {
    memory: usize,
    offset: usize,
    segments: u32,
}

impl Pieces {
    pub fn new<T: 'static>(memories: &[Memory], store: &Store<T>) -> Pieces {
        let place = |memory: &Memory| Place {
            memory: *memory,
            is_64: memory.ty(store).is_64(),
            size: memory.data_size(store),
        };
        let memories: Vec<Place> = memories.iter().map(place).collect();
        let total: usize = memories.iter().map(|memory| memory.size).sum();
        let piece = total.div_ceil(MOST_PIECES).next_power_of_two().max(SMALLEST_PIECE);
        let (counted, written) = (Cursor::default(), Cursor::default());
        Pieces { memories, piece, counted, written, segments: 0, bytes: 0, left_out: 0 }
    }

    /// Counts what fits into `room`, a step further. Returns whether there is more.
    pub fn count<T: 'static>(&mut self, store: &Store<T>, room: u64, step: usize) -> bool {
        for _ in 0..step.div_ceil(self.piece) {
            let Some((place, data, offset)) = next(&self.memories, &mut self.counted, self.piece, store)
            else {
                return false;
            };
            let Some((start, content)) = trimmed(data) else { continue };
            let mut segment = Vec::new();
            begin(&mut segment, place, offset + start, content.len());
            let length = (segment.len() + content.len()) as u64;
            // Once something is left out, all that follows is: what is there is whole up to a point.
            if self.left_out == 0 && SECTION + SEGMENT + self.bytes + length <= room {
                self.segments += 1;
                self.bytes += length;
            } else {
                self.left_out += content.len() as u64;
            }
        }
        true
    }

    /// Of memory that did not fit.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The beginning of the data section, once all is counted.
    pub fn header(&self) -> Vec<u8> {
        let mut count = Vec::new();
        self.segments.encode(&mut count);
        let mut header = vec![DATA];
        u32::try_from(self.bytes + count.len() as u64).unwrap_or(u32::MAX).encode(&mut header);
        header.extend(count);
        header
    }

    /// Writes what was counted, a step further. Returns whether there is more.
    pub fn write<T: 'static>(
        &mut self,
        store: &Store<T>,
        out: &mut impl Write,
        step: usize,
    ) -> io::Result<bool> {
        for _ in 0..step.div_ceil(self.piece) {
            if self.written.segments == self.segments {
                return Ok(false);
            }
            let Some((place, data, offset)) = next(&self.memories, &mut self.written, self.piece, store)
            else {
                return Ok(false);
            };
            let Some((start, content)) = trimmed(data) else { continue };
            let mut segment = Vec::new();
            begin(&mut segment, place, offset + start, content.len());
            out.write_all(&segment)?;
            out.write_all(content)?;
            self.written.segments += 1;
        }
        Ok(true)
    }
}

/// The piece that a cursor stands at, which moves on: its memory, its bytes, and where they begin.
fn next<'a, T: 'static>(
    memories: &'a [Place],
    cursor: &mut Cursor,
    piece: usize,
    store: &'a Store<T>,
) -> Option<((u32, bool), &'a [u8], usize)> {
    loop {
        let place = memories.get(cursor.memory)?;
        let offset = cursor.offset;
        let data = place.memory.data(store);
        match data.get(offset..data.len().min(offset.saturating_add(piece))) {
            Some(bytes) if !bytes.is_empty() => {
                cursor.offset += bytes.len();
                return Some(((number(cursor.memory), place.is_64), bytes, offset));
            }
            _ => (cursor.memory, cursor.offset) = (cursor.memory + 1, 0),
        }
    }
}

/// Without the zeros around it, and where that begins; `None` for zeros alone.
fn trimmed(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let start = bytes.iter().position(|byte| *byte != 0)?;
    let end = bytes.iter().rposition(|byte| *byte != 0)?;
    Some((start, bytes.get(start..=end)?))
}

/// An active segment up to its bytes.
fn begin(segment: &mut Vec<u8>, (memory, is_64): (u32, bool), offset: usize, length: usize) {
    // The form that names its memory.
    2u32.encode(segment);
    memory.encode(segment);
    let at = match is_64 {
        true => ConstExpr::i64_const((offset as u64).cast_signed()),
        false => ConstExpr::i32_const(number(offset).cast_signed()),
    };
    at.encode(segment);
    number(length).encode(segment);
}
