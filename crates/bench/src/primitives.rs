//! What one thread takes for the operations that bound a network's speed.

use std::{
    fs::OpenOptions,
    hint::black_box,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use dtn_primitives::{B256, Domain, SecretKey, keccak256};
use dtn_report::{Table, left, right};
use serde::Serialize;

use crate::{
    BenchError, Result, machine,
    workload::{self, Shape},
};

/// How long each operation is repeated.
const MEASURED_FOR: Duration = Duration::from_millis(300);

/// Microseconds an operation, by one thread: processor time, but for the forced write.
#[derive(Debug, Clone, Serialize)]
pub struct Costs {
    /// Signing a digest.
    pub sign_us: f64,
    /// Recovering the signer of a digest, which is what checking any signature takes here.
    pub recover_us: f64,
    /// Hashing a transaction of the size that is measured, as its signature needs it.
    pub hash_us: f64,
    /// Encoding and decoding such a transaction.
    pub recode_us: f64,
    /// Appending so many bytes to a file and forcing them to disk.
    pub sync_us: f64,
}

impl Costs {
    /// The transactions a second at which `cores` cores do nothing but have each of `n` peers check every signature.
    pub fn verified_ceiling(&self, cores: usize, n: usize) -> f64 {
        cores as f64 * 1e6 / (n as f64 * (self.recover_us + self.hash_us))
    }

    /// As people read them, of a transaction of that size.
    pub fn table(&self, size: usize) -> Table {
        let mut table = Table::new("Primitives, one thread", [left("operation"), right("µs"), right("a second")]);
        let rows = [
            ("sign a digest".to_string(), self.sign_us),
            ("recover a signer".into(), self.recover_us),
            (format!("hash a transaction of {size} B"), self.hash_us),
            (format!("encode and decode {size} B"), self.recode_us),
            (format!("append {size} B and force to disk"), self.sync_us),
        ];
        for (operation, cost) in rows {
            let rate = dtn_report::units::thousands((1e6 / cost) as u64);
            table.row([operation, format!("{cost:.2}"), rate]);
        }
        table
    }
}

/// Measures here and now; forced writes in `folder`.
pub fn costs(size: usize, folder: &Path) -> Result<Costs> {
    let domain = Domain::new(B256::repeat_byte(1), 1);
    let key = SecretKey::from_bytes(&[7; 32])?;
    let digest = keccak256("digest");
    let signature = key.sign(digest);
    let shape = Shape::signed(size)?;
    let transaction = workload::transaction(&shape, 0, &key, &domain);
    let file = folder.join(format!("dtn-sync-{}", std::process::id()));
    let mut log = OpenOptions::new().create(true).append(true).open(&file).map_err(BenchError::path("write", &file))?;
    let bytes = vec![0xa5; size];
    let sync_us = wall_time(|| log.write_all(&bytes).and_then(|()| log.sync_data()));
    std::fs::remove_file(&file).map_err(BenchError::path("remove", &file))?;
    Ok(Costs {
        sign_us: time(|| key.sign(digest)),
        recover_us: time(|| signature.signer(digest)),
        hash_us: time(|| transaction.hash(&domain)),
        recode_us: time(|| {
            let encoded = dtn_primitives::codec::encode(&transaction);
            dtn_primitives::codec::decode::<dtn_primitives::Transaction>(&encoded, usize::MAX)
        }),
        sync_us,
    })
}

/// The mean processor time of a computation in microseconds: on a busy machine its cost is not the time that it waits.
fn time<T>(operation: impl FnMut() -> T) -> f64 {
    mean(machine::thread_time, operation)
}

/// The mean time of an operation in microseconds, with all that it waits for.
fn wall_time<T>(operation: impl FnMut() -> T) -> f64 {
    mean(|| None, operation)
}

fn mean<T>(clock: impl Fn() -> Option<Duration>, mut operation: impl FnMut() -> T) -> f64 {
    let (began, before, mut count) = (Instant::now(), clock(), 0u32);
    while began.elapsed() < MEASURED_FOR {
        black_box(operation());
        count += 1;
    }
    let spent = clock().zip(before).map(|(after, before)| after.saturating_sub(before));
    spent.unwrap_or_else(|| began.elapsed()).as_secs_f64() * 1e6 / f64::from(count)
}
