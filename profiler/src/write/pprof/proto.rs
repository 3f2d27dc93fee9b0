//! The messages of `profile.proto` (github.com/google/pprof/proto), as far as we fill them. Texts are indexes
//! into `string_table`, whose first is empty; ids count from 1, and 0 is none.

use prost::Message;

/// The whole.
#[derive(Clone, PartialEq, Message)]
pub struct Profile {
    /// What each value of a sample is.
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    /// Stacks.
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    /// Files; the first is the program.
    #[prost(message, repeated, tag = "3")]
    pub mapping: Vec<Mapping>,
    /// Addresses.
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    /// Functions.
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    /// Texts.
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    /// When the recording began, since 1970; 0: not known.
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    /// How long it lasted.
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    /// What the period is counted in.
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    /// Between samples.
    #[prost(int64, tag = "12")]
    pub period: i64,
    /// Sentences.
    #[prost(int64, repeated, tag = "13")]
    pub comment: Vec<i64>,
    /// The name of the values that are shown unless asked for others.
    #[prost(int64, tag = "14")]
    pub default_sample_type: i64,
}

/// What a value is, and its unit.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ValueType {
    /// Name.
    #[prost(int64, tag = "1")]
    pub r#type: i64,
    /// Unit.
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// A stack.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Sample {
    /// Innermost first.
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    /// One for each of the profile's `sample_type`.
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    /// What else is known.
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

/// A key and a text.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Label {
    /// Key.
    #[prost(int64, tag = "1")]
    pub key: i64,
    /// Text.
    #[prost(int64, tag = "2")]
    pub str: i64,
}

/// A file in memory.
#[expect(clippy::struct_excessive_bools, reason = "the format has these fields")]
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Mapping {
    /// Id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// First address.
    #[prost(uint64, tag = "2")]
    pub memory_start: u64,
    /// Address behind the last.
    #[prost(uint64, tag = "3")]
    pub memory_limit: u64,
    /// Where in the file it begins.
    #[prost(uint64, tag = "4")]
    pub file_offset: u64,
    /// Path.
    #[prost(int64, tag = "5")]
    pub filename: i64,
    /// In hexadecimal digits.
    #[prost(int64, tag = "6")]
    pub build_id: i64,
    /// Nobody need look for functions again.
    #[prost(bool, tag = "7")]
    pub has_functions: bool,
    /// Nor for source files.
    #[prost(bool, tag = "8")]
    pub has_filenames: bool,
    /// Nor for lines.
    #[prost(bool, tag = "9")]
    pub has_line_numbers: bool,
    /// Nor for inlined functions.
    #[prost(bool, tag = "10")]
    pub has_inline_frames: bool,
}

/// An address.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Location {
    /// Id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The file.
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    /// In the range of the mapping; 0: not known.
    #[prost(uint64, tag = "3")]
    pub address: u64,
    /// Functions at this address: inlined ones first, innermost first.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

/// A function and a line of it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Line {
    /// The function.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    /// From 1; 0: not known.
    #[prost(int64, tag = "2")]
    pub line: i64,
}

/// A function.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Function {
    /// Id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// As a person reads it.
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// Source file.
    #[prost(int64, tag = "4")]
    pub filename: i64,
}
