//! JSON: one object a line, or one array of objects (RFC 8259, hence UTF-8).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use encoding_rs::UTF_8;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::{BUFFER_BYTES, RECORD_BYTES_MAX, TextFile};
use super::{Place, SourceError, Table, quoted};

/// How the objects are lined up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One a line; empty lines do not count.
    Lines,
    /// One array.
    Array,
}

/// The objects of one JSON file. A key that an object does not have is null in it; one that no
/// object has is a missing column, which shows at the end.
pub(super) struct JsonTable {
    path: PathBuf,
    bytes: Bytes,
    form: Form,
    state: State,
    element: Vec<u8>,
    chosen: Vec<String>,
    cells: Vec<Result<Option<String>, String>>,
    /// Which of the chosen columns were seen, and what other keys the first rows had.
    seen: BTreeSet<String>,
    rows_read: u64,
}

/// Where in an array the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    First,
    BehindElement,
    BehindComma,
    Ended,
}

/// Other keys that are remembered, for messages.
const SEEN_MAX: usize = 256;

impl JsonTable {
    pub(super) fn open(path: &Path, form: Form) -> Result<Self, SourceError> {
        Ok(Self {
            path: path.to_owned(),
            bytes: Bytes { reader: BufReader::with_capacity(BUFFER_BYTES, TextFile::open(path, UTF_8)?), line: 1 },
            form,
            state: State::Before,
            element: Vec::new(),
            chosen: Vec::new(),
            cells: Vec::new(),
            seen: BTreeSet::new(),
            rows_read: 0,
        })
    }

    fn file(&self, source: io::Error) -> SourceError {
        SourceError::File { path: self.path.clone(), source }
    }

    /// Reads the next element into `element`; the line where it starts, `None` behind the last.
    fn next_element(&mut self) -> Result<Option<u64>, SourceError> {
        self.element.clear();
        match self.form {
            Form::Lines => self.next_line(),
            Form::Array => self.next_of_array(),
        }
    }

    fn next_line(&mut self) -> Result<Option<u64>, SourceError> {
        loop {
            let line = self.bytes.line;
            let more = self.bytes.take_line(&mut self.element).map_err(|source| self.file(source))?;
            if self.element.len() > RECORD_BYTES_MAX {
                return Err(self.too_long(line));
            }
            if self.element.iter().any(|byte| !byte.is_ascii_whitespace()) {
                return Ok(Some(line));
            }
            if !more {
                return Ok(None);
            }
            self.element.clear();
        }
    }

    fn next_of_array(&mut self) -> Result<Option<u64>, SourceError> {
        loop {
            let Some(byte) = self.bytes.peek_solid().map_err(|source| self.file(source))? else {
                return match self.state {
                    State::Ended => Ok(None),
                    _ => Err(self.damaged("the file ends inside its array; it may have been cut")),
                };
            };
            self.state = match (self.state, byte) {
                (State::Before, b'[') => State::First,
                (State::First | State::BehindElement, b']') => State::Ended,
                (State::BehindElement, b',') => State::BehindComma,
                (State::First | State::BehindComma, byte) if !matches!(byte, b',' | b']') => {
                    let line = self.bytes.line;
                    self.take_element(line)?;
                    self.state = State::BehindElement;
                    return Ok(Some(line));
                }
                (State::Before, _) => {
                    return Err(self
                        .damaged("one JSON array of objects is needed; for one object a line write kind = \"jsonl\""));
                }
                (State::Ended, _) => return Err(self.damaged("there is something behind the array")),
                _ => {
                    return Err(
                        self.damaged(&format!("'{}' where it should not be", quoted(&char::from(byte).to_string())))
                    );
                }
            };
            self.bytes.next().map_err(|source| self.file(source))?;
        }
    }

    /// Copies one element of an array, up to where its brackets close.
    fn take_element(&mut self, line: u64) -> Result<(), SourceError> {
        let (mut depth, mut in_text, mut escaped) = (0u32, false, false);
        while let Some(byte) = self.bytes.peek().map_err(|source| self.file(source))? {
            let ends = matches!(byte, b',' | b']') || byte.is_ascii_whitespace();
            if !in_text && depth == 0 && !self.element.is_empty() && ends {
                return Ok(());
            }
            self.element.push(byte);
            self.bytes.next().map_err(|source| self.file(source))?;
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                b'{' | b'[' if !in_text => depth += 1,
                b'}' | b']' if !in_text && depth <= 1 => return Ok(()),
                b'}' | b']' if !in_text => depth -= 1,
                _ => {}
            }
            if self.element.len() > RECORD_BYTES_MAX {
                return Err(self.too_long(line));
            }
        }
        Err(self.damaged("the file ends inside its array; it may have been cut"))
    }

    fn damaged(&self, what: &str) -> SourceError {
        let (row, line) = (self.rows_read + 1, self.bytes.line);
        SourceError::damaged(&self.path, &format!("row {row} (line {line}): {what}"))
    }

    fn too_long(&self, line: u64) -> SourceError {
        let (row, mib) = (self.rows_read + 1, RECORD_BYTES_MAX >> 20);
        SourceError::damaged(&self.path, &format!("row {row} (line {line}): longer than {mib} MiB"))
    }

    /// Finds the chosen columns' cells in the element; what is wrong with the whole, if anything.
    fn read_cells(&mut self) -> Option<String> {
        let object = match serde_json::from_slice::<Object<'_>>(&self.element) {
            Ok(object) => object,
            Err(error) => return Some(self.not_an_object(&error)),
        };
        self.cells.clear();
        self.cells.resize(self.chosen.len(), Ok(None));
        let mut found = vec![false; self.chosen.len()];
        for (name, value) in object.0 {
            let at = self.chosen.iter().position(|chosen| *chosen == name);
            // Those chosen always; of the others as many as are worth naming.
            if (at.is_some() || self.seen.len() < SEEN_MAX) && !self.seen.contains(&name) {
                self.seen.insert(name);
            }
            let Some(at) = at else { continue };
            let (Some(cell), Some(found)) = (self.cells.get_mut(at), found.get_mut(at)) else { continue };
            *cell = if *found { Err("stands twice in this object".into()) } else { cell_of(value) };
            *found = true;
        }
        None
    }

    fn not_an_object(&self, error: &serde_json::Error) -> String {
        let first = self.element.iter().find(|byte| !byte.is_ascii_whitespace());
        match (first, self.form) {
            (Some(b'{'), _) => format!("not JSON: {}", quoted(&error.to_string())),
            (Some(b'['), Form::Lines) => {
                "an array where an object is needed; for one array of objects write kind = \"json\"".into()
            }
            _ => "not a JSON object".into(),
        }
    }
}

impl Table for JsonTable {
    fn columns(&mut self) -> Result<Vec<String>, SourceError> {
        let mut other = Self::open(&self.path, self.form)?;
        let (mut names, mut known) = (Vec::new(), BTreeSet::new());
        while other.next_element()?.is_some() {
            other.rows_read += 1;
            let Ok(object) = serde_json::from_slice::<Object<'_>>(&other.element) else { continue };
            for (name, _) in object.0 {
                if known.len() < SEEN_MAX && known.insert(name.clone()) {
                    names.push(name);
                }
            }
        }
        Ok(names)
    }

    fn choose(&mut self, names: &[String]) -> Result<(), SourceError> {
        self.chosen = names.to_vec();
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Place>, SourceError> {
        let Some(line) = self.next_element()? else {
            let missing = self.chosen.iter().find(|name| !self.seen.contains(*name));
            return match missing.filter(|_| self.rows_read > 0) {
                Some(column) => {
                    let seen: Vec<String> = self.seen.iter().cloned().collect();
                    Err(SourceError::missing(&self.name(), column, &seen))
                }
                None => Ok(None),
            };
        };
        self.rows_read += 1;
        let fault = self.read_cells();
        Ok(Some(Place { line: Some(line), fault }))
    }

    fn cell(&self, chosen: usize) -> Result<Option<Cow<'_, str>>, String> {
        match self.cells.get(chosen) {
            Some(Ok(Some(text))) => Ok(Some(Cow::Borrowed(text))),
            Some(Ok(None)) | None => Ok(None),
            Some(Err(what)) => Err(what.clone()),
        }
    }

    fn size_hint(&self) -> Option<(u64, u64)> {
        Some(self.bytes.reader.get_ref().size_hint())
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// An object's members in order, repeated ones too.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A value as a cell: a text without its quotes, anything else as it is spelled, without spaces.
fn cell_of(value: &RawValue) -> Result<Option<String>, String> {
    match value.get() {
        "null" => Ok(None),
        text if text.starts_with('"') => {
            serde_json::from_str(text).map(Some).map_err(|_| "not a text: half a surrogate pair".into())
        }
        text => Ok(Some(without_spaces(text))),
    }
}

fn without_spaces(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let keep = |c: &char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ => {}
        }
        in_text || !c.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

/// Bytes one by one, with the line they are on.
struct Bytes {
    reader: BufReader<TextFile>,
    line: u64,
}

impl Bytes {
    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.reader.fill_buf()?.first().copied())
    }

    /// The next byte that is no white space.
    fn peek_solid(&mut self) -> io::Result<Option<u8>> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.next()?;
        }
        Ok(None)
    }

    fn next(&mut self) -> io::Result<Option<u8>> {
        let byte = self.peek()?;
        self.reader.consume(usize::from(byte.is_some()));
        self.line += u64::from(byte == Some(b'\n'));
        Ok(byte)
    }

    /// Appends a line, or as much of it as a record may have; false at the end of the file.
    fn take_line(&mut self, to: &mut Vec<u8>) -> io::Result<bool> {
        let limit = RECORD_BYTES_MAX as u64 + 1;
        io::Read::take(&mut self.reader, limit).read_until(b'\n', to)?;
        let ended = to.last() == Some(&b'\n');
        self.line += u64::from(ended);
        Ok(ended)
    }
}
