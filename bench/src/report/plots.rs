//! Plots as SVG: rates by connections, latencies, and ratios against their goals. Knows the form
//! of results and nothing of how they came about.

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::results::{Finding, Goal, Measurement, Results, Spread, number};
use crate::failure::Failure;
use crate::load::Work;
use crate::load::latency::Figure;
use crate::peers::PeersResults;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What a plot gives out when it cannot be drawn.
type Drawn<E> = Result<(), DrawingAreaErrorKind<E>>;

const SIZE: (u32, u32) = (760, 420);
/// Where names stand below.
const WIDE: (u32, u32) = (1000, 420);
const ROW_HEIGHT: u32 = 34;
/// A ratio with a higher goal would leave the others little room; the table has it.
const GOAL_MAX: f64 = 2.0;
const TITLE: (&str, u32) = ("sans-serif", 18);
const LABEL: (&str, u32) = ("sans-serif", 13);
const COLOURS: [RGBColor; 5] = [
    RGBColor(120, 120, 120),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];

/// A side has the same colour in every plot.
fn colour(side: &str) -> RGBColor {
    let at = match side {
        "native" | "redis" => 1,
        "reused" | "larder" => 2,
        "fresh" | "etcd" => 3,
        "storage" => 4,
        _ => 0,
    };
    COLOURS[at]
}

/// All plots of a run. What was not measured is not drawn.
pub fn draw(run: &Results, dir: &Path) -> Result<(), Failure> {
    for name in ["get", "set"] {
        let of = |measurement: &&Measurement| measurement.experiment == name;
        let chosen: Vec<&Measurement> = run.measurements.iter().filter(of).collect();
        let title = format!("{name} of 1 KiB, requests a second by connections");
        rates(&dir.join(format!("{name}.svg")), &title, &chosen)?;
    }
    latencies(&dir.join("latencies.svg"), &run.measurements)?;
    ratios(&dir.join("ratios.svg"), &run.findings)
}

/// The plots of a comparison with other servers.
pub fn draw_peers(peers: &PeersResults, dir: &Path) -> Result<(), Failure> {
    for (name, work) in [("get", Work::Get), ("set", Work::Set)] {
        let chosen: Vec<&Measurement> =
            peers.measurements.iter().filter(|measurement| measurement.work == work).collect();
        let title = format!("{name} of 1 KiB, requests a second by connections");
        rates(&dir.join(format!("peers-{name}.svg")), &title, &chosen)?;
    }
    Ok(())
}

/// A line a side: the median of its rates at each count of connections, with a bar from the least
/// to the most.
fn rates(path: &Path, title: &str, measurements: &[&Measurement]) -> Result<(), Failure> {
    let mut counts: Vec<usize> = measurements.iter().map(|one| one.connections).collect();
    counts.sort_unstable();
    counts.dedup();
    let mut sides: Vec<&str> = Vec::new();
    for measurement in measurements {
        if !sides.contains(&measurement.side.as_str()) {
            sides.push(&measurement.side);
        }
    }
    if counts.is_empty() {
        return Ok(());
    }
    let rate = |one: &Measurement| one.spread(|figure| figure.requests_per_s);
    let top = measurements.iter().map(|one| rate(one).most).fold(0.0, f64::max) * 1.08;
    let series = sides.iter().map(|side| {
        let of_side = measurements.iter().filter(|one| one.side == *side);
        let place = |one: &Measurement| counts.iter().position(|count| *count == one.connections);
        let points = of_side.filter_map(|one| Some((place(one)? as f64, rate(one)))).collect();
        (*side, points)
    });
    let series: Vec<Series<'_>> = series.collect();
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    Ok(draw_rates(&root, title, &counts, top, &series)?)
}

/// One quantity of a figure.
type Quantity = fn(&Figure) -> f64;

/// A side's name and, for each place, its figures.
type Series<'a> = (&'a str, Vec<(f64, Spread)>);

fn draw_rates<'a>(
    root: &Area<'a>,
    title: &str,
    counts: &[usize],
    top: f64,
    series: &[Series<'_>],
) -> Drawn<<SVGBackend<'a> as DrawingBackend>::ErrorType> {
    root.fill(&WHITE)?;
    let last = counts.len() as f64 - 1.0;
    let mut chart = ChartBuilder::on(root)
        .caption(title, TITLE)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(-0.25..last + 0.25, 0.0..top)?;
    let count = |place: &f64| {
        let whole = (place - place.round()).abs() < 0.01 && *place > -0.01;
        let count = counts.get(place.round().max(0.0) as usize).filter(|_| whole);
        count.map_or(String::new(), usize::to_string)
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(4 * counts.len())
        .x_label_formatter(&count)
        .y_label_formatter(&|rate| number(*rate))
        .x_desc("connections")
        .label_style(LABEL)
        .draw()?;
    for (name, points) in series {
        let colour = colour(name);
        let line = points.iter().map(|(place, spread)| (*place, spread.median));
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(2)).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 14, y + 4)], colour.filled()));
        chart.draw_series(points.iter().map(|(place, spread)| {
            PathElement::new([(*place, spread.least), (*place, spread.most)], colour)
        }))?;
    }
    legend(&mut chart)?;
    root.present()
}

fn legend<'a, 'b, X, Y>(
    chart: &mut ChartContext<'b, SVGBackend<'a>, Cartesian2d<X, Y>>,
) -> Drawn<<SVGBackend<'a> as DrawingBackend>::ErrorType>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
    'a: 'b,
{
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .label_font(LABEL)
        .draw()
}

/// Three bars for each open loop of the server as it is with values of 1 KiB: p50, p99 and p99.9, on a
/// logarithmic scale.
fn latencies(path: &Path, measurements: &[Measurement]) -> Result<(), Failure> {
    let open = |one: &&Measurement| {
        let paced = one.rounds.iter().any(|figure| figure.offered_per_s.is_some());
        paced && one.side == "reused" && one.value_bytes == 1 << 10
    };
    let chosen: Vec<&Measurement> = measurements.iter().filter(open).collect();
    if chosen.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = chosen
        .iter()
        .map(|one| match one.experiment.as_str() {
            "open-set" => "sets alone".to_owned(),
            _ => one.note.clone(),
        })
        .collect();
    let quantiles: [(&str, Quantity); 3] = [
        ("p50", |figure| figure.p50_us),
        ("p99", |figure| figure.p99_us),
        ("p99.9", |figure| figure.p999_us),
    ];
    let bars: Vec<(&str, Vec<f64>)> = quantiles
        .iter()
        .map(|(name, of)| (*name, chosen.iter().map(|one| one.spread(of).median).collect()))
        .collect();
    let root = SVGBackend::new(path, WIDE).into_drawing_area();
    Ok(draw_latencies(&root, &names, &bars)?)
}

fn draw_latencies<'a>(
    root: &Area<'a>,
    names: &[String],
    bars: &[(&str, Vec<f64>)],
) -> Drawn<<SVGBackend<'a> as DrawingBackend>::ErrorType> {
    root.fill(&WHITE)?;
    let Range { start, end } = decades(bars.iter().flat_map(|(_, values)| values.iter().copied()));
    let mut chart = ChartBuilder::on(root)
        .caption("Latency of the server as it is at a third of the peak, µs, 1 KiB", TITLE)
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..names.len() as f64, (start..end).log_scale())?;
    let middle = |place: &f64| {
        let whole = (place - place.floor() - 0.5).abs() < 0.01;
        let name = names.get(place.max(0.0) as usize).filter(|_| whole);
        name.cloned().unwrap_or_default()
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(2 * names.len() + 1)
        .x_label_formatter(&middle)
        .y_label_formatter(&|us| number(*us))
        .label_style(LABEL)
        .draw()?;
    let width = 0.8 / bars.len() as f64;
    for (number, ((name, values), colour)) in bars.iter().zip(COLOURS[1..].iter()).enumerate() {
        let left = 0.1 + number as f64 * width;
        chart
            .draw_series(values.iter().enumerate().map(|(place, value)| {
                let x = place as f64 + left;
                Rectangle::new([(x, start), (x + width, *value)], colour.filled())
            }))?
            .label(*name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 14, y + 4)], colour.filled()));
    }
    legend(&mut chart)?;
    root.present()
}

/// Whole decades around all values.
fn decades(values: impl Iterator<Item = f64>) -> Range<f64> {
    let positive = values.filter(|value| *value > 0.0);
    let (least, most) = positive
        .fold((f64::INFINITY, 0.0f64), |(least, most), value| (least.min(value), most.max(value)));
    if most == 0.0 {
        return 1.0..10.0;
    }
    10f64.powf(least.log10().floor())
        ..10f64.powf(most.log10().ceil().max(least.log10().floor() + 1.0))
}

/// A bar for each ratio that is to be high: its median, its range, and a mark at its goal.
fn ratios(path: &Path, findings: &[Finding]) -> Result<(), Failure> {
    let chosen: Vec<(&str, Spread, f64)> = findings
        .iter()
        .filter_map(|finding| match finding.goal {
            Some(goal @ Goal::AtLeast(least)) if least <= GOAL_MAX => {
                Some((finding.name.as_str(), finding.spread, goal.value()))
            }
            _ => None,
        })
        .collect();
    if chosen.is_empty() {
        return Ok(());
    }
    let height = 80 + ROW_HEIGHT * chosen.len() as u32;
    let root = SVGBackend::new(path, (SIZE.0, height)).into_drawing_area();
    Ok(draw_ratios(&root, &chosen)?)
}

fn draw_ratios<'a>(
    root: &Area<'a>,
    rows: &[(&str, Spread, f64)],
) -> Drawn<<SVGBackend<'a> as DrawingBackend>::ErrorType> {
    root.fill(&WHITE)?;
    let count = rows.len() as f64;
    let most = rows.iter().map(|(_, spread, _)| spread.most).fold(1.05, f64::max);
    let name = |place: &f64| {
        let whole = (place - place.floor() - 0.5).abs() < 0.01;
        let row = rows.get((count - place.max(0.0)) as usize).filter(|_| whole);
        row.map_or(String::new(), |(name, ..)| (*name).to_owned())
    };
    let mut chart = ChartBuilder::on(root)
        .caption("Ratios: bar the median, line least to most, black mark the goal", TITLE)
        .margin(12)
        .x_label_area_size(26)
        .y_label_area_size(310)
        .build_cartesian_2d(0.0..most, 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .y_labels(2 * rows.len() + 1)
        .y_label_formatter(&name)
        .x_label_formatter(&|ratio| format!("{ratio:.1}"))
        .label_style(LABEL)
        .draw()?;
    for (place, (_, spread, goal)) in rows.iter().enumerate() {
        let y = count - place as f64 - 0.5;
        let colour = if spread.median >= *goal { COLOURS[3] } else { COLOURS[2] };
        let bar =
            Rectangle::new([(0.0, y - 0.3), (spread.median, y + 0.3)], colour.mix(0.7).filled());
        chart.draw_series([bar])?;
        let line =
            |from, to, width| PathElement::new([from, to], BLACK.mix(0.8).stroke_width(width));
        chart.draw_series([
            line((spread.least, y), (spread.most, y), 1),
            line((*goal, y - 0.4), (*goal, y + 0.4), 3),
        ])?;
    }
    root.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_hold_all_values() {
        assert_eq!(decades([35.0, 4200.0].into_iter()), 10.0..10_000.0);
        assert_eq!(decades([100.0].into_iter()), 100.0..1000.0);
        assert_eq!(decades(std::iter::empty()), 1.0..10.0);
    }
}
