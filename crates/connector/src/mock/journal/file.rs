use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::Mutex,
};

use serde_json::Value;
use sovd_domain::Vin;

use super::{Erased, FaultMemory, JournalEntry, lock};

/// A file of entries, one line each, that other processes may write to at the same time.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    seen: Mutex<Seen>,
}

/// The lines that were read before, so that a long file is not read again for each answer.
#[derive(Debug, Default)]
struct Seen {
    bytes: u64,
    faults: FaultMemory,
}

impl JournalFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            seen: Mutex::default(),
        }
    }

    pub(super) fn entries(&self) -> io::Result<Vec<JournalEntry>> {
        match self.open()? {
            Some(file) => Ok(finished_lines(file)?.0),
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
        if ends_inside_a_line(&mut file)? {
            line.push(b'\n');
        }
        serde_json::to_writer(&mut line, entry)?;
        line.push(b'\n');
        // One write, so that lines of several processes do not mix.
        if file.write(&line)? == line.len() {
            Ok(())
        } else {
            Err(ErrorKind::WriteZero.into())
        }
    }

    pub(super) fn erased(&self, vin: &Vin, params: &Value) -> io::Result<Erased> {
        let mut seen = lock(&self.seen);
        let Some(mut file) = self.open()? else {
            *seen = Seen::default();
            return Ok(Erased::default());
        };
        if file.metadata()?.len() < seen.bytes {
            // Somebody emptied the file to begin anew.
            *seen = Seen::default();
        }
        file.seek(SeekFrom::Start(seen.bytes))?;
        let (entries, bytes) = finished_lines(file)?;
        for entry in &entries {
            seen.faults.learn(entry);
        }
        seen.bytes += bytes;
        Ok(seen.faults.erased(vin, params))
    }

    /// `None` if there is no file yet.
    fn open(&self) -> io::Result<Option<File>> {
        match File::open(&self.path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether a writer was stopped in the middle of its line, which must not swallow the next one.
fn ends_inside_a_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// The entries of the rest of the file up to its last line break, and the bytes up to there.
fn finished_lines(mut file: File) -> io::Result<(Vec<JournalEntry>, u64)> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let unfinished = bytes
        .iter()
        .rev()
        .take_while(|byte| **byte != b'\n')
        .count();
    bytes.truncate(bytes.len() - unfinished);
    let entries = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| entry(line).transpose())
        .collect::<io::Result<_>>()?;
    Ok((entries, bytes.len() as u64))
}

/// `None` for a line that breaks off: its writer got no further, and its command was not sent.
fn entry(line: &[u8]) -> io::Result<Option<JournalEntry>> {
    match serde_json::from_slice(line) {
        Ok(entry) => Ok(Some(entry)),
        Err(error) if error.is_eof() => Ok(None),
        Err(error) => Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("a line is no entry of a journal: {error}"),
        )),
    }
}
