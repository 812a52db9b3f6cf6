//! The ledger as the seed writes its `ledger.json`: byte for byte what Python's `json.dump(ledger, file, indent=4)` gives.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::Entry;

/// An entry of the seed's.
#[derive(Debug, Serialize)]
struct SeedEntry {
    node: String,
    transaction_data: String,
    nonce: u64,
    hash: String,
    /// In seconds.
    time_taken: f64,
    start_time: String,
    end_time: String,
}

impl From<&Entry> for SeedEntry {
    fn from(Entry { record, .. }: &Entry) -> Self {
        Self {
            node: record.node.clone(),
            transaction_data: record.text(),
            nonce: record.nonce,
            hash: alloy_primitives::hex::encode(record.hash),
            time_taken: record.duration_us as f64 / 1e6,
            start_time: timestamp(record.started_at_us),
            end_time: timestamp(record.ended_at_us),
        }
    }
}

/// A time in microseconds since the Unix epoch as Python's `%Y-%m-%d %H:%M:%S.%f` has it, in UTC.
pub fn timestamp(us: u64) -> String {
    /// The last microsecond of the year 9999: the calendar that people use has an end.
    const LAST: u64 = 253_402_300_799_999_999;
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_micros(us.min(LAST));
    humantime::format_rfc3339_micros(time).to_string().replace('T', " ").replace('Z', "")
}

/// Writes entries as the seed does. There is no newline at the end.
pub fn write(entries: &[Entry], out: &mut impl Write) -> io::Result<()> {
    let entries: Vec<_> = entries.iter().map(SeedEntry::from).collect();
    entries.serialize(&mut Serializer::with_formatter(out, Python::default())).map_err(Into::into)
}

/// Writes JSON as Python does.
struct Python(PrettyFormatter<'static>);

impl Default for Python {
    fn default() -> Self {
        Self(PrettyFormatter::with_indent(b"    "))
    }
}

impl Formatter for Python {
    /// Python writes the shortest digits that give the number, as Rust does, and an exponent of two digits or more.
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let shortest = format!("{value:?}");
        match shortest.split_once('e') {
            None => writer.write_all(shortest.as_bytes()),
            Some((digits, exponent)) => {
                let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
                write!(writer, "{digits}e{sign}{exponent:0>2}")
            }
        }
    }

    /// Python escapes what is not printable ASCII, as one or two UTF-16 units.
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut units = [0; 2];
        for character in fragment.chars() {
            match character {
                ' '..='~' => write!(writer, "{character}")?,
                _ => character.encode_utf16(&mut units).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?,
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{fs, num::NonZeroUsize, process::Command};

    use dtn_pow::{Cancel, Puzzle, mine};
    use dtn_primitives::{B256, Claim, Genesis, Line, Payload, SecretKey, Transaction};

    use super::{
        super::{Head, node_name},
        *,
    };
    use crate::{Part, Race};

    /// What Python wrote for the entries below.
    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/ledger.json");

    /// Lines that JSON has to escape, and times in all the forms that Python has for them.
    fn cases() -> Vec<(Vec<u8>, u64, u64)> {
        let texts: [&[u8]; 8] = [
            b"Your transaction data",
            "caf\u{e9} \u{20ac} \u{1f600}".as_bytes(),
            b"\"quoted\" \\ / \x00\x01\x08\t\x0c\r\x1f\x7f",
            b"\xff\xfe not UTF-8",
            "\u{2028}\u{ffff}\u{10000}".as_bytes(),
            b"<script>&'",
            b" ",
            b"{}",
        ];
        let times = [0, 1, 99, 100, 1_234_567, 1_000_000, 123_456_789_012, 10_000_000_007];
        let began = [0, 1, 951_782_400_000_000, 1_700_000_000_000_000, 1_700_000_000_123_456, 1_000_000, 999_999, 5];
        texts.iter().zip(times).zip(began).map(|((text, took), began)| (text.to_vec(), took, began)).collect()
    }

    /// Entries of those lines, with all the work and signatures, and their genesis.
    pub(in crate::ledger) fn entries() -> (Vec<Entry>, Genesis) {
        let mut keys: Vec<_> = (1..=4).map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap()).collect();
        keys.sort_by_key(SecretKey::address);
        let genesis = Genesis {
            version: dtn_primitives::UNVERSIONED,
            name: "golden".into(),
            chain_id: 31337,
            timestamp: 0,
            max_block_bytes: 1 << 20,
            validators: keys.iter().map(SecretKey::public_key).collect(),
            requesters: Vec::new(),
            engine: dtn_primitives::Engine::Pbft,
            kinds: Vec::new(),
            training: None,
        };
        let domain = genesis.domain();
        let mut head = Head::default();
        let enter = |(index, (data, duration_us, started_at_us)): (usize, (Vec<u8>, u64, u64))| {
            let line = Line { nonce: index as u64, data: data.into(), expected_hashes: 16 };
            let order = Transaction::sign(Payload::Line(line), &keys[0], &domain);
            let (transaction, race, winner) = (order.hash(&domain), B256::repeat_byte(index as u8), 1 + index % 3);
            let worker = keys[winner].address();
            let puzzle = Puzzle::new(domain.network_id, race, transaction, worker, 16).unwrap();
            let solution = mine(&puzzle, 0..=u64::MAX, NonZeroUsize::MIN, &Cancel::new()).solution.unwrap();
            let claim = Claim {
                order: transaction,
                race,
                payee: worker,
                nonce: solution.nonce,
                hash: solution.hash,
                started_at_us,
                ended_at_us: started_at_us + duration_us,
                duration_us,
            };
            let signature = Transaction::sign(Payload::Claim(claim.clone()), &keys[winner], &domain).signature;
            let part = Part { worker, claim, signature };
            let (height, block) = (2 * index as u64 + 2, B256::repeat_byte(0xb0));
            let race = Race { order, transaction, height, block, parts: vec![part.clone()] };
            head.enter(&race, &part, &genesis, node_name(winner))
        };
        let entries = cases().into_iter().enumerate().map(enter).collect();
        (entries, genesis)
    }

    fn written(entries: &[Entry]) -> String {
        let mut bytes = Vec::new();
        write(entries, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_seeds_ledger_is_what_python_wrote_for_the_same_entries() {
        assert_eq!(written(&entries().0), fs::read_to_string(GOLDEN).unwrap());
        assert_eq!(written(&[]), "[]");
    }

    #[test]
    fn python_writes_the_same_again_where_it_is_installed() {
        let program = "import json, sys\nledger = json.load(open(sys.argv[1]))\n\
                       assert all(list(entry) == sys.argv[3:] for entry in ledger)\n\
                       json.dump(ledger, open(sys.argv[2], 'w'), indent=4)";
        let fields = ["node", "transaction_data", "nonce", "hash", "time_taken", "start_time", "end_time"];
        let folder = tempfile::tempdir().unwrap();
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.path().join(name));
        fs::write(&ours, written(&entries().0)).unwrap();
        let mut python = Command::new("python3");
        python.args(["-c", program]).args([&ours, &theirs]).args(fields);
        match python.output() {
            Err(_) => eprintln!("skipped: there is no python3"),
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                assert_eq!(fs::read(ours).unwrap(), fs::read(theirs).unwrap());
            }
        }
    }

    /// `UPDATE_VECTORS=1` has Python write the golden file anew, from plain numbers and bytes.
    #[test]
    fn the_golden_ledger_can_be_written_anew_by_python() {
        if std::env::var_os("UPDATE_VECTORS").is_none() {
            return;
        }
        let program = "import json, sys\nfrom datetime import datetime, timedelta\n\
            at = lambda us: (datetime(1970, 1, 1) + timedelta(microseconds=us)).strftime('%Y-%m-%d %H:%M:%S.%f')\n\
            ledger = [{'node': node, 'transaction_data': bytes.fromhex(data).decode('utf-8', 'replace'), 'nonce': nonce,\n\
            'hash': hash, 'time_taken': took / 1e6, 'start_time': at(began), 'end_time': at(ended)}\n\
            for node, data, nonce, hash, took, began, ended in json.loads(sys.argv[1])]\n\
            json.dump(ledger, open(sys.argv[2], 'w'), indent=4)";
        let rows: Vec<_> = entries()
            .0
            .iter()
            .map(|Entry { record: it, .. }| {
                let (data, hash) = (alloy_primitives::hex::encode(it.data()), alloy_primitives::hex::encode(it.hash));
                serde_json::json!([it.node, data, it.nonce, hash, it.duration_us, it.started_at_us, it.ended_at_us])
            })
            .collect();
        let mut python = Command::new("python3");
        python.args(["-c", program]).arg(serde_json::Value::from(rows).to_string()).arg(GOLDEN);
        assert!(python.status().unwrap().success());
    }
}
