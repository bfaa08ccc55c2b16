//! Aligned tables for people. Chinese characters take two columns of a terminal, so width is counted, not length.

/// A table: a heading and rows of cells. Rows may be shorter than the heading.
#[derive(Clone, Debug, Default)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with these column titles; a title that starts with `>` marks a column of numbers, aligned to the right.
    pub fn new<S: AsRef<str>>(head: impl IntoIterator<Item = S>) -> Self {
        let mut table = Self::default();
        for title in head {
            let title = title.as_ref();
            table.right.push(title.starts_with('>'));
            table.head.push(title.trim_start_matches('>').to_owned());
        }
        table
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|c| one_line(&c.into())).collect());
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text: columns two spaces apart, no trailing spaces, a line break after every row.
    pub fn render(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        if self.head.iter().any(|h| !h.is_empty()) {
            self.line(&self.head, &widths, &mut out);
        }
        for row in &self.rows {
            self.line(row, &widths, &mut out);
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.head.iter().map(|h| width(h)).collect();
        for row in &self.rows {
            for (n, cell) in row.iter().enumerate() {
                if n >= widths.len() {
                    widths.push(0);
                }
                widths[n] = widths[n].max(width(cell));
            }
        }
        widths
    }

    fn line(&self, cells: &[String], widths: &[usize], out: &mut String) {
        let mut line = String::new();
        for (n, cell) in cells.iter().enumerate() {
            let gap = " ".repeat(widths[n].saturating_sub(width(cell)));
            if n > 0 {
                line.push_str("  ");
            }
            if self.right.get(n).copied().unwrap_or(false) {
                line.push_str(&gap);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&gap);
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// Columns of a terminal that a text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Control characters would break the lines and could drive the terminal; they become spaces.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Columns of one character: 0 for combining marks, 2 for East Asian wide and full-width forms, else 1.
pub(crate) fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036F | 0x200B..=0x200F | 0xFE00..=0xFE0F => 0,
        0x1100..=0x115F
        | 0x2E80..=0x303E
        | 0x3041..=0x33FF
        | 0x3400..=0x4DBF
        | 0x4E00..=0x9FFF
        | 0xA000..=0xA4CF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE4F
        | 0xFF00..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x1F300..=0x1FAFF
        | 0x20000..=0x3FFFD => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stay_aligned_when_names_are_chinese() {
        let mut t = Table::new(["region", "name", ">records"]);
        t.row(["440000", "广东省", "7"]);
        t.row(["440300", "Shenzhen", "12345"]);
        let text = t.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "region  name      records");
        assert_eq!(lines[1], "440000  广东省          7");
        assert_eq!(lines[2], "440300  Shenzhen    12345");
        assert_eq!(width(lines[1]), width(lines[2]));
    }

    #[test]
    fn control_characters_cannot_break_a_row() {
        let mut t = Table::new(["a"]);
        t.row(["x\ny\u{1b}[31m"]);
        assert_eq!(t.render(), "a\nx y [31m\n");
    }

    #[test]
    fn combining_marks_take_no_column_and_full_width_forms_two() {
        assert_eq!((width("e\u{301}"), width("（％）"), width("한글")), (1, 6, 4));
    }
}
