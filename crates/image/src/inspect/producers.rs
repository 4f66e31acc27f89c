//! The `producers` custom section: language, compiler, SDK (WebAssembly tool conventions).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use wasmparser::{BinaryReader, CustomSectionReader, ProducersSectionReader};

/// The most values of one field that are kept; a component of hundreds of modules repeats them.
const MAX_VALUES: usize = 64;

/// `name version` of each tool, by field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Producers {
    pub languages: BTreeSet<String>,
    pub processed_by: BTreeSet<String>,
    pub sdks: BTreeSet<String>,
}

impl Producers {
    /// Adds what a custom section says, if it is this one. A broken one says nothing: custom sections never make Wasm
    /// invalid.
    pub(super) fn read(&mut self, section: &CustomSectionReader<'_>) {
        if section.name() == "producers" {
            let reader = BinaryReader::new(section.data(), section.data_offset());
            drop(self.fields(reader));
        }
    }

    fn fields(&mut self, reader: BinaryReader<'_>) -> Result<(), wasmparser::Error> {
        let mut by_name = BTreeMap::from([
            ("language", &mut self.languages),
            ("processed-by", &mut self.processed_by),
            ("sdk", &mut self.sdks),
        ]);
        for field in ProducersSectionReader::new(reader)? {
            let field = field?;
            let Some(values) = by_name.get_mut(field.name) else { continue };
            for value in field.values {
                let value = value?;
                if values.len() < MAX_VALUES {
                    values.insert(format!("{} {}", value.name, value.version).trim_end().into());
                }
            }
        }
        Ok(())
    }
}
