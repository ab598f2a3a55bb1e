//! Drawing it: what matters most on top, the keys at the bottom, everything in 80 columns and 24 lines.

mod panes;

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Wrap};

use super::prompt::{Purpose, question};
use super::state::{Mode, Top};
use crate::cli::look::{Look, Tone, columns};
use crate::control::State;
use crate::mail::visible;

/// Smaller than that nothing can be told.
const SMALLEST: (u16, u16) = (50, 12);

/// Lines that what became of a job may take.
const NEWS: usize = 3;

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    colour: bool,
}

impl Palette {
    pub(super) const fn of(look: Look) -> Self {
        Self { colour: look.colour }
    }

    /// The style of a tone; without colours what is wrong is bold.
    fn tone(self, tone: impl Into<Option<Tone>>) -> Style {
        let plain = Style::new();
        match (tone.into(), self.colour) {
            (None, _) | (Some(Tone::Good | Tone::Odd), false) => plain,
            (Some(Tone::Good), true) => plain.fg(Color::Green),
            (Some(Tone::Odd), true) => plain.fg(Color::Yellow),
            (Some(Tone::Bad), true) => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Some(Tone::Strong | Tone::Bad), _) => plain.add_modifier(Modifier::BOLD),
            (Some(Tone::Faint), _) => plain.add_modifier(Modifier::DIM),
        }
    }

    fn accent(self) -> Style {
        if self.colour { Style::new().fg(Color::Cyan) } else { Style::new() }
    }
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, top: &mut Top, palette: Palette) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!("ravelin top needs {} columns and {} lines", SMALLEST.0, SMALLEST.1);
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let says = footer(top, palette, area.width);
    let [body, said] = Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(u16::try_from(says.lines.len()).unwrap_or(1)),
    ])
    .areas(area);
    match &mut top.mode {
        Mode::Reading { target, lines, from } => {
            let title = Span::styled(format!(" {target} "), palette.tone(Tone::Strong));
            let block = Block::new().borders(Borders::TOP).title(title);
            let room = block.inner(body);
            let lines: Vec<String> =
                lines.iter().flat_map(|line| wrapped(line, room.width, 2)).collect();
            let last = lines.len().saturating_sub(room.height.into());
            *from = (*from).min(u16::try_from(last).unwrap_or(u16::MAX));
            let shown = lines.into_iter().skip((*from).into()).map(Line::from).collect::<Vec<_>>();
            frame.render_widget(Paragraph::new(shown).block(block), body);
        }
        _ => panes::draw(frame, top, palette, body),
    }
    if matches!(top.mode, Mode::Help) {
        help(frame, body, palette);
    }
    frame.render_widget(Paragraph::new(says.lines), said);
    if let Some(column) = says.cursor {
        let column = u16::try_from(column).unwrap_or(u16::MAX).min(said.width.saturating_sub(1));
        frame.set_cursor_position(Position::new(said.x + column, said.y));
    }
}

/// The last lines: what is being typed, or what became of it; and the keys.
struct Footer<'f> {
    lines: Vec<Line<'f>>,
    /// Where what is typed goes on, in the first of them.
    cursor: Option<usize>,
}

fn footer<'f>(top: &Top, palette: Palette, width: u16) -> Footer<'f> {
    let strong = palette.tone(Tone::Strong);
    let mut lines = Vec::new();
    let mut cursor = None;
    let keys: &[(&str, &str)] = match &top.mode {
        Mode::Looking | Mode::Help => {
            match top.news() {
                Some(news) => {
                    let (text, tone) = match news {
                        Ok(news) => (news, Tone::Good),
                        Err(news) => (news, Tone::Bad),
                    };
                    let text = wrapped(&visible(text, 400), width, 0).into_iter().take(NEWS);
                    lines.extend(text.map(|line| Line::styled(line, palette.tone(tone))));
                }
                None if top.busy => lines.push(Line::styled("...", palette.tone(Tone::Faint))),
                None => {}
            }
            &[
                ("q", "quit"),
                ("↑↓", "choose"),
                ("⏎", "evidence"),
                ("b", "ban"),
                ("u", "unban"),
                ("a", "allow"),
                ("/", "filter"),
                ("s", "sort"),
                ("?", "help"),
            ]
        }
        Mode::Filtering => {
            let typed = visible(&top.filter, 60);
            cursor = Some(1 + columns(&typed));
            lines.push(Line::from(vec![Span::styled("/", strong), Span::raw(typed)]));
            &[("⏎", "keep it"), ("Esc", "all again")]
        }
        Mode::Asking(prompt) => {
            let label = match prompt.purpose {
                Purpose::Ban => "ban: ",
                Purpose::Allow => "allow: ",
            };
            let typed = visible(&prompt.text, 200);
            cursor = Some(columns(label) + columns(&typed));
            let mut said = vec![Span::styled(label, strong), Span::raw(typed)];
            if let Some(wrong) = &prompt.wrong {
                said.push(Span::styled(
                    format!("   {}", visible(wrong, 200)),
                    palette.tone(Tone::Bad),
                ));
            }
            lines.push(Line::from(said));
            match prompt.purpose {
                Purpose::Ban => &[
                    ("⏎", "TARGET [TTL|permanent] [REASON], such as 198.51.100.7 2h a scan"),
                    ("Esc", "no"),
                ],
                Purpose::Allow => &[("⏎", "TARGET [TTL], such as 198.51.100.7 8h"), ("Esc", "no")],
            }
        }
        Mode::Confirming(job) => {
            lines.push(Line::styled(question(job), palette.tone(Tone::Bad)));
            &[("y", "yes"), ("any other key", "no")]
        }
        Mode::Reading { .. } => &[("↑↓", "scroll"), ("g/G", "begin/end"), ("q", "back")],
    };
    let mut help = Vec::new();
    for (key, what) in keys {
        help.push(Span::styled(*key, palette.accent().add_modifier(Modifier::BOLD)));
        help.push(Span::raw(format!(" {what}  ")));
    }
    lines.push(Line::from(help));
    Footer { lines, cursor }
}

/// A line as lines of that width; but for the first they begin so much deeper.
fn wrapped(line: &str, width: u16, deeper: usize) -> Vec<String> {
    let text = line.trim_start();
    let begin = line.len() - text.len();
    let mut out = " ".repeat(begin).into_bytes();
    let look = Look { colour: false, width: Some(usize::from(width).max(20)) };
    // A Vec takes all that is written.
    look.wrap(&mut out, text, begin, begin + deeper).ok();
    String::from_utf8_lossy(&out).lines().map(str::to_owned).collect()
}

fn help(frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    const KEYS: [(&str, &str); 13] = [
        ("↑ ↓ j k", "choose; PgUp PgDn g G: faster"),
        ("Tab", "bans or alerts"),
        ("⏎ e", "the chosen one's story and evidence"),
        ("b", "ban: TARGET [TTL|permanent] [REASON]"),
        ("u Del", "unban, and forgive its offences"),
        ("a", "never ban: TARGET [TTL]"),
        ("/", "show bans whose target, reason or rule has it"),
        ("Esc", "all of them again"),
        ("s", "sort: rate, dropped, newest, ending"),
        ("q ^C", "quit"),
        ("", ""),
        ("", "Before anything is done you are asked."),
        ("", "Without the daemon bans are read from the kernel."),
    ];
    let height = u16::try_from(KEYS.len()).unwrap_or(u16::MAX).saturating_add(2).min(area.height);
    let width = area.width.min(64);
    let popup = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let lines: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(key, what)| {
            Line::from(vec![
                Span::styled(format!(" {key:<9}"), palette.tone(Tone::Strong)),
                Span::raw(*what),
            ])
        })
        .collect();
    frame.render_widget(Clear, popup);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Keys ")), popup);
}

const fn tone_of(state: State) -> Tone {
    match state {
        State::Enforcing => Tone::Good,
        State::Observing => Tone::Odd,
        State::Degraded | State::Off => Tone::Bad,
    }
}

/// A rate in few columns: `7`, `1.2k`, `3.4M`.
fn rate(per_second: u64) -> String {
    match per_second {
        0..1_000 => per_second.to_string(),
        1_000..1_000_000 => format!("{}.{}k", per_second / 1_000, per_second % 1_000 / 100),
        _ => format!("{}.{}M", per_second / 1_000_000, per_second % 1_000_000 / 100_000),
    }
}

/// What was seen longer ago is no longer how it is.
const STALE: Duration = Duration::from_secs(5);
