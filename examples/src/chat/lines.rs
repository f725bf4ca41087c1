//! Lines out of the bytes of a connection.

/// The longest line.
pub(crate) const MAX_LINE: usize = 1000;

/// A buffer that bytes are read into and lines are taken out of.
#[derive(Debug)]
pub(crate) struct Lines {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    /// The line under way was too long, and is skipped up to its end.
    skipping: bool,
}

/// What the buffer has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line without its end, and without what would play tricks on a terminal.
    Text(String),
    /// One that was longer than `MAX_LINE`. Its bytes are gone.
    TooLong,
}

impl Lines {
    pub(crate) fn new() -> Lines {
        Lines {
            bytes: vec![0; 2 * (MAX_LINE + 2)].into(),
            start: 0,
            end: 0,
            skipping: false,
        }
    }

    /// The next line, if it is all there.
    pub(crate) fn next(&mut self) -> Option<Line> {
        loop {
            let rest = &self.bytes[self.start..self.end];
            let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
                if rest.len() <= MAX_LINE + 1 {
                    return None;
                }
                self.start = self.end;
                if !std::mem::replace(&mut self.skipping, true) {
                    return Some(Line::TooLong);
                }
                return None;
            };
            let line = rest[..length]
                .strip_suffix(b"\r")
                .unwrap_or(&rest[..length]);
            let text = (line.len() <= MAX_LINE).then(|| clean(line));
            self.start += length + 1;
            // The end of a line that was refused is no line.
            if !std::mem::take(&mut self.skipping) {
                return Some(text.map_or(Line::TooLong, Line::Text));
            }
        }
    }

    /// Whether a line has begun.
    pub(crate) fn is_within_line(&self) -> bool {
        self.start < self.end || self.skipping
    }

    /// Where to read into, when `next` has given `None`.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.bytes[self.end..]
    }

    /// So many bytes were read into it.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
    }
}

fn clean(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines of `bytes`, read `step` at a time.
    fn all(bytes: &[u8], step: usize) -> Vec<Line> {
        let mut lines = Lines::new();
        let mut found = Vec::new();
        let mut rest = bytes;
        loop {
            while let Some(line) = lines.next() {
                found.push(line);
            }
            if rest.is_empty() {
                return found;
            }
            let room = lines.room();
            assert!(!room.is_empty());
            let n = step.min(room.len()).min(rest.len());
            room[..n].copy_from_slice(&rest[..n]);
            lines.filled(n);
            rest = &rest[n..];
        }
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let text = |text: &str| Line::Text(text.to_owned());
        let longest = "x".repeat(MAX_LINE);
        let bytes = format!(
            "one\r\n\ntwo\x1b[2J\n{longest}\n{longest}y\n{}\r\nlast\n{longest}\r\nno end",
            "z".repeat(10_000)
        );
        let wanted = [
            text("one"),
            text(""),
            text("two[2J"),
            text(&longest),
            Line::TooLong,
            Line::TooLong,
            text("last"),
            text(&longest),
        ];
        for step in (1..50).chain([1000, 5000]) {
            assert_eq!(all(bytes.as_bytes(), step), wanted, "by {step}");
        }
        assert_eq!(all(b"\xff\xfe\n", 9), [text("\u{fffd}\u{fffd}")]);
    }
}
