//! Text, line by line, with line numbers and a bound on a line's length.

use std::io::{BufRead, Read};

use super::error::Problem;

/// Longer lines are taken for a file that is no text: a vector of the largest dimension, written in full, with a
/// payload of many megabytes beside it, still fits.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// The lines of a text in UTF-8, ended by `\n` or `\r\n`; the last one may lack its end.
pub(super) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    offset: u64,
    max_bytes: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0, offset: 0, max_bytes: MAX_LINE_BYTES }
    }

    /// The next line without its end; `None` after the last.
    pub(super) fn next_line(&mut self) -> Result<Option<&str>, Problem> {
        self.line.clear();
        let start = self.offset;
        let read = (&mut self.input).take(self.max_bytes + 1).read_until(b'\n', &mut self.line)? as u64;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.offset += read;
        if read > self.max_bytes {
            return Err(Problem::LineTooLong { line: self.number, limit: self.max_bytes });
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        }
        match str::from_utf8(&self.line) {
            Ok(line) => Ok(Some(line)),
            Err(error) => {
                Err(Problem::NotUtf8 { line: self.number, offset: start + error.valid_up_to() as u64 })
            }
        }
    }

    /// Number of the last line given, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<Vec<String>, Problem> {
        let mut lines = Lines::new(text);
        let mut all = Vec::new();
        while let Some(line) = lines.next_line()? {
            all.push(line.to_owned());
        }
        Ok(all)
    }

    #[test]
    fn both_line_ends_and_a_missing_last_one() {
        assert_eq!(all(b"a\r\n\nb\rc\nd").unwrap(), ["a", "", "b\rc", "d"]);
        assert_eq!(all(b"a\n").unwrap(), ["a"]);
        assert!(all(b"").unwrap().is_empty());
    }

    #[test]
    fn the_byte_that_is_not_utf8_is_named() {
        assert!(matches!(all(b"ok\nab\xff"), Err(Problem::NotUtf8 { line: 2, offset: 5 })));
    }

    #[test]
    fn a_line_without_end_is_not_read_into_memory() {
        let mut lines = Lines { max_bytes: 8, ..Lines::new(&b"1234567\n123456789"[..]) };
        assert_eq!(lines.next_line().unwrap(), Some("1234567"));
        assert!(matches!(lines.next_line(), Err(Problem::LineTooLong { line: 2, limit: 8 })));
    }
}
