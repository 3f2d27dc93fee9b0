//! The texts of a profile, each once.

use std::collections::HashMap;

use super::proto::ValueType;

/// They and their indexes.
pub struct Strings {
    /// In the order of their indexes; the first is empty.
    pub all: Vec<String>,
    indexes: HashMap<String, i64>,
}

impl Default for Strings {
    fn default() -> Self {
        let mut strings = Self {
            all: Vec::new(),
            indexes: HashMap::new(),
        };
        strings.index("");
        strings
    }
}

impl Strings {
    /// Of this text.
    pub fn index(&mut self, text: &str) -> i64 {
        if let Some(&index) = self.indexes.get(text) {
            return index;
        }
        let index = self.all.len() as i64;
        self.all.push(text.to_owned());
        self.indexes.insert(text.to_owned(), index);
        index
    }

    /// A value's name and unit.
    pub fn value_type(&mut self, kind: &str, unit: &str) -> ValueType {
        ValueType {
            r#type: self.index(kind),
            unit: self.index(unit),
        }
    }
}
