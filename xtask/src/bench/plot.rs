//! A bar chart as SVG, without a library: a rectangle and two texts for each row.

use std::fmt::Write as _;

const LABELS: f64 = 250.0;
const WIDTH: f64 = 420.0;
const BAR: f64 = 18.0;
const STEP: f64 = 26.0;

/// A row.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: f64,
    /// Whether it is Ravelin's.
    pub(super) ours: bool,
}

/// What the bars are measured by; the scale is logarithmic.
pub(super) struct Axis {
    pub(super) caption: &'static str,
    /// The powers of ten at the left edge and at the right one.
    pub(super) powers: (i32, i32),
    /// What a value stands for: times a million, this a second.
    pub(super) unit: &'static str,
}

/// A chart of these.
pub(super) fn bars(bars: &[Bar], axis: &Axis) -> String {
    let mut svg = String::new();
    let count = u32::try_from(bars.len()).unwrap_or(u32::MAX);
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
    for power in axis.powers.0..=axis.powers.1 {
        let x = LABELS + axis.place(10_f64.powi(power));
        put(format_args!(
            r##"<line x1="{x}" y1="30" x2="{x}" y2="{}" stroke="#dddddd"/><text x="{x}" y="20" text-anchor="middle" fill="#555555">{}</text>"##,
            height - 20.0,
            power_of_ten(power)
        ));
    }
    let mut y = 40.0;
    for bar in bars {
        let colour = if bar.ours { "#b03a2e" } else { "#7f8c8d" };
        let width = axis.place(bar.value);
        put(format_args!(
            r##"<text x="{}" y="{}" text-anchor="end">{}</text>"##,
            LABELS - 8.0,
            y + 13.0,
            bar.label
        ));
        put(format_args!(
            r##"<rect x="{LABELS}" y="{y}" width="{width:.1}" height="{BAR}" fill="{colour}"/>"##
        ));
        put(format_args!(
            r##"<text x="{:.1}" y="{}">{:.2} {}</text>"##,
            LABELS + width + 6.0,
            y + 13.0,
            bar.value / 1e6,
            axis.unit
        ));
        y += STEP;
    }
    put(format_args!(
        r##"<text x="{LABELS}" y="{}" fill="#555555">{} (logarithmic)</text>"##,
        height - 5.0,
        axis.caption
    ));
    put(format_args!("</svg>"));
    svg
}

impl Axis {
    /// Where a value stands on the scale.
    fn place(&self, value: f64) -> f64 {
        let (from, to) = (f64::from(self.powers.0), f64::from(self.powers.1));
        ((value.log10() - from) / (to - from)).clamp(0.0, 1.0) * WIDTH
    }
}

/// 4: `10 k`.
fn power_of_ten(power: i32) -> String {
    let digits = "0".repeat(usize::try_from(power.rem_euclid(3)).unwrap_or_default());
    format!(
        "1{digits}{}",
        ["", " k", " M", " G"].get(usize::try_from(power / 3).unwrap_or(0)).unwrap_or(&"")
    )
}
