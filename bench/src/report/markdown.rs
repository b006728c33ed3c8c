//! Tables in Markdown, and the marked regions of a page that hold them. What stands outside the
//! marks is people's and stays as it is.

use std::fmt::Write;

use super::results::{Finding, Measurement, Results, number};
use crate::failure::Failure;
use crate::load::Work;
use crate::load::latency::Figure;
use crate::peers::PeersResults;
use crate::system::Machine;

/// Experiments whose figures are latencies at a rate, not rates.
const OPEN: [&str; 2] = ["open-set", "open-get"];

/// How the names of findings begin that have a region of their own.
const COMMITS: &str = "commits of";

/// The regions that a run fills: their names and their texts.
pub fn regions(run: &Results) -> [(&'static str, String); 5] {
    let is_open = |measurement: &&Measurement| OPEN.contains(&measurement.experiment.as_str());
    let is_commit = |finding: &&Finding| finding.name.starts_with(COMMITS);
    let (commits, ratios): (Vec<_>, Vec<_>) = run.findings.iter().partition(is_commit);
    let (open, closed): (Vec<_>, Vec<_>) = run.measurements.iter().partition(is_open);
    [
        ("machine", machine(&run.machine, &run.form)),
        ("ratios", findings(&ratios)),
        ("commits", findings(&commits)),
        ("rates", measurements(&closed)),
        ("latencies", measurements(&open)),
    ]
}

/// The region of a comparison with other servers.
pub fn peers(peers: &PeersResults) -> String {
    let all: Vec<&Measurement> = peers.measurements.iter().collect();
    let mut text = measurements(&all);
    text.push('\n');
    for difference in &peers.differences {
        let _ = writeln!(text, "- {difference}");
    }
    let Machine { cpu, cores, commit, date, .. } = &peers.machine;
    let _ = writeln!(text, "\n{cpu}, {cores} cores; commit `{commit}`, {date}.");
    text
}

/// Puts a text between the marks of a region.
pub fn replace(page: &str, region: &str, text: &str) -> Result<String, Failure> {
    let (begin, end) = (format!("<!-- begin: {region} -->"), format!("<!-- end: {region} -->"));
    let missing = |mark: &str| format!("the page has no {mark}");
    let (before, rest) = page.split_once(&begin).ok_or_else(|| missing(&begin))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| missing(&end))?;
    Ok(format!("{before}{begin}\n{}\n{end}{after}", text.trim_end()))
}

fn machine(machine: &Machine, form: &str) -> String {
    let Machine { cpu, cores, memory_mib, kernel, commit, date, command } = machine;
    format!(
        "{cpu}, {cores} cores, {} MiB of memory, Linux {kernel}; commit `{commit}`, {date}; `{command}`, the {form} form.",
        number(*memory_mib as f64)
    )
}

fn findings(findings: &[&Finding]) -> String {
    let mut text =
        "| what | median | least to most | goal | |\n| --- | --: | --: | --- | --- |\n".to_owned();
    for finding in findings {
        let Finding { name, unit, spread, goal } = finding;
        let verdict = match finding.is_met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        let goal = goal.map_or(String::new(), |goal| goal.words(unit));
        let (median, least, most) =
            (number(spread.median), number(spread.least), number(spread.most));
        let _ =
            writeln!(text, "| {name} | {median}{unit} | {least} to {most} | {goal} | {verdict} |");
    }
    text
}

fn measurements(all: &[&Measurement]) -> String {
    let mut text = "| work | connections | side | median/s | least to most | p50 µs | p99 µs | p99.9 µs | CPU µs | RSS MiB |\n| --- | --: | --- | --: | --: | --: | --: | --: | --: | --: |\n".to_owned();
    for measurement in all {
        let rate = measurement.spread(|figure| figure.requests_per_s);
        let median = |of: fn(&Figure) -> f64| number(measurement.spread(of).median);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} to {} | {} | {} | {} | {} | {} |",
            work(measurement),
            measurement.connections,
            side(measurement),
            number(rate.median),
            number(rate.least),
            number(rate.most),
            median(|figure| figure.p50_us),
            median(|figure| figure.p99_us),
            median(|figure| figure.p999_us),
            median(|figure| figure.cpu_us_per_request),
            median(|figure| figure.rss_kib as f64 / 1024.0),
        );
    }
    text
}

/// What was asked: the work, the value's size, and what is not as it mostly is.
fn work(measurement: &Measurement) -> String {
    let work = match measurement.work {
        Work::Get => "get",
        Work::Set => "set",
        Work::Half => "get and set",
        Work::Cas => "get, set if unchanged",
        Work::List => "page of 100",
        Work::Batch => "batch of 100 sets",
        Work::Add => "add",
        Work::Plain => "get, plain face",
    };
    let mut text = match measurement.value_bytes {
        bytes if bytes >= 1 << 20 => format!("{work}, {} MiB", bytes >> 20),
        bytes if bytes >= 1 << 10 => format!("{work}, {} KiB", bytes >> 10),
        bytes => format!("{work}, {bytes} B"),
    };
    if measurement.encoding == "json" {
        text.push_str(", JSON");
    }
    if measurement.protocol == "http2" {
        text.push_str(", HTTP/2");
    }
    if ["keys", "list"].contains(&measurement.experiment.as_str()) {
        let _ = write!(text, ", {} keys", number(measurement.keys.into()));
    }
    let conflicts = measurement.spread(|figure| figure.conflicts_per_s).median;
    if conflicts > 0.0 {
        let _ = write!(text, " ({} conflicts/s)", number(conflicts));
    }
    text
}

fn side(measurement: &Measurement) -> String {
    let behind = if measurement.rounds.iter().any(|figure| figure.behind) {
        " (behind what was due)"
    } else {
        ""
    };
    match measurement.note.as_str() {
        "" => format!("{}{behind}", measurement.side),
        note => format!("{}, {note}{behind}", measurement.side),
    }
}

#[cfg(test)]
mod tests {
    use super::super::results::{Goal, Spread};
    use super::*;

    const PAGE: &str = "one\n<!-- begin: a -->\nold\n<!-- end: a -->\ntwo\n<!-- begin: b --><!-- end: b -->\nthree\n";

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let page = replace(PAGE, "a", "new\n").expect("marks");
        assert_eq!(page, PAGE.replace("old", "new"));
        let page = replace(PAGE, "b", "filled").expect("marks");
        let expected = "<!-- begin: b -->\nfilled\n<!-- end: b -->\nthree\n";
        assert!(page.starts_with("one\n<!-- begin: a -->\nold\n") && page.ends_with(expected));
        assert_eq!(replace(&page, "b", "filled").expect("marks"), page);
    }

    #[test]
    fn a_missing_mark_is_told() {
        let error = replace(PAGE, "c", "new").expect_err("no marks");
        assert!(error.to_string().contains("<!-- begin: c -->"));
    }

    #[test]
    fn findings_are_rows_with_their_goals() {
        let spread = Spread { least: 0.9, median: 0.95, most: 1.0 };
        let finding = Finding::ratio("a : b", spread, Some(Goal::AtLeast(0.93)));
        let rows = findings(&[&finding, &Finding::ratio("c : d", spread, None)]);
        assert!(rows.contains("| a : b | 0.95 | 0.90 to 1 | at least 0.93 | met |"), "{rows}");
        assert!(rows.ends_with("| c : d | 0.95 | 0.90 to 1 |  |  |\n"), "{rows}");
    }
}
