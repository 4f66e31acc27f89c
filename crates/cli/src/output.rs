//! How results are written: tables for people, JSON for programs.

use std::io::Write;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Output {
    /// How to write the result.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
}

impl Output {
    /// Writes `result` as JSON, or as the text that `table` makes of it.
    pub fn write<T: Serialize>(
        self,
        out: &mut impl Write,
        result: &T,
        table: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        match self.output {
            Format::Table => out.write_all(table(result).as_bytes())?,
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, result)?;
                writeln!(out)?;
            }
        }
        Ok(())
    }
}

/// Rows below each other, each column as wide as its widest cell.
pub fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
) -> String {
    let rows: Vec<[String; COLUMNS]> = std::iter::once(header.map(String::from)).chain(rows).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let line: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Lines of a name and a value each.
pub fn list(rows: &[(&str, String)]) -> String {
    rows.iter().map(|(name, value)| format!("{name:<11}{value}\n")).collect()
}

/// Something to see in each column, and nothing that steers a terminal.
pub fn cell(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.escape_debug().to_string() }
}

/// An id as it fits into a column: Kubernetes' are 64 hexadecimal digits, of which crictl, too, shows 13.
pub fn short(id: &str) -> String {
    let is_digest = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { id.chars().take(13).collect() } else { cell(id) }
}

/// A time span in its largest unit.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Bytes in MiB.
pub fn mib(bytes: u64) -> String {
    format!("{:.1}MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let ages: Vec<String> = [0, 59, 60, 3600, 100_000, 200_000].into_iter().map(age).collect();
        assert_eq!(ages, ["0s", "59s", "1m", "1h", "27h", "2d"]);
    }

    #[test]
    fn columns_are_aligned_and_lines_end_with_their_last_word() {
        let rows = [["a".to_owned(), "bcd".to_owned()], ["efgh".to_owned(), String::new()]];
        assert_eq!(table(["ONE", "TWO"], rows.into_iter()), "ONE   TWO\na     bcd\nefgh\n");
    }
}
