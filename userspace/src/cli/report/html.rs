//! A page under way: markup is what stands in this program, everything else is text and stays text.

use crate::cli::table::grouped;
use crate::mail::visible;

/// Characters of a text.
const TEXT: usize = 500;

/// HTML that nothing foreign can get into.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, whoever wrote it, inside an element or an attribute's quotes.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for char in visible(text, TEXT).chars() {
            match char {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                _ => self.0.push(char),
            }
        }
        self
    }

    /// A count, in groups of three digits.
    pub(super) fn count(&mut self, count: u64) -> &mut Self {
        self.0.push_str(&grouped(count));
        self
    }

    /// A length or place in a drawing.
    pub(super) fn length(&mut self, length: f64) -> &mut Self {
        self.0.push_str(&format!("{length:.2}"));
        self
    }

    /// The page.
    pub(super) fn into_page(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut html = Html::default();
        html.markup("<td title=\"")
            .text("\" onclick='x'")
            .markup("\">")
            .text("</td><script>&\x1b\u{202e}");
        assert_eq!(
            html.into_page(),
            "<td title=\"&quot; onclick=&#39;x&#39;\">&lt;/td&gt;&lt;script&gt;&amp;\\x1b\\u{202e}"
        );
    }
}
