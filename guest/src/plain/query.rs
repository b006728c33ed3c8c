//! Queries: fields by name, as forms encode them. Knows no field's name.

use alloc::borrow::Cow;
use alloc::format;

use super::path::text;
use super::percent;
use crate::error::Error;

/// The fields of these names; all others are ignored. One that is there twice is an error, as in a body.
pub fn fields<'a, const N: usize>(
    query: Option<&'a str>,
    names: [&'static str; N],
) -> Result<[Option<Cow<'a, str>>; N], Error> {
    let mut found = [const { None }; N];
    for field in query.unwrap_or_default().split('&') {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let (name, value) = (percent::decode_of_query(name)?, percent::decode_of_query(value)?);
        let Some(at) = names.iter().position(|known| known.as_bytes() == &*name) else {
            continue;
        };
        if found[at].replace(text(names[at], value)?).is_some() {
            return Err(twice(names[at]));
        }
    }
    Ok(found)
}

/// The error of a field that is given more than once.
pub fn twice(name: &'static str) -> Error {
    Error::invalid_data(name, "The field is there twice.")
}

/// A whole number from `least` to `most` in decimal digits.
pub fn number(name: &'static str, text: &str, least: u64, most: u64) -> Result<u64, Error> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_decimal);
    number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        Error::invalid_data(name, format!("Expected a whole number from {least} to {most}."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(query: &str) -> Result<Option<Cow<'_, str>>, Error> {
        let [found, _] = fields(Some(query), ["a", "b c"])?;
        Ok(found)
    }

    #[test]
    fn fields_are_found_by_their_decoded_names() {
        for (query, found) in [
            ("", None),
            ("&&=&x", None),
            ("A=1", None),
            ("a", Some("")),
            ("a=", Some("")),
            ("a=1", Some("1")),
            ("x=%FF&a=1&y=2", Some("1")),
            ("%61=b+c%2B%26%3D", Some("b c+&=")),
            ("a=1=2", Some("1=2")),
            ("a=?/", Some("?/")),
            ("a=%C3%A9", Some("\u{e9}")),
        ] {
            assert_eq!(one(query).expect("valid").as_deref(), found, "{query}");
        }
        let both = fields(Some("b+c=2&a=1"), ["a", "b c"]).expect("valid");
        assert_eq!(both.map(|field| field.expect("both")), ["1", "2"]);
        assert_eq!(fields(None, ["a"]).expect("valid"), [None]);
    }

    #[test]
    fn wrong_fields_are_told_from_escapes_that_are_none() {
        for (query, status, location) in [
            ("a=1&a=1", 422, Some("a")),
            ("a&%61", 422, Some("a")),
            ("a=%FF", 422, Some("a")),
            ("a=%", 400, None),
            ("x=%2", 400, None),
            ("%zz=1", 400, None),
        ] {
            let error = one(query).expect_err(query);
            assert_eq!((error.status, error.location.as_deref()), (status, location), "{query}");
        }
    }

    #[test]
    fn numbers_are_decimal_digits_within_their_bounds() {
        assert_eq!(number("n", "1", 1, 1000), Ok(1));
        assert_eq!(number("n", "0001000", 1, 1000), Ok(1000));
        assert_eq!(number("n", "18446744073709551615", 1, u64::MAX), Ok(u64::MAX));
        for text in
            ["", "0", "1001", "-1", "+1", " 1", "1 ", "1.0", "1e2", "0x1", "\u{661}", "1, 1"]
        {
            let error = number("n", text, 1, 1000).expect_err(text);
            assert_eq!((error.status, error.location.as_deref()), (422, Some("n")), "{text}");
        }
        assert!(number("n", "18446744073709551616", 1, u64::MAX).is_err());
    }
}
