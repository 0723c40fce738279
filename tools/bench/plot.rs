//! Curves as SVG: one drawing, a logarithmic axis below, a linear one at the side.

use std::fmt::Write;

use crate::figures::significant;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Room at the left, right, top and bottom.
const MARGINS: [f64; 4] = [70.0, 170.0, 40.0, 50.0];
const COLOURS: [&str; 6] = ["#1f6f8b", "#d1495b", "#66a182", "#8d6a9f", "#edae49", "#444444"];

/// Points of one curve.
pub(crate) struct Curve {
    /// What it shows.
    pub name: String,
    /// Places on both axes, from left to right; all of them positive below.
    pub points: Vec<(f64, f64)>,
}

/// A drawing of some curves.
pub(crate) struct Plot {
    /// What stands above.
    pub title: String,
    /// What stands below.
    pub below: String,
    /// What stands at the side.
    pub side: String,
    /// What is drawn.
    pub curves: Vec<Curve>,
}

impl Plot {
    /// The drawing.
    pub(crate) fn svg(&self) -> String {
        let frame = Frame::around(&self.curves);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        let [left, right, top, bottom] = MARGINS;
        let middle = left + (WIDTH - left - right) / 2.0;
        label(&mut svg, (middle, top / 2.0 + 4.0), "middle", &self.title);
        label(&mut svg, (middle, HEIGHT - bottom / 2.0 + 14.0), "middle", &self.below);
        label(&mut svg, (8.0, top - 10.0), "start", &self.side);
        frame.grid(&mut svg, &self.curves);
        for (number, (curve, colour)) in self.curves.iter().zip(COLOURS.iter().cycle()).enumerate()
        {
            frame.curve(&mut svg, curve, colour, f64::from(u32::try_from(number).unwrap_or(0)));
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// What the axes span.
struct Frame {
    least: f64,
    most: f64,
    top: f64,
}

impl Frame {
    fn around(curves: &[Curve]) -> Frame {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let least = points().map(|point| point.0).fold(f64::INFINITY, f64::min).max(1e-9);
        let most = points().map(|point| point.0).fold(least * 10.0, f64::max);
        let top = points().map(|point| point.1).fold(1e-9, f64::max);
        Frame { least, most, top: round_up(top * 1.05) }
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [left, right, top, bottom] = MARGINS;
        let across = (x.ln() - self.least.ln()) / (self.most.ln() - self.least.ln());
        let up = y / self.top;
        (left + across * (WIDTH - left - right), HEIGHT - bottom - up * (HEIGHT - top - bottom))
    }

    /// Lines and numbers at fifths of the side, and numbers at every point below.
    fn grid(&self, svg: &mut String, curves: &[Curve]) {
        for fifth in 0..=5 {
            let value = self.top * f64::from(fifth) / 5.0;
            let (x, y) = self.place((self.least, value));
            let end = WIDTH - MARGINS[1];
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{end:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>"
            );
            label(svg, (x - 6.0, y + 4.0), "end", &number(value));
        }
        let mut marks: Vec<f64> =
            curves.iter().flat_map(|curve| &curve.points).map(|point| point.0).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        for mark in marks {
            let (x, y) = self.place((mark, 0.0));
            label(svg, (x, y + 16.0), "middle", &number(mark));
        }
    }

    fn curve(&self, svg: &mut String, curve: &Curve, colour: &str, number: f64) {
        let mut path = String::new();
        for point in &curve.points {
            let (x, y) = self.place(*point);
            let _ = write!(path, "{x:.1},{y:.1} ");
            let _ =
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.trim_end()
        );
        let (x, y) = (WIDTH - MARGINS[1] + 14.0, MARGINS[2] + 8.0 + number * 18.0);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" \
             stroke-width=\"2\"/>",
            x + 18.0
        );
        label(svg, (x + 24.0, y + 4.0), "start", &curve.name);
    }
}

fn label(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

/// A number that people like, not below `value`.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

/// Whole numbers without a point.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { significant(value) }
}
