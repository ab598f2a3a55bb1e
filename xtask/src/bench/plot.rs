//! A bar chart as SVG, without a library: a rectangle and two texts for each row.

use std::fmt::Write as _;

use super::report::Row;

const LABELS: f64 = 250.0;
const WIDTH: f64 = 420.0;
const BAR: f64 = 18.0;
const STEP: f64 = 26.0;
/// Lines a second at the left edge and at the right one; the scale is logarithmic.
const SCALE: (f64, f64) = (1e4, 1e8);

/// Lines a second of each program, on each log.
pub(super) fn bars(rows: &[Row]) -> String {
    let mut svg = String::new();
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let height = f64::from(count) * STEP + 60.0;
    let total = LABELS + WIDTH + 110.0;
    let mut put = |part: std::fmt::Arguments<'_>| {
        svg.write_fmt(part).expect("a string takes all that is written");
        svg.push('\n');
    };
    put(format_args!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" font-family="sans-serif" font-size="13">"##
    ));
    put(format_args!(r##"<rect width="100%" height="100%" fill="#ffffff"/>"##));
    for power in 4..=8 {
        let x = LABELS + place(10_f64.powi(power));
        put(format_args!(
            r##"<line x1="{x}" y1="30" x2="{x}" y2="{}" stroke="#dddddd"/><text x="{x}" y="20" text-anchor="middle" fill="#555555">{}</text>"##,
            height - 20.0,
            ["10 k", "100 k", "1 M", "10 M", "100 M"][usize::try_from(power - 4).unwrap_or(0)]
        ));
    }
    let mut y = 40.0;
    for row in rows {
        let rate = row.lines_per_second();
        let colour = if row.program.starts_with("ravelin") { "#b03a2e" } else { "#7f8c8d" };
        let width = place(rate);
        put(format_args!(
            r##"<text x="{}" y="{}" text-anchor="end">{}, {}</text>"##,
            LABELS - 8.0,
            y + 13.0,
            row.program,
            row.log.name()
        ));
        put(format_args!(
            r##"<rect x="{LABELS}" y="{y}" width="{width:.1}" height="{BAR}" fill="{colour}"/>"##
        ));
        put(format_args!(
            r##"<text x="{:.1}" y="{}">{:.2} M/s</text>"##,
            LABELS + width + 6.0,
            y + 13.0,
            rate / 1e6
        ));
        y += STEP;
    }
    put(format_args!(
        r##"<text x="{LABELS}" y="{}" fill="#555555">log lines a second, one core, whole process (logarithmic)</text>"##,
        height - 5.0
    ));
    put(format_args!("</svg>"));
    svg
}

/// Where a rate stands on the scale.
fn place(rate: f64) -> f64 {
    let (from, to) = (SCALE.0.log10(), SCALE.1.log10());
    ((rate.max(SCALE.0).log10() - from) / (to - from)).min(1.0) * WIDTH
}
