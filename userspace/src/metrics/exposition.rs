//! Prometheus' text format, version 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::{self, Display, Write as _};

/// What a family's numbers are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Only grows, and begins anew at 0.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Samples of one name, told apart by these labels.
#[derive(Debug)]
pub(super) struct Family<const LABELS: usize> {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) labels: [&'static str; LABELS],
}

/// A text that grows by families.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// Writes a family; one without samples is left out.
    pub(super) fn put<'v, const LABELS: usize, V: Display>(
        &mut self,
        family: &Family<LABELS>,
        samples: impl IntoIterator<Item = ([&'v str; LABELS], V)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let Family { name, kind, help, labels } = family;
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        for (values, value) in samples {
            let labels = Labels(labels, &values);
            self.line(format_args!("{name}{labels} {value}"));
        }
    }

    /// A family of one sample.
    pub(super) fn one(&mut self, family: &Family<0>, value: impl Display) {
        self.put(family, [([], value)]);
    }

    /// The text.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a String can't fail.
        writeln!(self.0, "{line}").ok();
    }
}

/// `{a="b",c="d"}`
struct Labels<'l>(&'l [&'static str], &'l [&'l str]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        for (index, (label, value)) in self.0.iter().zip(self.1).enumerate() {
            f.write_str(if index == 0 { "{" } else { "," })?;
            write!(f, "{label}=\"")?;
            for char in value.chars() {
                match char {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    _ => f.write_char(char)?,
                }
            }
            f.write_char('"')?;
        }
        f.write_char('}')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_prometheus() {
        let lines = Family {
            name: "x_lines_total",
            kind: Kind::Counter,
            help: "Lines.",
            labels: ["source", "why"],
        };
        let up = Family { name: "x_up", kind: Kind::Gauge, help: "Up.", labels: [] };
        let none = Family { name: "x_none", kind: Kind::Gauge, help: "None.", labels: ["a"] };
        let mut text = Exposition::default();
        text.put(&lines, [(["/a\\b\"c\nd", "x"], u64::MAX), (["ü", ""], 0)]);
        text.one(&up, 1.5);
        text.put(&none, [] as [([&str; 1], u64); 0]);
        assert_eq!(
            text.into_text(),
            "# HELP x_lines_total Lines.\n\
             # TYPE x_lines_total counter\n\
             x_lines_total{source=\"/a\\\\b\\\"c\\nd\",why=\"x\"} 18446744073709551615\n\
             x_lines_total{source=\"ü\",why=\"\"} 0\n\
             # HELP x_up Up.\n\
             # TYPE x_up gauge\n\
             x_up 1.5\n"
        );
    }
}
