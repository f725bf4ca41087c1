//! The plots: the ratios of the table, and cost against growth; as SVG and as PNG.

use std::error::Error;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::coord::ranged1d::SegmentValue;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::growth::Curve;
use crate::programs::Runtime;
use crate::rows::Better;
use crate::table::Line;

/// What drawing may fail with: writing the file, and what the backends say.
type Failed = Box<dyn Error>;

const FONT: &str = "sans-serif";

fn colour(runtime: Runtime) -> RGBColor {
    match runtime {
        Runtime::Marmot => RGBColor(176, 58, 46),
        Runtime::Go => RGBColor(0, 125, 156),
        Runtime::Tokio => RGBColor(72, 100, 60),
        Runtime::May => RGBColor(145, 100, 170),
    }
}

/// Draws the same into `STEM.svg` and `STEM.png`, and gives the two names.
macro_rules! twice {
    ($stem:expr, $size:expr, $draw:path, $data:expr) => {{
        let (svg, png) = ($stem.with_extension("svg"), $stem.with_extension("png"));
        $draw(&SVGBackend::new(&svg, $size).into_drawing_area(), $data)?;
        $draw(&BitMapBackend::new(&png, $size).into_drawing_area(), $data)?;
        Ok([svg, png])
    }};
}

/// Draws how the table's figures compare, a line of dots for each of its lines.
pub(crate) fn ratios(stem: &Path, lines: &[Line]) -> Result<[PathBuf; 2], Failed> {
    fonts()?;
    let height = 110 + 22 * u32::try_from(lines.len())?;
    twice!(stem, (1200, height), draw_ratios, lines)
}

/// Draws cost against size, a panel for each kind of growth.
pub(crate) fn growth(stem: &Path, curves: &[Curve]) -> Result<[PathBuf; 2], Failed> {
    fonts()?;
    let mut panels: Vec<&str> = curves.iter().map(|c| c.title.as_str()).collect();
    panels.dedup();
    let height = 330 * u32::try_from(panels.len().div_ceil(2).max(1))?;
    twice!(stem, (1200, height), draw_growth, curves)
}

/// Makes one font known, so that a machine needs none.
fn fonts() -> Result<(), Failed> {
    register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the built-in font cannot be read".into())
}

/// Our figure over the peer's, so that less is better in every row.
fn cost_ratio(line: &Line, peer: Runtime) -> Option<f64> {
    let ratio = line.ratio(peer)?;
    Some(match line.row.better {
        Better::Lower => ratio,
        Better::Higher => 1.0 / ratio,
    })
}

fn draw_ratios<B: DrawingBackend>(
    root: &DrawingArea<B, Shift>,
    lines: &[Line],
) -> Result<(), Failed>
where
    B::ErrorType: 'static,
{
    root.fill(&WHITE)?;
    let count = i32::try_from(lines.len())?;
    let title = |n: i32| {
        let line = usize::try_from(count - 1 - n)
            .ok()
            .and_then(|n| lines.get(n));
        line.map_or_else(String::new, |line| {
            format!("{}, P={}", line.row.title, line.procs)
        })
    };
    let mut chart = ChartBuilder::on(root)
        .caption(
            "Marmot's cost over that of its peers (left of 1: Marmot is ahead)",
            (FONT, 20),
        )
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(430)
        .build_cartesian_2d((0.03..4.0).log_scale(), (0..count).into_segmented())?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(lines.len())
        .y_label_formatter(&|value| match value {
            SegmentValue::CenterOf(n) => title(*n),
            _ => String::new(),
        })
        .label_style((FONT, 13))
        .draw()?;
    let middle = [
        (1.0, SegmentValue::Exact(0)),
        (1.0, SegmentValue::Exact(count)),
    ];
    chart.draw_series(LineSeries::new(middle, BLACK.stroke_width(1)))?;
    for peer in [Runtime::Go, Runtime::Tokio, Runtime::May] {
        let dots = (0..count).rev().zip(lines).filter_map(|(n, line)| {
            let ratio = cost_ratio(line, peer)?.clamp(0.03, 4.0);
            Some(Circle::new(
                (ratio, SegmentValue::CenterOf(n)),
                4,
                colour(peer).filled(),
            ))
        });
        chart
            .draw_series(dots)?
            .label(format!("over {peer}"))
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, colour(peer).filled()));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .label_font((FONT, 13))
        .draw()?;
    root.present()?;
    Ok(())
}

fn draw_growth<B: DrawingBackend>(
    root: &DrawingArea<B, Shift>,
    curves: &[Curve],
) -> Result<(), Failed>
where
    B::ErrorType: 'static,
{
    root.fill(&WHITE)?;
    let mut panels: Vec<&str> = curves.iter().map(|c| c.title.as_str()).collect();
    panels.dedup();
    let areas = root.split_evenly((panels.len().div_ceil(2).max(1), 2));
    for (panel, area) in panels.iter().zip(&areas) {
        let mine: Vec<&Curve> = curves.iter().filter(|c| c.title == *panel).collect();
        let points = || mine.iter().flat_map(|c| &c.points);
        let least = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::MAX, f64::min);
        let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max);
        let (sizes, costs) = (
            least(|p| p.0)..most(|p| p.0) * 1.1,
            least(|p| p.1) * 0.7..most(|p| p.1) * 1.4,
        );
        let mut chart = ChartBuilder::on(area)
            .caption(panel, (FONT, 17))
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(sizes.log_scale(), costs.log_scale())?;
        chart.configure_mesh().label_style((FONT, 13)).draw()?;
        for curve in mine {
            let shade = colour(curve.runtime);
            chart
                .draw_series(
                    LineSeries::new(curve.points.iter().copied(), shade.stroke_width(2))
                        .point_size(3),
                )?
                .label(curve.runtime.name())
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], shade.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            // The curves have their ends to the left and to the right.
            .position(SeriesLabelPosition::UpperMiddle)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .label_font((FONT, 13))
            .draw()?;
    }
    root.present()?;
    Ok(())
}
