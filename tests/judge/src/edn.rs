//! Reads as much of EDN as histories need: maps, keywords, strings, whole numbers, booleans and nil.

use std::collections::BTreeMap;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edn {
    /// `nil`
    Nil,
    /// `true` or `false`
    Bool(bool),
    /// `7`
    Number(i64),
    /// `"text"`
    Text(String),
    /// `:word`, without its colon
    Keyword(String),
    /// `{:word value}`
    Map(BTreeMap<String, Edn>),
}

impl Edn {
    /// Reads one value, and nothing behind it.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut rest = text;
        let value = value(&mut rest)?;
        if skip(&mut rest).is_empty() { Ok(value) } else { Err(format!("{rest:?} is left over")) }
    }

    /// What a map has under a keyword; nil when it has nothing, or is none.
    pub fn get(&self, keyword: &str) -> &Edn {
        match self {
            Edn::Map(map) => map.get(keyword).unwrap_or(&Edn::Nil),
            _ => &Edn::Nil,
        }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<i64> {
        if let Edn::Number(number) = self { Some(*number) } else { None }
    }

    /// The text or the keyword, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Edn::Text(text) | Edn::Keyword(text) = self { Some(text) } else { None }
    }
}

/// Commas are white space.
fn skip<'a>(rest: &mut &'a str) -> &'a str {
    *rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    rest
}

fn value(rest: &mut &str) -> Result<Edn, String> {
    if let Some(after) = skip(rest).strip_prefix('{') {
        *rest = after;
        let mut map = BTreeMap::new();
        loop {
            if let Some(after) = skip(rest).strip_prefix('}') {
                *rest = after;
                return Ok(Edn::Map(map));
            }
            let Edn::Keyword(key) = value(rest)? else {
                return Err("a key is no keyword".to_owned());
            };
            map.insert(key, value(rest)?);
        }
    }
    if let Some(after) = rest.strip_prefix('"') {
        let end = after.find(['"', '\\']).ok_or("a text has no end")?;
        let (text, after) = after.split_at(end);
        *rest = after.strip_prefix('"').ok_or("escapes are not known")?;
        return Ok(Edn::Text(text.to_owned()));
    }
    let end = rest.find(|c: char| c.is_whitespace() || ",{}\"".contains(c)).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    match word {
        "nil" => Ok(Edn::Nil),
        "true" | "false" => Ok(Edn::Bool(word == "true")),
        _ => match word.strip_prefix(':') {
            Some(word) => Ok(Edn::Keyword(word.to_owned())),
            None => word.parse().map(Edn::Number).map_err(|_| format!("{word:?} is not known")),
        },
    }
}
