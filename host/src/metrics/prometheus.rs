//! The text form in which Prometheus reads metrics, version 0.0.4. Owns the lines around
//! values, their escapes, and the order of a histogram's series; knows no metric.

use std::fmt::{Display, Write};

use super::counts::Distribution;

/// What the text is, for the answer's header.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They only rise, until the process ends.
    Counter,
    /// They rise and fall.
    Gauge,
    /// They are counted by size.
    Histogram,
}

/// The text form of metrics, written family by family.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins the family `name`; its values must follow before the next family begins.
    pub fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> Family<'_> {
        let r#type = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {}", Escaped { text: help, quotes: false }));
        self.line(format_args!("# TYPE {name} {type}"));
        Family { out: self, name }
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: &'static str, help: &str, value: u64) {
        self.family(Kind::Counter, name, help).value(&[], value);
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(Kind::Gauge, name, help).value(&[], value);
    }

    /// All of the text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
    }
}

/// A family whose values are being written.
#[derive(Debug)]
pub struct Family<'a> {
    out: &'a mut Exposition,
    name: &'static str,
}

impl Family<'_> {
    /// One value.
    pub fn value(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.sample("", labels, None, value);
    }

    /// All series of a histogram.
    pub fn distribution(&mut self, labels: &[(&str, &str)], found: &Distribution) {
        for (bound, count) in found.buckets() {
            self.sample("_bucket", labels, Some(&bound.to_string()), count);
        }
        self.sample("_bucket", labels, Some("+Inf"), found.count());
        self.sample("_sum", labels, None, found.sum());
        self.sample("_count", labels, None, found.count());
    }

    fn sample(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        bound: Option<&str>,
        value: impl Display,
    ) {
        let Self { out, name } = self;
        out.text.push_str(name);
        out.text.push_str(suffix);
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut before = '{';
        for (label, value) in labels {
            let value = Escaped { text: value, quotes: true };
            let _ = write!(out.text, "{before}{label}=\"{value}\"");
            before = ',';
        }
        if before == ',' {
            out.text.push('}');
        }
        out.line(format_args!(" {value}"));
    }
}

/// Text with what would end it written otherwise.
struct Escaped<'a> {
    text: &'a str,
    quotes: bool,
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.text.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.quotes => f.write_str("\\\"")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::counts::{Bounds, Histogram};
    use super::*;

    #[test]
    fn families_are_written_as_the_format_says() {
        let mut out = Exposition::default();
        out.counter("a_total", "How many.", 3);
        let mut family = out.family(Kind::Gauge, "b_seconds", "How long.");
        family.value(&[("x", "1"), ("y", "2")], 0.25);
        family.value(&[("x", "2")], 1_f64);
        let wanted = "# HELP a_total How many.\n# TYPE a_total counter\na_total 3\n\
            # HELP b_seconds How long.\n# TYPE b_seconds gauge\n\
            b_seconds{x=\"1\",y=\"2\"} 0.25\nb_seconds{x=\"2\"} 1\n";
        assert_eq!(out.into_text(), wanted);
    }

    #[test]
    fn a_histogram_is_its_buckets_from_below_then_sum_and_count() {
        static BOUNDS: Bounds = Bounds { values: &[1000, 2000], per_unit: 1e3 };
        let histogram = Histogram::new(&BOUNDS);
        for value in [500, 1500, 1500, 9000] {
            histogram.observe(value);
        }
        let mut out = Exposition::default();
        let mut family = out.family(Kind::Histogram, "h", "Help.");
        family.distribution(&[("g", "x")], &Distribution::from(&histogram));
        let wanted = "# HELP h Help.\n# TYPE h histogram\n\
            h_bucket{g=\"x\",le=\"1\"} 1\nh_bucket{g=\"x\",le=\"2\"} 3\n\
            h_bucket{g=\"x\",le=\"+Inf\"} 4\nh_sum{g=\"x\"} 12.5\nh_count{g=\"x\"} 4\n";
        assert_eq!(out.into_text(), wanted);
    }

    #[test]
    fn what_would_end_a_line_or_a_label_is_escaped() {
        let mut out = Exposition::default();
        out.family(Kind::Gauge, "g", "a\\b\n\"c\"").value(&[("x", "a\\b\n\"c\"")], 1);
        let wanted = "# HELP g a\\\\b\\n\"c\"\n# TYPE g gauge\ng{x=\"a\\\\b\\n\\\"c\\\"\"} 1\n";
        assert_eq!(out.into_text(), wanted);
    }
}
