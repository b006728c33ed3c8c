//! Origins of pages, as settings list them: each must be written as browsers send it, since the two are compared
//! byte by byte. Knows no request; what an origin is allowed is `cors`'.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// Stands for every origin.
pub const ANY: &str = "*";
/// What browsers send for a page that has no origin, as one from a file.
const NULL: &str = "null";

/// Origins that are allowed: none of them, some, or `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Origins(Vec<String>);

impl Origins {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them; `*` is the only one where it is there.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl TryFrom<Vec<String>> for Origins {
    type Error = String;

    fn try_from(given: Vec<String>) -> Result<Self, String> {
        for origin in &given {
            match origin.as_str() {
                ANY if given.len() > 1 => {
                    return Err("`*` stands for every origin; leave the others out".to_owned());
                }
                ANY | NULL => {}
                origin => check(origin).map_err(|why| refusal(origin, &why))?,
            }
        }
        Ok(Self(given))
    }
}

impl FromStr for Origins {
    type Err = String;

    /// Reads them with commas between, as flags and variables have them. An empty text has none.
    fn from_str(given: &str) -> Result<Self, String> {
        if given.trim().is_empty() {
            return Ok(Self::default());
        }
        let origins = given.split(',').map(|origin| origin.trim().to_owned());
        origins.collect::<Vec<_>>().try_into()
    }
}

/// Says why this is no origin, and what to write if that can be told.
fn refusal(origin: &str, why: &str) -> String {
    let cure = cure(origin).filter(|cure| cure == NULL || check(cure).is_ok());
    let cure = cure.unwrap_or_else(|| "an origin as in https://app.example:8443".to_owned());
    format!("the origin {origin:?}: {why}; write {cure}")
}

/// Why no browser sends this as an origin: `SCHEME://HOST` or `SCHEME://HOST:PORT`.
fn check(origin: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(why.to_owned());
    if origin.is_empty() {
        return wrong("it is empty");
    }
    let Some((scheme, rest)) = origin.split_once("://") else {
        return wrong("its scheme is missing");
    };
    if origin.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return wrong("browsers send it in lower case");
    }
    let is_in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        || !scheme.bytes().all(is_in_scheme)
    {
        return wrong("its scheme is none, such as http or https");
    }
    if scheme == "file" {
        return wrong("pages from files have no origin: browsers send `null` for all of them");
    }
    if rest.contains(['/', '?', '#', '\\']) {
        return wrong("an origin has no path, and no slash at its end");
    }
    if rest.contains('@') {
        return wrong("an origin has no user");
    }
    let (host, port) = host_and_port(rest);
    if let Some(port) = port {
        check_port(scheme, port)?;
    }
    check_host(host)
}

/// Splits `HOST:PORT`; an IPv6 address has colons of its own.
fn host_and_port(rest: &str) -> (&str, Option<&str>) {
    let after_host = rest.rfind(']').map_or(0, |end| end + 1);
    match rest[after_host..].split_once(':') {
        _ if rest.starts_with('[') && after_host == 0 => (rest, None),
        Some((between, port)) => (&rest[..after_host + between.len()], Some(port)),
        None => (rest, None),
    }
}

fn check_port(scheme: &str, port: &str) -> Result<(), String> {
    let number = port.parse::<u16>().ok().filter(|number| *number > 0);
    // A number may also be read from `080` or `+80`, which no browser sends.
    let Some(number) = number.filter(|number| number.to_string() == port) else {
        return Err("its port is no number from 1 to 65535".to_owned());
    };
    if default_port(scheme) == Some(number) {
        return Err(format!("browsers leave {number} out, the usual port of {scheme}"));
    }
    Ok(())
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(why.to_owned());
    if host.is_empty() {
        return wrong("its host is missing");
    }
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|address| address.parse().ok());
        return match address {
            Some(address) if host == ipv6(address) => Ok(()),
            Some(address) => Err(format!("browsers send the address as {}", ipv6(address))),
            None => wrong("its host is no IPv6 address"),
        };
    }
    if host.contains('*') {
        return wrong("there are no patterns; list each origin, or `*` alone for all of them");
    }
    if !host.is_ascii() {
        return wrong("browsers send such a name in its ASCII form, which begins with `xn--`");
    }
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return wrong("its host has other characters than letters, digits, `-`, `.` and `_`");
    }
    let labels = host.strip_suffix('.').unwrap_or(host);
    if labels.split('.').any(str::is_empty) {
        return wrong("a part of its host's name is empty");
    }
    // Browsers take a host whose last label is a number for an IPv4 address.
    let last = labels.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if is_number && host.parse::<Ipv4Addr>().is_err() {
        return wrong("browsers send an IPv4 address as four numbers, as in 127.0.0.1");
    }
    Ok(())
}

/// An IPv6 address as browsers write it: never with an IPv4 address at its end.
fn ipv6(address: Ipv6Addr) -> String {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => format!("[::ffff:{high:x}:{low:x}]"),
        _ => format!("[{address}]"),
    }
}

/// What was probably meant.
fn cure(origin: &str) -> Option<String> {
    let origin = origin.trim().to_ascii_lowercase();
    let (scheme, rest) = match origin.split_once("://") {
        Some(("file", _)) => return Some(NULL.to_owned()),
        Some((scheme, rest)) => (scheme, rest),
        None => (scheme_for(&origin), origin.as_str()),
    };
    let rest = rest.split(['/', '?', '#', '\\']).next()?;
    let rest = rest.rsplit('@').next()?;
    let (host, port) = host_and_port(rest);
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')?.parse().ok());
    let host = address.map_or_else(|| host.to_owned(), ipv6);
    let port = port.and_then(|port| port.parse::<u16>().ok());
    let port = port.filter(|port| default_port(scheme) != Some(*port));
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    Some(format!("{scheme}://{host}{port}"))
}

/// The scheme of a page whose host alone is known: pages of this machine mostly come without TLS.
fn scheme_for(origin: &str) -> &'static str {
    let local = ["localhost", "127.", "[::1]"];
    if local.iter().any(|local| origin.starts_with(local)) { "http" } else { "https" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_taken_as_browsers_send_them() {
        for origin in [
            "https://app.example",
            "http://localhost:5173",
            "http://127.0.0.1:8080",
            "http://[::1]:3000",
            "http://[::ffff:7f00:1]",
            "https://example.com.",
            "https://xn--bcher-kva.example",
            "https://a_b.example:65535",
            "http://a.example:443",
            "https://a.example:80",
            "chrome-extension://gighmmpiobklfepjocnamgkkbiglidom",
            "capacitor://localhost",
            "https://3d.example1",
            "null",
        ] {
            let origins: Origins = origin.parse().unwrap();
            assert_eq!(origins.iter().collect::<Vec<_>>(), [origin]);
        }
    }

    #[test]
    fn a_list_has_commas_between_and_an_empty_one_has_none() {
        let list: Origins = "https://a.example, null,http://b".parse().unwrap();
        assert_eq!(list.iter().collect::<Vec<_>>(), ["https://a.example", "null", "http://b"]);
        assert!("".parse::<Origins>().unwrap().is_empty());
        assert!(!"*".parse::<Origins>().unwrap().is_empty());
    }

    #[test]
    fn every_origin_is_listed_alone() {
        for list in ["*,https://a.example", "https://a.example,*", "*,*"] {
            let error = list.parse::<Origins>().unwrap_err();
            assert!(error.contains("leave the others out"), "{error}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_what_to_write() {
        for (given, why, cure) in [
            ("https://a.example/", "no slash at its end", "https://a.example"),
            ("https://a.example/app?x", "no path", "https://a.example"),
            ("https://A.example", "lower case", "https://a.example"),
            ("HTTPS://a.example", "lower case", "https://a.example"),
            ("https://a.example:443", "leave 443 out", "https://a.example"),
            ("http://a.example:80", "leave 80 out", "http://a.example"),
            ("http://A.example:80/x", "lower case", "http://a.example"),
            ("a.example", "scheme is missing", "https://a.example"),
            ("localhost:5173", "scheme is missing", "http://localhost:5173"),
            ("//a.example", "scheme is missing", "an origin as in"),
            ("1://a.example", "scheme is none", "an origin as in"),
            ("file:///home/me/page.html", "send `null`", "null"),
            ("https://me@a.example", "no user", "https://a.example"),
            ("https://", "host is missing", "an origin as in"),
            ("https://:8443", "host is missing", "an origin as in"),
            ("https://*.a.example", "no patterns", "an origin as in"),
            ("https://a.*", "no patterns", "an origin as in"),
            ("https://bücher.example", "xn--", "an origin as in"),
            ("https://a b", "other characters", "an origin as in"),
            ("https://a..b", "is empty", "an origin as in"),
            ("https://.a.example", "is empty", "an origin as in"),
            ("http://127.1", "four numbers", "an origin as in"),
            ("http://127.0.0.01", "four numbers", "an origin as in"),
            ("http://a.0x1", "four numbers", "an origin as in"),
            ("http://[::1", "no IPv6 address", "an origin as in"),
            ("http://[0::1]:5173", "as [::1]", "http://[::1]:5173"),
            ("http://[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "http://[::ffff:7f00:1]"),
            ("http://[::1]x", "no IPv6 address", "an origin as in"),
            ("https://a.example:", "port is no number", "https://a.example"),
            ("https://a.example:08443", "port is no number", "https://a.example:8443"),
            ("https://a.example:0", "port is no number", "an origin as in"),
            ("https://a.example:70000", "port is no number", "https://a.example"),
            ("https://a.example:1:2", "port is no number", "https://a.example"),
        ] {
            let error = Origins::try_from(vec![given.to_owned()]).unwrap_err();
            let (told, write) = error.rsplit_once("; write ").unwrap();
            assert!(told.contains(why) && told.contains(&format!("{given:?}")), "{error}");
            assert!(write.starts_with(cure), "{cure} in {error}");
        }
        let error = "https://a.example,,null".parse::<Origins>().unwrap_err();
        assert!(error.contains("it is empty"), "{error}");
    }
}
