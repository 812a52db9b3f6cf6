//! The runs of a sweep as a Parquet file.

use std::{error::Error, fs::File, path::Path, sync::Arc};

use parquet::{
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};

use super::sweep::Row;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The columns, in the order in which they are written. Numbers are below 2⁶³.
const SCHEMA: &str = "message runs {
    required binary scenario (string);
    required int64 seed;
    required binary verdict (string);
    optional double decided_all_ms;
    optional double replied_ms;
    required int64 view;
    required int64 messages;
    required int64 bytes;
    required int64 events;
    required binary digest (string);
}";

/// Writes all rows as one group.
pub(super) fn write(path: &Path, rows: &[Row]) -> Result<()> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let mut file = SerializedFileWriter::new(File::create(path)?, schema, Arc::new(WriterProperties::new()))?;
    let mut group = file.next_row_group()?;
    let numbers = |of: fn(&Row) -> u64| rows.iter().map(|row| of(row) as i64).collect::<Vec<_>>();
    let texts = |of: fn(&Row) -> &str| rows.iter().map(|row| ByteArray::from(of(row))).collect::<Vec<_>>();
    required::<ByteArrayType>(&mut group, &texts(|row| &row.scenario))?;
    required::<Int64Type>(&mut group, &numbers(|row| row.seed))?;
    required::<ByteArrayType>(&mut group, &texts(|row| &row.verdict))?;
    optional(&mut group, rows.iter().map(|row| row.decided_all_ms))?;
    optional(&mut group, rows.iter().map(|row| row.replied_ms))?;
    for of in [|row: &Row| row.view, |row: &Row| row.messages, |row: &Row| row.bytes, |row: &Row| row.events] {
        required::<Int64Type>(&mut group, &numbers(of))?;
    }
    required::<ByteArrayType>(&mut group, &texts(|row| &row.digest))?;
    group.close()?;
    file.close()?;
    Ok(())
}

type Group<'a> = SerializedRowGroupWriter<'a, File>;

fn required<T: DataType>(group: &mut Group<'_>, values: &[T::T]) -> Result<()> {
    column::<T>(group, values, None)
}

fn optional(group: &mut Group<'_>, values: impl Iterator<Item = Option<f64>> + Clone) -> Result<()> {
    let levels: Vec<_> = values.clone().map(|value| i16::from(value.is_some())).collect();
    column::<DoubleType>(group, &values.flatten().collect::<Vec<_>>(), Some(&levels))
}

fn column<T: DataType>(group: &mut Group<'_>, values: &[T::T], levels: Option<&[i16]>) -> Result<()> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, levels, None)?;
        column.close()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::RowAccessor,
    };

    use super::*;

    #[test]
    fn every_run_is_read_as_it_was_written() {
        let row = |seed: u64| Row {
            scenario: "calm".into(),
            seed,
            verdict: if seed == 1 { "no progress" } else { "pass" }.into(),
            decided_all_ms: (seed != 1).then_some(seed as f64 + 0.5),
            replied_ms: None,
            view: seed + 1,
            messages: seed + 2,
            bytes: seed + 3,
            events: seed + 4,
            digest: format!("{seed:032x}"),
        };
        let rows: Vec<_> = (0..3).map(row).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), &rows).unwrap();
        let reader = SerializedFileReader::new(File::open(file.path()).unwrap()).unwrap();
        let read: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.len(), rows.len());
        for (read, row) in read.iter().zip(&rows) {
            assert_eq!((read.get_string(0).unwrap(), read.get_long(1).unwrap() as u64), (&row.scenario, row.seed));
            assert_eq!(read.get_string(2).unwrap(), &row.verdict);
            assert_eq!(read.get_double(3).ok(), row.decided_all_ms);
            assert_eq!(read.get_double(4).ok(), None);
            let numbers = [5, 6, 7, 8].map(|column| read.get_long(column).unwrap() as u64);
            assert_eq!(numbers, [row.view, row.messages, row.bytes, row.events]);
            assert_eq!(read.get_string(9).unwrap(), &row.digest);
        }
    }
}
