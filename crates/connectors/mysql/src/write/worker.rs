//! The threads that fill the staging table, each with a connection of its own.

use super::encode::{self, ColumnWriter};
use super::normalize::{finite, normalize};
use super::target::Staging;
use crate::pool::{Pool, Running, Session, lock};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use xdb_core::{Error, ErrorKind, IoStats, Result, TypePolicy};

/// A packet of data is sent when it has this much. Above what a socket takes at once, below what the server must grow its
/// buffer for.
const CHUNK: usize = 256 * 1024;
/// One INSERT, where LOAD DATA isn't to be had; the server's max_allowed_packet may make it smaller.
const INSERT_BYTES: usize = 4 << 20;

/// Batches for whichever worker is free.
pub(crate) type Queue = Arc<Mutex<mpsc::Receiver<RecordBatch>>>;

pub(crate) struct Worker {
    pub(crate) pool: Arc<Pool>,
    pub(crate) staging: Arc<Staging>,
    pub(crate) schema: SchemaRef,
    pub(crate) policy: TypePolicy,
    pub(crate) stats: Arc<IoStats>,
    pub(crate) queue: Queue,
    pub(crate) running: Running,
}

impl Worker {
    /// Until the queue is closed: rows written. Blocks.
    pub(crate) fn run(self) -> Result<u64> {
        // No connection, and no empty LOAD DATA, before there is something to send.
        let Some(first) = self.next() else { return Ok(0) };
        let mut session = self.pool.take()?;
        self.running.start(&session)?;
        let out = match self.staging.local_infile {
            true => self.load(&mut session, first),
            false => self.insert(&mut session, first),
        };
        if self.running.finish() && out.is_ok() {
            self.pool.put(session);
        }
        out
    }
    fn next(&self) -> Option<RecordBatch> {
        lock(&self.queue).blocking_recv()
    }
    fn columns(&self, batch: &RecordBatch) -> Result<Vec<arrow::array::ArrayRef>> {
        let fields = self.schema.fields();
        normalize(batch, self.policy)?.iter().zip(fields).map(|(c, f)| finite(f, c, self.policy)).collect()
    }
    fn sent(&self, rows: usize, bytes: usize) {
        self.stats.add_rows(rows as u64);
        self.stats.add_bytes(bytes as u64);
    }

    fn load(&self, session: &mut Session, first: RecordBatch) -> Result<u64> {
        let sql = self.staging.load_sql();
        // Not `SET unique_checks = 0, foreign_key_checks = 0`: MariaDB's bulk insert, which they allow, takes twice the time
        // on a table without keys, and locks the table against the other workers (docs/decisions/0003-mysql-driver.md).
        session.load_start(&sql).map_err(|e| e.sql(&sql))?;
        // Four bytes are kept free for the packet's header.
        let mut packet = vec![0u8; 4];
        packet.reserve(2 * CHUNK);
        let mut rows = 0u64;
        let mut next = Some(first);
        while let Some(batch) = next {
            let arrays = self.columns(&batch)?;
            let writers = self.writers(&arrays)?;
            let (n, mut at, mut bytes) = (batch.num_rows(), 0, 0);
            while at < n {
                // A few rows at a time, so that a packet grows little past its size.
                let to = (at + 64).min(n);
                encode::lines(&writers, at, to, &mut packet)?;
                at = to;
                if packet.len() >= CHUNK {
                    bytes += send(session, &mut packet)?;
                }
            }
            rows += n as u64;
            self.sent(n, bytes);
            next = self.next();
        }
        if packet.len() > 4 {
            self.sent(0, send(session, &mut packet)?);
        }
        let done = session.load_end().map_err(|e| e.sql(&sql))?;
        // LOCAL makes errors into warnings: https://dev.mysql.com/doc/refman/8.4/en/load-data.html#load-data-error-handling
        if done.warnings > 0 {
            self.staging.check_warnings(session, &sql)?;
        }
        if done.affected != rows {
            return Err(
                Error::new(ErrorKind::Protocol, format!("{rows} rows were sent, {} arrived", done.affected)).sql(&sql)
            );
        }
        Ok(rows)
    }

    fn insert(&self, session: &mut Session, first: RecordBatch) -> Result<u64> {
        let head = self.staging.insert_sql();
        // Half of the server's limit: the rest is for a row that is larger than most.
        let most = INSERT_BYTES.min(session.server.max_allowed_packet / 2).max(1024);
        let mut sql: Vec<u8> = Vec::with_capacity(most + 64 * 1024);
        let mut rows = 0u64;
        session.execute("START TRANSACTION")?;
        let mut next = Some(first);
        while let Some(batch) = next {
            let arrays = self.columns(&batch)?;
            let writers = self.writers(&arrays)?;
            let mut bytes = 0;
            for row in 0..batch.num_rows() {
                sql.extend_from_slice(if sql.is_empty() { head.as_bytes() } else { b"," });
                encode::tuple(&writers, row, &mut sql)?;
                if sql.len() >= most || row + 1 == batch.num_rows() {
                    let done = session.execute_bytes(&sql).map_err(|e| e.sql(&head))?;
                    if done.warnings > 0 {
                        self.staging.check_warnings(session, &head)?;
                    }
                    bytes += sql.len();
                    sql.clear();
                }
            }
            rows += batch.num_rows() as u64;
            self.sent(batch.num_rows(), bytes);
            next = self.next();
        }
        session.execute("COMMIT")?;
        Ok(rows)
    }

    fn writers<'a>(&'a self, arrays: &'a [arrow::array::ArrayRef]) -> Result<Vec<ColumnWriter<'a>>> {
        self.schema.fields().iter().zip(arrays).map(|(f, a)| ColumnWriter::new(f, a, self.policy)).collect()
    }
}

/// Send what is in `packet`, in pieces that fit a packet each; the number of bytes.
fn send(session: &mut Session, packet: &mut Vec<u8>) -> Result<usize> {
    const MOST: usize = 8 << 20;
    let n = packet.len() - 4;
    if n <= MOST {
        session.load_data(packet)?;
    } else {
        // One value of many megabytes: the stream of bytes may be cut anywhere.
        for piece in packet[4..].chunks(MOST) {
            let mut one = vec![0u8; 4];
            one.extend_from_slice(piece);
            session.load_data(&mut one)?;
        }
        packet.shrink_to(2 * CHUNK);
    }
    packet.truncate(4);
    Ok(n)
}
