//! Recall against queries/s, drawn.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::interpolate::Point;
use crate::cli::error::CliError;
use crate::cli::written::write_whole;

const SIZE: (u32, u32) = (800, 560);
const FONT: &str = "sans-serif";

/// A curve.
pub(in crate::cli) struct Series<'a> {
    pub(in crate::cli) name: &'a str,
    pub(in crate::cli) points: &'a [Point],
}

/// Draws the curves into an SVG file: recall to the right, queries/s upwards, in decades.
pub(in crate::cli) fn draw(path: &Path, title: &str, series: &[Series<'_>]) -> Result<(), CliError> {
    let mut svg = String::new();
    render(&mut svg, title, series)
        .map_err(|error| CliError::Draw { path: path.to_owned(), source: error.to_string().into() })?;
    write_whole(path, svg.as_bytes())
}

fn render(svg: &mut String, title: &str, series: &[Series<'_>]) -> Result<(), Box<dyn Error>> {
    let points = || series.iter().flat_map(|series| series.points);
    let lowest = points().map(|point| point.recall).fold(1.0, f64::min);
    let slowest = points().map(|point| point.qps).fold(f64::INFINITY, f64::min).max(1e-3);
    let fastest = points().map(|point| point.qps).fold(slowest, f64::max);
    // A little room on every side, and an interval even where all points coincide.
    let recall_axis = (lowest - 0.02).max(0.0)..1.005;
    let qps_axis = (slowest / 1.3..fastest * 1.3).log_scale();

    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, (FONT, 18))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(recall_axis, qps_axis)?;
    chart
        .configure_mesh()
        .x_desc("recall")
        .y_desc("queries/s")
        .x_labels(10)
        .y_labels(12)
        .x_label_formatter(&|recall| format!("{recall:.2}"))
        .y_label_formatter(&|qps| format!("{qps:.0}"))
        .draw()?;
    for (index, series) in series.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let curve = || series.points.iter().map(|point| (point.recall, point.qps));
        chart
            .draw_series(LineSeries::new(curve(), color.stroke_width(2)))?
            .label(series.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
        chart.draw_series(curve().map(|at| Circle::new(at, 3, color.filled())))?;
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::measure::Effort;
    use super::*;

    #[test]
    fn a_plot_is_drawn_even_of_a_single_point() {
        let point = Point {
            effort: 10.0,
            setting: Effort::Greedy(10),
            recall: 1.0,
            qps: 1000.0,
            p50_us: 1.0,
            p99_us: 1.0,
            distances: 1.0,
            key_scores: 0.0,
            hops: 1.0,
            disk: None,
        };
        let mut svg = String::new();
        render(&mut svg, "one point", &[Series { name: "greedy", points: &[point] }]).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("<circle") && svg.contains("greedy"), "{svg}");
    }
}
