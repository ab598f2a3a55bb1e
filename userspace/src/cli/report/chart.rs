//! Bars over time, as SVG. Bars are laid out in percent of the width and pixels of height, so that a phone gets narrow
//! bars and not small letters.

use super::html::Html;
use super::ledger::{Bucket, Span};
use crate::cli::table::grouped;

/// Pixels of a full bar.
const TALL: f64 = 96.0;
/// Above it, for the scale's number.
const ABOVE: f64 = 14.0;

/// What is drawn on each other in one bar.
pub(super) struct Part {
    /// Its class in the style sheet.
    pub(super) class: &'static str,
    pub(super) name: &'static str,
    pub(super) value: fn(&Bucket) -> u64,
}

/// Draws a chart under its title.
pub(super) fn draw(
    html: &mut Html,
    title: &'static str,
    parts: &[Part],
    buckets: &[Bucket],
    span: &Span,
) {
    let sum = |bucket: &Bucket| parts.iter().map(|part| (part.value)(bucket)).sum::<u64>();
    let all: u64 = buckets.iter().map(sum).sum();
    let (at, peak) =
        buckets.iter().map(sum).enumerate().max_by_key(|(_, sum)| *sum).unwrap_or((0, 0));
    html.markup("<figure><figcaption><b>").text(title).markup("</b> <span>").count(all);
    if peak > 0 {
        html.markup(", peak ").text(&span.called(at, span.full)).markup(": ").count(peak);
    }
    html.markup("</span>");
    if parts.len() > 1 {
        html.markup("<span class=\"key\">");
        for part in parts {
            html.markup("<i class=\"")
                .markup(part.class)
                .markup("\"></i>")
                .text(part.name)
                .markup(" ");
        }
        html.markup("</span>");
    }
    html.markup("</figcaption>\n<svg width=\"100%\" height=\"132\" role=\"img\" aria-label=\"");
    html.text(title).markup(" over time\">");
    let floor = ABOVE + TALL;
    for share in [0.0, 0.5, 1.0] {
        html.markup("<line x1=\"0\" x2=\"100%\" y1=\"").length(floor - share * TALL);
        html.markup("\" y2=\"").length(floor - share * TALL).markup("\"/>");
    }
    html.markup("<text x=\"0\" y=\"10\">").text(&grouped(peak)).markup("</text>\n");
    let step = 100.0 / f64_of(buckets.len().max(1) as u64);
    for (index, bucket) in buckets.iter().enumerate() {
        let left = f64_of(index as u64) * step;
        let mut low = floor;
        for part in parts {
            let value = (part.value)(bucket);
            if value == 0 || peak == 0 {
                continue;
            }
            // What is there is seen.
            let tall = (f64_of(value) / f64_of(peak) * TALL).max(1.5);
            low -= tall;
            html.markup("<rect class=\"").markup(part.class).markup("\" rx=\"1\" x=\"");
            html.length(left + step * 0.12).markup("%\" width=\"").length(step * 0.76);
            html.markup("%\" y=\"").length(low).markup("\" height=\"").length(tall).markup("\"/>");
        }
        // Under the pointer the whole column tells what it is.
        html.markup("<rect class=\"on\" x=\"").length(left).markup("%\" width=\"").length(step);
        html.markup("%\" y=\"0\" height=\"").length(floor).markup("\"><title>");
        html.text(&span.called(index, span.full)).markup(": ");
        for (at, part) in parts.iter().enumerate() {
            html.markup(if at > 0 { ", " } else { "" }).count((part.value)(bucket));
            html.markup(" ").text(part.name);
        }
        html.markup("</title></rect>\n");
        if index % span.apart == 0 {
            html.markup("<text x=\"").length(left).markup("%\" y=\"126\">");
            html.text(&span.called(index, span.label)).markup("</text>\n");
        }
    }
    html.markup("</svg></figure>\n");
}

/// A count as a length: bars needn't be exact beyond 2^53.
fn f64_of(count: u64) -> f64 {
    count as f64
}
