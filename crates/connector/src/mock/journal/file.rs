use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::PathBuf,
};

use parking_lot::Mutex;
use serde_json::Value;
use sovd_domain::Vin;

use super::{ClearedCodes, FaultMemory, JournalEntry};

/// A file of entries, one per line, to which other processes may write concurrently.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    progress: Mutex<Progress>,
}

/// The result of the lines read so far, so that a long file is not read again for each response.
#[derive(Debug, Default)]
struct Progress {
    bytes: u64,
    faults: FaultMemory,
}

impl JournalFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            progress: Mutex::default(),
        }
    }

    pub(super) fn entries(&self) -> io::Result<Vec<JournalEntry>> {
        match self.open()? {
            Some(file) => Ok(read_entries(file)?.0),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn append(&self, entry: &JournalEntry) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&self.path)?;
        let mut line = Vec::new();
        if has_unfinished_line(&mut file)? {
            line.push(b'\n');
        }
        serde_json::to_writer(&mut line, entry)?;
        line.push(b'\n');
        // One write, so that the lines of several processes do not mix.
        if file.write(&line)? == line.len() {
            Ok(())
        } else {
            Err(ErrorKind::WriteZero.into())
        }
    }

    pub(super) fn cleared_codes(&self, vin: &Vin, params: &Value) -> io::Result<ClearedCodes> {
        let mut progress = self.progress.lock();
        let Some(mut file) = self.open()? else {
            *progress = Progress::default();
            return Ok(ClearedCodes::default());
        };
        if file.metadata()?.len() < progress.bytes {
            // The file was emptied to reset the vehicles.
            *progress = Progress::default();
        }
        file.seek(SeekFrom::Start(progress.bytes))?;
        let (entries, bytes) = read_entries(file)?;
        for entry in &entries {
            progress.faults.apply(entry);
        }
        progress.bytes += bytes;
        Ok(progress.faults.cleared_codes(vin, params))
    }

    /// Returns `None` if the file does not exist.
    fn open(&self) -> io::Result<Option<File>> {
        match File::open(&self.path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns whether a writer was killed within its line. The next entry must begin on a new line.
fn has_unfinished_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Returns the entries up to the last line break, and the number of bytes read.
fn read_entries(mut file: File) -> io::Result<(Vec<JournalEntry>, u64)> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let last_break = bytes.iter().rposition(|byte| *byte == b'\n');
    bytes.truncate(last_break.map_or(0, |position| position + 1));
    let entries = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| parse_entry(line).transpose())
        .collect::<io::Result<_>>()?;
    Ok((entries, bytes.len() as u64))
}

/// Returns `None` for an incomplete line: its writer was killed, and its command was not sent.
fn parse_entry(line: &[u8]) -> io::Result<Option<JournalEntry>> {
    match serde_json::from_slice(line) {
        Ok(entry) => Ok(Some(entry)),
        Err(error) if error.is_eof() => Ok(None),
        Err(error) => Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("a line is not an entry of a journal: {error}"),
        )),
    }
}
