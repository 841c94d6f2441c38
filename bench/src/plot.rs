//! Line charts as SVG, without anything but text.

use std::fmt::Write;

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 72.0;
/// The width of a letter, about.
const LETTER: f64 = 6.4;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 56.0;

/// Told apart by most kinds of eyes (Okabe and Ito's palette).
const COLOURS: [&str; 7] = ["#000000", "#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"];

/// How values become places.
#[derive(Clone, Copy, PartialEq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// Powers of ten.
    Log,
}

pub struct Axis {
    pub title: &'static str,
    pub scale: Scale,
    /// Where it is marked, and how; none: chosen by the scale.
    pub marks: Vec<(f64, String)>,
}

impl Axis {
    pub fn new(title: &'static str, scale: Scale) -> Axis {
        Axis { title, scale, marks: Vec::new() }
    }
}

pub struct Plot {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// The values that an axis spans.
struct Span {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Span {
    /// Of whole decades, unless `exact`, if the scale is that of powers of ten.
    fn new(scale: Scale, values: impl Iterator<Item = f64> + Clone, exact: bool) -> Span {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        match scale {
            Scale::Linear => Span { scale, low: 0.0, high: high * 1.05 },
            Scale::Log if exact && high > low => Span { scale, low, high },
            // A line that is all but level is not blown up.
            Scale::Log => {
                let whole = |value: f64, rounded: fn(f64) -> f64| 10f64.powf(rounded(value.log10()));
                let (low, high) = (whole(low, f64::floor), whole(high, f64::ceil));
                Span { scale, low, high: high.max(low * 10.0) }
            }
        }
    }

    /// 0 for the lowest, 1 for the highest.
    fn part(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value / self.high,
            Scale::Log => (value / self.low).log10() / (self.high / self.low).log10(),
        }
    }

    fn marks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => {
                let about = self.high / 5.0;
                let unit = 10f64.powf(about.log10().floor());
                let step = unit * [1.0, 2.0, 5.0].into_iter().find(|n| n * unit >= about).unwrap_or(10.0);
                (0..).map(|n| n as f64 * step).take_while(|&v| v <= self.high).map(marked).collect()
            }
            Scale::Log => std::iter::successors(Some(self.low), |value| Some(value * 10.0))
                .take_while(|&value| value <= self.high * 1.01)
                .map(marked)
                .collect(),
        }
    }
}

fn marked(value: f64) -> (f64, String) {
    let text = match value {
        1e6.. => format!("{}M", round(value / 1e6)),
        1e3.. => format!("{}k", round(value / 1e3)),
        _ => round(value),
    };
    (value, text)
}

fn round(value: f64) -> String {
    format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Plot {
    /// Lines without points are left out; without any line there is only a frame.
    pub fn render(&self) -> String {
        let lines: Vec<_> = self.lines.iter().filter(|(_, points)| !points.is_empty()).collect();
        let points = lines.iter().flat_map(|(_, points)| points);
        let x = Span::new(self.x.scale, points.clone().map(|point| point.0), !self.x.marks.is_empty());
        let y = Span::new(self.y.scale, points.map(|point| point.1), !self.y.marks.is_empty());
        // Room for the names of the lines.
        let longest = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let right = WIDTH - 44.0 - LETTER * longest as f64;
        let at_x = |value: f64| LEFT + x.part(value) * (right - LEFT);
        let at_y = |value: f64| HEIGHT - BOTTOM - y.part(value) * (HEIGHT - TOP - BOTTOM);
        let bottom = HEIGHT - BOTTOM;

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        let text = |x: f64, y: f64, more: &str, text: &str| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            format!("<text x=\"{x:.1}\" y=\"{y:.1}\" {more}>{text}</text>\n")
        };
        svg += &text(LEFT, 24.0, "font-size=\"15\"", &self.title);
        let middle = (LEFT + right) / 2.0;
        svg += &text(middle, HEIGHT - 14.0, "text-anchor=\"middle\"", self.x.title);
        svg += &text(LEFT - 40.0, TOP - 12.0, "fill=\"#555\"", self.y.title);
        let marks = if self.x.marks.is_empty() { x.marks() } else { self.x.marks.clone() };
        for (value, mark) in marks {
            let at = at_x(value);
            svg += &rule(at, TOP, at, bottom);
            svg += &text(at, bottom + 18.0, "text-anchor=\"middle\"", &mark);
        }
        for (value, mark) in y.marks() {
            let at = at_y(value);
            svg += &rule(LEFT, at, right, at);
            svg += &text(LEFT - 6.0, at + 4.0, "text-anchor=\"end\"", &mark);
        }
        for (number, (name, points)) in lines.into_iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let path: Vec<String> =
                points.iter().map(|&(x, y)| format!("{:.1},{:.1}", at_x(x), at_y(y))).collect();
            let path = path.join(" ");
            _ = writeln!(
                svg,
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            );
            for &(x, y) in points {
                _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                    at_x(x),
                    at_y(y)
                );
            }
            let at = TOP + 14.0 + 20.0 * number as f64;
            _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"14\" height=\"3\" fill=\"{colour}\"/>",
                right + 12.0,
                at - 5.0
            );
            svg += &text(right + 32.0, at, "", name);
        }
        svg + "</svg>\n"
    }
}

fn rule(x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    format!("<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"#ddd\"/>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_axes_span_whole_decades() {
        let span = Span::new(Scale::Log, [3.0, 250.0].into_iter(), false);
        assert_eq!((span.low, span.high), (1.0, 1000.0));
        assert!((span.part(10.0) - 1.0 / 3.0).abs() < 1e-9);
        let marks: Vec<String> = span.marks().into_iter().map(|mark| mark.1).collect();
        assert_eq!(marks, ["1", "10", "100", "1k"]);
        let span = Span::new(Scale::Log, [3.0, 250.0].into_iter(), true);
        assert_eq!((span.part(3.0), span.part(250.0)), (0.0, 1.0));
    }

    #[test]
    fn linear_axes_have_three_to_six_marks() {
        for high in [0.9, 1.0, 1.7, 2.3, 4.9, 9.0, 109.0, 290e3] {
            let marks = Span::new(Scale::Linear, [high].into_iter(), false).marks();
            assert!((3..=6).contains(&marks.len()), "{high}: {marks:?}");
        }
    }

    #[test]
    fn a_name_is_escaped_and_an_empty_line_left_out() {
        let lines =
            vec![("a<b".to_owned(), vec![(1.0, 1.0), (10.0, 2.0)]), ("absent".to_owned(), Vec::new())];
        let (x, y) = (Axis::new("x", Scale::Log), Axis::new("y", Scale::Linear));
        let svg = Plot { title: "t".to_owned(), x, y, lines }.render();
        assert!(svg.contains("a&lt;b") && !svg.contains("absent"));
        assert_eq!(svg.matches("<polyline").count(), 1);
    }
}
