//! Tables for a terminal. Knows no Markdown and no plot.

use super::results::{Finding, Measurement, number};

/// Prints a heading and the columns' names.
pub fn heading(title: &str) {
    println!("\n{title}");
    println!(
        "  {:<22} {:>9} {:>19} {:>9} {:>9} {:>9} {:>7} {:>7} {:>8}",
        "",
        "median/s",
        "least to most",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "CPU µs",
        "client",
        "RSS MiB"
    );
}

/// Prints one measurement.
pub fn measurement(measurement: &Measurement) {
    let rate = measurement.spread(|figure| figure.requests_per_s);
    let median =
        |of: fn(&crate::load::latency::Figure) -> f64| number(measurement.spread(of).median);
    let name = match measurement.note.as_str() {
        "" => measurement.side.clone(),
        note => format!("{}, {note}", measurement.side),
    };
    println!(
        "  {name:<22} {:>9} {:>19} {:>9} {:>9} {:>9} {:>7} {:>7} {:>8}",
        number(rate.median),
        format!("{} to {}", number(rate.least), number(rate.most)),
        median(|figure| figure.p50_us),
        median(|figure| figure.p99_us),
        median(|figure| figure.p999_us),
        median(|figure| figure.cpu_us_per_request),
        median(|figure| figure.client_core),
        median(|figure| figure.rss_kib as f64 / 1024.0),
    );
    let conflicts = measurement.spread(|figure| figure.conflicts_per_s).median;
    if conflicts > 0.0 {
        println!("  {:<22} {:>9} conflicts/s", "", number(conflicts));
    }
    let behind = measurement.rounds.iter().filter(|figure| figure.behind).count();
    if behind > 0 {
        println!("  {:<22} BEHIND what was due, in {behind} rounds: do not trust it", "");
    }
}

/// Prints one finding.
pub fn finding(finding: &Finding) {
    println!("  {}", line(finding));
}

/// Prints the findings that have a goal, and how they stand to it.
pub fn goals(findings: &[Finding]) {
    println!("\nGoals");
    for finding in findings {
        let (Some(goal), Some(met)) = (finding.goal, finding.is_met()) else { continue };
        let verdict = if met { "met   " } else { "MISSED" };
        println!("  {verdict}  {}   ({})", line(finding), goal.words(&finding.unit));
    }
}

fn line(Finding { name, unit, spread, .. }: &Finding) -> String {
    let median = number(spread.median);
    let (least, most) = (number(spread.least), number(spread.most));
    format!("{name} = {median}{unit}   ({least} to {most})")
}
