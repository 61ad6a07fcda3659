//! JSON read slowly and strictly: members in their order, numbers as they are written, no name twice.
//!
//! It shares nothing with the code under test but the grammar, and asks serde_json for the text of strings alone. It
//! refuses to be fast, and to go on after the first fault.

use std::ops::Range;

/// A JSON value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, digit by digit.
    Number(String),
    /// A string, its escapes decoded.
    Text(String),
    /// An array.
    List(Vec<Tree>),
    /// An object, in its order.
    Object(Vec<(String, Tree)>),
}

#[allow(dead_code, reason = "each of those who share this uses its part")]
impl Tree {
    /// The member of an object, or of an object in it: names with dots between.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |tree, name| tree.get(name))
    }

    /// The member of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// What a string says.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// How a number is written.
    pub(crate) fn number(&self) -> Option<&str> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }
}

/// Reads one value that is the whole text.
#[allow(dead_code, reason = "each of those who share this uses its part")]
pub(crate) fn read(text: &str) -> Result<Tree, String> {
    let mut reader = Reader { text: text.as_bytes(), at: 0 };
    let tree = reader.value()?;
    reader.blanks();
    if reader.at < text.len() { Err(reader.fault("the end")) } else { Ok(tree) }
}

/// Where a member stands: its key with the quotes, and its value.
pub(crate) type Place = (Range<usize>, Range<usize>);

/// Where the members of the object that is the whole text stand.
#[allow(dead_code, reason = "each of those who share this uses its part")]
pub(crate) fn members(text: &[u8]) -> Result<Vec<Place>, String> {
    let mut reader = Reader { text, at: 0 };
    let mut members = Vec::new();
    reader.blanks();
    reader.items(b'{', b'}', |reader| {
        let key = reader.range(Reader::string)?;
        reader.expect(b':')?;
        reader.blanks();
        members.push((key, reader.range(Reader::skip)?));
        Ok(())
    })?;
    reader.blanks();
    if reader.at < text.len() { Err(reader.fault("the end")) } else { Ok(members) }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn fault(&self, wanted: &str) -> String {
        format!("byte {}: wanted {wanted}, got {:?}", self.at, self.peek().map(char::from))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        self.blanks();
        if self.peek() != Some(byte) {
            return Err(self.fault(&format!("{:?}", char::from(byte))));
        }
        self.at += 1;
        Ok(())
    }

    fn range(&mut self, read: impl FnOnce(&mut Self) -> Result<(), String>) -> Result<Range<usize>, String> {
        let start = self.at;
        read(self)?;
        Ok(start..self.at)
    }

    fn slice(&mut self, read: impl FnOnce(&mut Self) -> Result<(), String>) -> Result<String, String> {
        let range = self.range(read)?;
        String::from_utf8(self.text[range].to_vec()).map_err(|error| error.to_string())
    }

    /// What stands between brackets, with commas between.
    fn items(&mut self, open: u8, close: u8, mut item: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.expect(open)?;
        self.blanks();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blanks();
            item(self)?;
            self.blanks();
            if self.peek() != Some(b',') {
                return self.expect(close);
            }
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Tree, String> {
        self.blanks();
        match self.peek() {
            Some(b'{') => {
                let mut members: Vec<(String, Tree)> = Vec::new();
                self.items(b'{', b'}', |reader| {
                    let name = reader.decoded()?;
                    reader.expect(b':')?;
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(format!("the name {name:?} stands there twice"));
                    }
                    members.push((name, reader.value()?));
                    Ok(())
                })?;
                Ok(Tree::Object(members))
            }
            Some(b'[') => {
                let mut items = Vec::new();
                self.items(b'[', b']', |reader| {
                    items.push(reader.value()?);
                    Ok(())
                })?;
                Ok(Tree::List(items))
            }
            Some(b'"') => Ok(Tree::Text(self.decoded()?)),
            Some(b't') => self.word("true").map(|()| Tree::Bool(true)),
            Some(b'f') => self.word("false").map(|()| Tree::Bool(false)),
            Some(b'n') => self.word("null").map(|()| Tree::Null),
            _ => Ok(Tree::Number(self.slice(Self::number)?)),
        }
    }

    fn decoded(&mut self) -> Result<String, String> {
        let text = self.slice(Self::string)?;
        serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"))
    }

    /// Passes over a value; a loop, so that no depth is too deep.
    fn skip(&mut self) -> Result<(), String> {
        let mut depth = 0;
        loop {
            self.blanks();
            match self.peek() {
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b'"') => self.string()?,
                Some(b',' | b':') if depth > 0 => self.at += 1,
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                _ => self.number()?,
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return Err(self.fault(word));
        }
        self.at += word.len();
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        self.expect(b'"')?;
        loop {
            match self.peek() {
                None | Some(0..0x20) => return Err(self.fault("the rest of a string")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
    }

    fn digits(&mut self) -> Result<(), String> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.fault("a digit"));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }
}
