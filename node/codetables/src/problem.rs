//! What can be wrong with a file, and what is tolerated and noted.
//!
//! Lines and columns count from 1. A line ends at a line feed, also inside quotes, as an editor shows it; a column is a
//! character of that line, not a field and not a byte. The words of `Kind` and `NoteKind` are stable: scripts match them.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $( $(#[$vdoc:meta])* $variant:ident = $word:literal, )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        pub enum $name { $( $(#[$vdoc])* #[serde(rename = $word)] $variant, )* }

        impl $name {
            /// All kinds.
            pub const ALL: &[$name] = &[ $( $name::$variant, )* ];

            /// The stable word.
            pub fn word(self) -> &'static str {
                match self { $( $name::$variant => $word, )* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// Why a place in the file cannot be imported.
    Kind {
        /// Bytes that are not valid in the declared encoding.
        Encoding = "encoding",
        /// A NUL character.
        Nul = "nul",
        /// Another control character, or a carriage return outside quotes that ends no line.
        ControlCharacter = "control_character",
        /// U+FFFD: something before us could not read the text and put this in its place.
        ReplacementCharacter = "replacement_character",
        /// A quoted field whose closing quote is missing.
        UnterminatedQuote = "unterminated_quote",
        /// Characters between a closing quote and the next delimiter.
        TextAfterQuote = "text_after_quote",
        /// A quote inside a field that does not begin with one.
        StrayQuote = "stray_quote",
        /// More or fewer fields than the header has columns.
        RaggedRow = "ragged_row",
        /// No header line: the file is empty.
        NoHeader = "no_header",
        /// A header and nothing else.
        NoRows = "no_rows",
        /// A column without a name between named ones.
        EmptyColumnName = "empty_column_name",
        /// A column name that stands twice or is too long.
        BadColumnName = "bad_column_name",
        /// A key column that the header does not have.
        MissingKeyColumn = "missing_key_column",
        /// No value in a key column.
        EmptyKey = "empty_key",
        /// Full-width letters, digits or blanks in a key.
        FullWidthKey = "full_width_key",
        /// Blanks at the ends of a key, or invisible characters in it.
        BlankInKey = "blank_in_key",
        /// A key that a spreadsheet turned into a number: `1019010.0`, `1.01E+05`.
        FloatCode = "float_code",
        /// A code that the file keeps as a number: leading zeros are gone.
        NumberCode = "number_code",
        /// A code of digits that is shorter than its column allows: a leading zero was lost perhaps.
        LostZero = "lost_zero",
        /// A value of a length that its column does not allow.
        WrongWidth = "wrong_width",
        /// No value in a column that needs one.
        EmptyValue = "empty_value",
        /// No day of the form 2018-01-10.
        BadDate = "bad_date",
        /// No number in a column of numbers.
        BadNumber = "bad_number",
        /// A last day before the first day.
        BadValidity = "bad_validity",
        /// A parent that is no key of the table.
        UnknownParent = "unknown_parent",
        /// Parents that lead round, or too deep.
        ParentCycle = "parent_cycle",
        /// A value that is no key of the table it refers to.
        UnknownReference = "unknown_reference",
        /// A table referred to that has no version to look into.
        MissingTable = "missing_table",
        /// A column that the mapping names and the file lacks.
        MissingColumn = "missing_column",
        /// A column that the mapping does not name and does not allow.
        UnlistedColumn = "unlisted_column",
        /// Rules that do not fit the columns of the file.
        BadRules = "bad_rules",
        /// A line that is no JSON object.
        BadJson = "bad_json",
        /// An object or a list where a value is needed.
        NestedValue = "nested_value",
        /// A file that is no workbook, or a broken one.
        BadWorkbook = "bad_workbook",
        /// A sheet that the workbook does not have.
        NoSheet = "no_sheet",
        /// A cell in which a formula failed.
        CellError = "cell_error",
        /// Two different rows with one key.
        RepeatedKey = "repeated_key",
        /// A field over the limit.
        FieldTooLong = "field_too_long",
        /// More columns than the limit.
        TooManyColumns = "too_many_columns",
        /// More rows than the limit.
        TooManyRows = "too_many_rows",
        /// More bytes than the limit.
        TooManyBytes = "too_many_bytes",
    }
}

words! {
    /// What is tolerated. It does not change the table, but somebody may want to know.
    NoteKind {
        /// A byte-order mark in front.
        ByteOrderMark = "byte_order_mark",
        /// Lines that end in CR LF.
        CrLf = "crlf",
        /// A line break inside quotes.
        QuotedNewline = "quoted_newline",
        /// Empty fields behind the last named column.
        TrailingColumn = "trailing_column",
        /// A line without content.
        BlankLine = "blank_line",
        /// A row that repeats an earlier one in every field.
        DuplicateRow = "duplicate_row",
        /// A row with the key of another and other values, left out by the rule of the import.
        RepeatedKey = "repeated_key",
        /// A column that the mapping leaves out.
        DroppedColumn = "dropped_column",
        /// A control character that the mapping drops in this column.
        DroppedControl = "dropped_control_character",
    }
}

/// One thing that is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// Line, from 1.
    pub line: u64,
    /// Character in the line, from 1.
    pub column: u64,
    /// What kind of problem.
    pub kind: Kind,
    /// What was found and what is expected.
    pub detail: String,
    /// Name of the table column, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Offset of the byte, for encoding problems.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// Something tolerated: where it was first seen and how often.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Note {
    /// What kind.
    pub kind: NoteKind,
    /// Line of the first place, from 1.
    pub line: u64,
    /// Character in that line, from 1.
    pub column: u64,
    /// How often.
    pub count: u64,
}

/// A place in the file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// Bits of a mark that hold the column: a record has at most 32 MiB. Lines take the others.
const COLUMN_BITS: u32 = 26;

impl Place {
    /// A number for the place that rises with it; columns beyond 2^26 are told as that.
    pub(crate) fn mark(self) -> u64 {
        self.line << COLUMN_BITS | self.column.min((1 << COLUMN_BITS) - 1)
    }

    /// The place of a mark.
    pub(crate) fn of_mark(mark: u64) -> Place {
        Place { line: mark >> COLUMN_BITS, column: mark & ((1 << COLUMN_BITS) - 1) }
    }
}

/// Collects problems and notes. Problems beyond the limit are only counted.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) problems: Vec<Problem>,
    pub(crate) notes: Vec<Note>,
    pub(crate) found: u64,
    limit: usize,
}

impl Findings {
    pub(crate) fn new(limit: usize) -> Self {
        Findings { limit, ..Findings::default() }
    }

    pub(crate) fn problem(&mut self, at: Place, kind: Kind, field: Option<&str>, detail: String) {
        self.found += 1;
        if self.problems.len() < self.limit {
            let field = field.map(str::to_owned);
            self.problems.push(Problem {
                line: at.line,
                column: at.column,
                kind,
                detail,
                field,
                offset: None,
            });
        }
    }

    /// A problem that has to be listed, also where the list is full: another one gives way.
    pub(crate) fn foremost(&mut self, problem: Problem) {
        self.found += 1;
        if self.is_full() {
            self.problems.pop();
        }
        self.problems.push(problem);
    }

    /// Notes something; the place is asked for the first time only, as some stand in every line.
    pub(crate) fn note(&mut self, kind: NoteKind, at: impl FnOnce() -> Place) {
        match self.notes.iter_mut().find(|n| n.kind == kind) {
            Some(note) => note.count += 1,
            None => {
                let Place { line, column } = at();
                self.notes.push(Note { kind, line, column, count: 1 });
            }
        }
    }

    /// Takes in what one step of a walk found, which is then empty. Most steps find nothing.
    pub(crate) fn absorb(&mut self, step: &mut Findings) {
        for note in step.notes.drain(..) {
            match self.notes.iter_mut().find(|n| n.kind == note.kind) {
                Some(known) => known.count += note.count,
                None => self.notes.push(note),
            }
        }
        if step.found > 0 {
            self.found += std::mem::take(&mut step.found);
            let room = self.limit.saturating_sub(self.problems.len());
            self.problems.extend(step.problems.drain(..).take(room));
        }
    }

    /// Forgets what a step found.
    pub(crate) fn clear(&mut self) {
        (self.found, self.notes, self.problems) = Default::default();
    }

    /// Takes in what another walk over the same file found, and puts everything in file order.
    pub(crate) fn join(&mut self, mut other: Findings) {
        self.found += other.found;
        self.problems.append(&mut other.problems);
        self.problems.sort_by_key(|p| (p.line, p.column));
        // A bad byte stays, wherever it stands.
        let bad = self.problems.iter().position(|p| p.kind == Kind::Encoding).filter(|n| *n >= self.limit);
        let bad = bad.map(|n| self.problems.remove(n));
        self.problems.truncate(self.limit.saturating_sub(usize::from(bad.is_some())));
        self.problems.extend(bad);
        self.notes.append(&mut other.notes);
        self.notes.sort_by_key(|n| (n.line, n.column, n.kind));
    }

    /// True when reading on would only count.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= self.limit
    }
}

/// A value as it may stand in a message: short, and with invisible characters made visible.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 40;
    let mut out: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        out.push('…');
    }
    format!("\"{out}\"")
}
