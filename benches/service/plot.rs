//! A plot of the ratios, each beside its goal: one line of SVG text a row, legible on light and on dark.

use std::fmt::Write as _;

use super::bout::{Goal, Outcome};
use super::measure::Spread;
use super::report::{bound, compared, name};

const WIDTH: f64 = 880.0;
/// Where bars begin, and where the goal stands.
const LEFT: f64 = 400.0;
const GOAL: f64 = 640.0;
/// What does not fit ends here.
const RIGHT: f64 = 760.0;
const ROW: f64 = 26.0;
const TOP: f64 = 44.0;

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#24292f}.soft{fill:#57606a}.met{fill:#2da44e}.not{fill:#cf222e}\
    .line{stroke:#57606a;stroke-width:1}.spread{stroke:#24292f;stroke-width:1.5}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.soft{fill:#9198a1}.met{fill:#3fb950}.not{fill:#f85149}\
    .line{stroke:#9198a1}.spread{stroke:#e6edf3}}";

/// How near each ratio is to its goal: left of the line it is met.
pub fn svg(outcomes: &[Outcome]) -> String {
    let rows: Vec<_> =
        compared(outcomes).filter_map(|(outcome, comparison)| Some((comparison, outcome.ratio(comparison)?))).collect();
    let height = f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX)).mul_add(ROW, TOP + 12.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Ratios measured, each beside its goal\">\n<style>{STYLE}</style>\n\
         <text class=\"soft\" x=\"8\" y=\"18\">measure / beside</text>\n\
         <text class=\"soft\" x=\"{GOAL}\" y=\"18\" text-anchor=\"middle\">goal</text>\n\
         <text class=\"soft\" x=\"{LEFT}\" y=\"18\">← better</text>\n\
         <path class=\"line\" d=\"M{GOAL} 26V{height}\"/>\n"
    );
    let mut top = TOP;
    for (comparison, ratio) in rows {
        let (figure, one, other, goal) = comparison;
        let label = format!("{}: {} / {}", figure.name(), name(*one), other.0.name());
        row(&mut out, top, &escaped(&label), ratio, *goal);
        top += ROW;
    }
    out.push_str("</svg>\n");
    out
}

/// Label, bar to the median, spread, and the figure.
fn row(out: &mut String, top: f64, label: &str, ratio: Spread, goal: Goal) {
    let at = |ratio: f64| {
        let of_goal = match goal {
            Goal::AtMost(most) => ratio / most,
            Goal::AtLeast(least) => least / ratio,
        };
        (GOAL - LEFT).mul_add(of_goal, LEFT).clamp(LEFT, RIGHT)
    };
    let class = if goal.is_met(ratio.median) { "met" } else { "not" };
    let (end, from, to) = (at(ratio.median), at(ratio.least), at(ratio.most));
    let (middle, width) = (top - 4.0, end - LEFT);
    let _ = writeln!(
        out,
        "<text x=\"8\" y=\"{top}\">{label}</text><rect class=\"{class}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{width:.1}\" \
         height=\"10\"/><path class=\"spread\" d=\"M{from:.1} {middle}H{to:.1}\"/><text x=\"{}\" y=\"{top}\">{:.2} \
         <tspan class=\"soft\">{}</tspan></text>",
        top - 9.0,
        RIGHT + 8.0,
        ratio.median,
        escaped(&bound(goal)),
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
