//! A strict reader of the text form of metrics: what any scraper may rely on is checked, and anything
//! else fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::client::Client;
use crate::larder::TOKEN;

/// How often a page is looked at that is waited for, and when that ends.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// Labels by name.
type Labels = BTreeMap<String, String>;

/// One page of metrics.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Families by name, with their kind.
    pub families: BTreeMap<String, String>,
    /// Values by series: the sample's name and its labels.
    pub series: BTreeMap<(String, Labels), f64>,
}

impl Metrics {
    /// Reads the page of a server, with the admin token.
    ///
    /// # Panics
    /// When there is none, or it is not well formed.
    pub async fn of(client: &Client) -> Self {
        let authorization = format!("Bearer {TOKEN}");
        let headers = [("authorization", authorization.as_str())];
        let reply = client.send("GET", "/metrics", &headers, "").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let content_type = reply.header("content-type");
        assert_eq!(content_type, Some("text/plain; version=0.0.4; charset=utf-8"));
        Self::parse(std::str::from_utf8(&reply.body).expect("UTF-8"))
    }

    /// Reads the page again and again until it says so.
    ///
    /// # Panics
    /// When it never does.
    pub async fn until(client: &Client, said: impl Fn(&Self) -> bool) -> Self {
        let seen = async {
            loop {
                let metrics = Self::of(client).await;
                if said(&metrics) {
                    return metrics;
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("the metrics never said so")
    }

    /// Takes a page apart.
    ///
    /// # Panics
    /// When it is not well formed.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut metrics = Self::default();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (family, help) = comment(line, "HELP");
            assert!(!help.is_empty(), "no help: {line}");
            let (named, kind) = comment(lines.next().unwrap_or_default(), "TYPE");
            assert_eq!(named, family, "a family's type follows its help");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}: {kind}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{family} is a {kind}");
            let known = metrics.families.insert(family.to_owned(), kind.to_owned());
            assert!(known.is_none(), "{family} comes twice");
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                metrics.sample(line, family, kind);
            }
            if kind == "histogram" {
                metrics.check_histogram(family);
            }
        }
        metrics
    }

    fn sample(&mut self, line: &str, family: &str, kind: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value.is_finite() && value >= 0.0, "{line}");
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, labels(rest, line)),
            None => (series, Labels::new()),
        };
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} in {family}"));
        let suffixes: &[&str] =
            if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(suffixes.contains(&suffix), "{line} in the {kind} {family}");
        assert_eq!(labels.contains_key("le"), suffix == "_bucket", "{line}");
        let known = self.series.insert((name.to_owned(), labels), value);
        assert!(known.is_none(), "a series comes twice: {line}");
    }

    /// Buckets count from below and end at +Inf with the count of all.
    fn check_histogram(&self, family: &str) {
        let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.series {
            if *name == format!("{family}_bucket") {
                let mut labels = labels.clone();
                let bound = labels.remove("le").expect("a bound");
                let bound = bound.parse().expect("a bound is a number");
                buckets.entry(labels).or_default().push((bound, *value));
            }
        }
        for (labels, mut buckets) in buckets {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{family}: {buckets:?}");
            let count = self.series.get(&(format!("{family}_count"), labels.clone()));
            assert_eq!(buckets.last(), count.map(|count| (f64::INFINITY, *count)).as_ref());
            assert!(self.series.contains_key(&(format!("{family}_sum"), labels)));
        }
    }

    /// The sum of all series of this name that have these labels, whatever others they have.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |found: &Labels| {
            let has = |(name, value): &(&str, &str)| found.get(*name).is_some_and(|v| v == value);
            labels.iter().all(has)
        };
        let found = self.series.iter().filter(|((found, labels), _)| found == name && fits(labels));
        found.map(|(_, value)| value).sum()
    }

    /// The names and labels of all series.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&(String, Labels)> {
        self.series.keys().collect()
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The two parts of `# KEYWORD first rest`.
fn comment<'a>(line: &'a str, keyword: &str) -> (&'a str, &'a str) {
    let rest =
        line.strip_prefix("# ").and_then(|rest| rest.strip_prefix(keyword)?.strip_prefix(' '));
    let parts = rest.and_then(|rest| rest.split_once(' '));
    let (name, rest) = parts.unwrap_or_else(|| panic!("no {keyword}: {line:?}"));
    assert!(is_name(name), "{line}");
    (name, rest)
}

/// What stands between the braces, the first of which is gone already.
fn labels(rest: &str, line: &str) -> Labels {
    let mut labels = Labels::new();
    let mut rest = rest;
    loop {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        assert!(is_name(name), "{line}");
        let mut value = String::new();
        let mut characters = after.chars();
        loop {
            match characters.next() {
                Some('"') => break,
                Some('\\') => value.push(match characters.next() {
                    Some('n') => '\n',
                    Some(escaped @ ('\\' | '"')) => escaped,
                    other => panic!("escape {other:?}: {line}"),
                }),
                Some(other) => value.push(other),
                None => panic!("no end: {line}"),
            }
        }
        assert!(labels.insert(name.to_owned(), value).is_none(), "a label comes twice: {line}");
        rest = characters.as_str();
        if rest == "}" {
            return labels;
        }
        rest = rest.strip_prefix(',').unwrap_or_else(|| panic!("after a label: {line}"));
    }
}
