//! A mail's content, once: written as plain text and as HTML.
//!
//! The HTML is for phones: no pictures, no links, no scripts, no styles from elsewhere, everything escaped.

/// Paragraphs, lists, log lines, commands.
#[derive(Debug, Default)]
pub(super) struct Page(Vec<Block>);

#[derive(Debug)]
enum Block {
    /// What matters most: lines.
    Lead(Vec<String>),
    /// A paragraph: lines.
    Text(Vec<String>),
    /// A label and what belongs under it.
    List(String, Vec<String>),
    /// The same, as it stood in a log.
    Log(String, Vec<String>),
    /// What to type, and what for.
    Commands(Vec<(&'static str, String)>),
}

impl Page {
    /// What matters most.
    pub(super) fn lead(&mut self, text: &str) {
        self.0.push(Block::Lead(text.lines().map(str::to_owned).collect()));
    }

    /// A paragraph.
    pub(super) fn text(&mut self, text: &str) {
        self.0.push(Block::Text(text.lines().map(str::to_owned).collect()));
    }

    /// A label and what belongs under it; nothing where there is nothing.
    pub(super) fn list(&mut self, label: &str, items: Vec<String>) {
        if !items.is_empty() {
            self.0.push(Block::List(label.to_owned(), items));
        }
    }

    /// Log lines; nothing where there is none.
    pub(super) fn log(&mut self, label: &str, lines: Vec<String>) {
        if !lines.is_empty() {
            self.0.push(Block::Log(label.to_owned(), lines));
        }
    }

    /// What to type, and what for.
    pub(super) fn commands(&mut self, commands: Vec<(&'static str, String)>) {
        if !commands.is_empty() {
            self.0.push(Block::Commands(commands));
        }
    }

    /// As plain text, with a signature.
    pub(super) fn plain(&self, signature: &str) -> String {
        let mut out = String::new();
        for block in &self.0 {
            match block {
                Block::Lead(lines) | Block::Text(lines) => {
                    for line in lines {
                        push(&mut out, &[line, "\n"]);
                    }
                }
                Block::List(label, items) | Block::Log(label, items) => {
                    push(&mut out, &[label, ":\n"]);
                    for item in items {
                        push(&mut out, &["  ", item, "\n"]);
                    }
                }
                Block::Commands(commands) => {
                    let width = commands.iter().map(|(what, _)| what.len()).max().unwrap_or(0) + 1;
                    for (what, command) in commands {
                        out.push_str(&format!("{:<width$} {command}\n", format!("{what}:")));
                    }
                }
            }
            out.push('\n');
        }
        push(&mut out, &["-- \n", signature, "\n"]);
        out
    }

    /// As HTML, with a title and a signature.
    pub(super) fn html(&self, title: &str, signature: &str) -> String {
        let mut out = String::from(HEAD);
        push(&mut out, &["<title>", &escaped(title), "</title>\n</head>\n", BODY]);
        for block in &self.0 {
            match block {
                Block::Lead(lines) => {
                    push(&mut out, &[LEAD, &joined(lines), "</p>\n"]);
                }
                Block::Text(lines) => push(&mut out, &["<p>", &joined(lines), "</p>\n"]),
                Block::List(label, items) => {
                    push(&mut out, &["<p>", &escaped(label), ":</p>\n<ul>\n"]);
                    for item in items {
                        push(&mut out, &["<li>", &escaped(item), "</li>\n"]);
                    }
                    out.push_str("</ul>\n");
                }
                Block::Log(label, lines) => {
                    push(&mut out, &["<p>", &escaped(label), ":</p>\n", PRE]);
                    for line in lines {
                        push(&mut out, &[&escaped(line), "\n"]);
                    }
                    out.push_str("</pre>\n");
                }
                Block::Commands(commands) => {
                    let lines = commands
                        .iter()
                        .map(|(what, command)| format!("{what}: <code>{}</code>", escaped(command)))
                        .collect::<Vec<_>>();
                    push(&mut out, &["<p>", &lines.join("<br>\n"), "</p>\n"]);
                }
            }
        }
        push(&mut out, &[FOOT, &escaped(signature), "</p>\n</body>\n</html>\n"]);
        out
    }
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <meta name=\"color-scheme\" content=\"light dark\">\n\
    <meta name=\"format-detection\" content=\"telephone=no, address=no, date=no\">\n";
const BODY: &str = "<body style=\"font:16px/1.45 sans-serif;margin:12px;max-width:42em;overflow-wrap:anywhere\">\n";
const LEAD: &str = "<p style=\"font-size:18px;font-weight:bold\">";
const PRE: &str = "<pre style=\"font:13px/1.4 monospace;white-space:pre-wrap;overflow-wrap:anywhere;\
    border-left:3px solid #888;margin:0;padding-left:8px\">\n";
const FOOT: &str = "<p style=\"color:#777;font-size:13px\">";

fn push(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("<br>\n")
}

/// Nothing in it is markup any more, inside an element as well as inside an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same_and_markup_stays_text() {
        let evil = "<img src=x onerror='a'>&\"</pre><script>";
        let mut page = Page::default();
        page.lead(evil);
        page.text(&format!("one\n{evil}"));
        page.list(evil, vec![evil.to_owned()]);
        page.list("nothing", Vec::new());
        page.log("Log", vec![evil.to_owned()]);
        page.commands(vec![("Undo", evil.to_owned()), ("Allow", "ravelin allow".to_owned())]);
        let text = page.plain("ravelin on web1");
        assert_eq!(text.matches(evil).count(), 6);
        assert!(text.contains("\nUndo:  <img") && text.ends_with("\n\n-- \nravelin on web1\n"));
        assert!(!text.contains("nothing"));

        let html = page.html(evil, evil);
        let shown = escaped(evil);
        assert_eq!(html.matches(&shown).count(), 8, "{html}");
        let without = html.replace(&shown, "");
        for foreign in ["<img", "<script", "onerror", "href", "src=", "url(", "http"] {
            assert!(!without.contains(foreign) && !html.contains("<img"), "{foreign}: {html}");
        }
        assert_eq!(html.matches("<pre").count(), 1);
    }
}
