//! The picture's parts: head, drop rate, what is wrong, bans, alerts, sources.

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Block, Borders, Cell, Paragraph, RenderDirection, Row as TableRow, Sparkline, Table, TableState,
};

use super::{Palette, STALE, rate, tone_of};
use crate::cli::look::{Tone, columns, cut, cut_front};
use crate::cli::top::feed::Unheard;
use crate::cli::top::state::{Focus, Top, left};
use crate::cli::{list, table};
use crate::control::{HealthItem, SourceStatus, Status};
use crate::event::Timestamp;
use crate::mail::visible;
use crate::store::HistoryEntry;

/// Lines of what is wrong.
const FINDINGS: u16 = 2;

pub(super) fn draw(frame: &mut Frame<'_>, top: &Top, palette: Palette, area: Rect) {
    let status = top.view.as_ref().and_then(|view| view.status.as_ref().ok());
    let findings = findings(top);
    let sources = status.map_or(1, |status| status.sources.len().max(1));
    // Bans get half of what is left, and no more than there are.
    let found = u16::try_from(findings.len()).unwrap_or(FINDINGS).min(FINDINGS);
    let room = area.height.saturating_sub(4 + found);
    let sources = u16::try_from(sources).unwrap_or(u16::MAX).min((room / 6).max(1)) + 1;
    let alerts = (room.saturating_sub(sources) / 3).max(2);
    let [head, packets, spark, wrong, bans, alerts, sources] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(found),
        Constraint::Fill(1),
        Constraint::Length(alerts),
        Constraint::Length(sources),
    ])
    .areas(area);
    draw_head(frame, top, palette, head);
    draw_packets(frame, top, palette, packets);
    let rates: Vec<u64> = top.dropped.iter().take(spark.width.into()).copied().collect();
    let style = palette.tone(Tone::Bad).remove_modifier(Modifier::BOLD);
    let line =
        Sparkline::default().data(&rates).direction(RenderDirection::RightToLeft).style(style);
    frame.render_widget(line, spark);
    draw_findings(frame, &findings, palette, wrong);
    draw_bans(frame, top, palette, bans);
    draw_alerts(frame, top, palette, alerts);
    draw_sources(frame, top, palette, sources);
}

fn draw_head(frame: &mut Frame<'_>, top: &Top, palette: Palette, area: Rect) {
    let faint = palette.tone(Tone::Faint);
    let mut spans = vec![Span::styled("ravelin", palette.tone(Tone::Strong)), Span::raw("  ")];
    let Some(view) = &top.view else {
        spans.push(Span::styled("looking...", faint));
        frame.render_widget(Line::from(spans), area);
        return;
    };
    match &view.status {
        Ok(status) => {
            spans.push(Span::styled(status.state.as_str(), palette.tone(tone_of(status.state))));
            let up = table::span(std::time::Duration::from_secs(status.uptime_s));
            spans.push(Span::styled(format!("  up {up}"), faint));
            let interfaces = status.interfaces.iter().map(|it| format!("{} {}", it.name, it.mode));
            let interfaces = interfaces.collect::<Vec<_>>().join(", ");
            spans.push(Span::styled(format!("  {}", cut(&interfaces, 30)), faint));
        }
        Err(unheard) => {
            let said = if unheard.gone { "NO DAEMON" } else { "NO ANSWER" };
            spans.push(Span::styled(said, palette.tone(Tone::Bad)));
        }
    }
    let age = view.at.elapsed();
    let clock = if age > STALE {
        Span::styled(format!("as of {} ago", table::span(age)), palette.tone(Tone::Odd))
    } else {
        Span::styled(clock(top.now, &top.zone), faint)
    };
    frame.render_widget(Line::from(spans), area);
    let [_, right] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Length(u16::try_from(clock.width()).unwrap_or(20)),
    ])
    .areas(area);
    frame.render_widget(Line::from(clock), right);
}

fn draw_packets(frame: &mut Frame<'_>, top: &Top, palette: Palette, area: Rect) {
    let mut spans = Vec::new();
    let mut put = |label: &str, value: String, tone: Option<Tone>| {
        spans.push(Span::styled(format!("{label} "), palette.tone(Tone::Faint)));
        spans.push(Span::styled(value, palette.tone(tone)));
        spans.push(Span::raw("  "));
    };
    let Some(view) = &top.view else { return };
    if let Some(packets) = view.packets {
        let now = top.dropped.front().copied().unwrap_or(0);
        let peak = top.dropped.iter().take(area.width.into()).max().copied().unwrap_or(0);
        let busy = (now > 0).then_some(Tone::Bad);
        put("dropped", format!("{}/s", rate(now)), busy);
        put("peak", format!("{}/s", rate(peak)), None);
        put("in all", table::grouped(packets.dropped), None);
        put("passed", format!("{}/s", rate(top.passed)), None);
    }
    if let Ok(status) = &view.status {
        let mail = status.mail;
        if mail.queued > 0 || mail.failed > 0 {
            let text = format!("{} queued, {} refused", mail.queued, mail.failed);
            put("mail", text, Some(Tone::Odd));
        } else {
            put("mail", format!("{} sent", mail.sent), None);
        }
    }
    frame.render_widget(Line::from(spans), area);
}

/// What is wrong, most important first: the daemon isn't there, or what it says.
fn findings(top: &Top) -> Vec<(String, String)> {
    match top.view.as_ref().map(|view| &view.status) {
        None => Vec::new(),
        Some(Err(Unheard { gone: true, why })) => vec![
            (
                "no daemon".to_owned(),
                "nothing new is banned; these bans hold, and lapse by themselves".to_owned(),
            ),
            ("why".to_owned(), why.clone()),
        ],
        Some(Err(Unheard { gone: false, why })) => vec![("no answer".to_owned(), why.clone())],
        Some(Ok(Status { health, .. })) => {
            let one = |item: &HealthItem| (item.code.clone(), item.remedy.clone());
            let mut findings: Vec<_> = health.iter().map(one).collect();
            let most = usize::from(FINDINGS);
            if findings.len() > most {
                let more = findings.len() - most + 1;
                findings.truncate(most - 1);
                findings.push((format!("{more} more"), "`ravelin status` tells them".to_owned()));
            }
            findings
        }
    }
}

fn draw_findings(
    frame: &mut Frame<'_>,
    findings: &[(String, String)],
    palette: Palette,
    area: Rect,
) {
    let width = usize::from(area.width);
    let lines: Vec<Line<'_>> = findings
        .iter()
        .map(|(code, remedy)| {
            let code = format!("! {code}: ");
            let remedy = cut(&visible(remedy, 300), width.saturating_sub(columns(&code)));
            Line::from(vec![Span::styled(code, palette.tone(Tone::Odd)), Span::raw(remedy)])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// A rule with a title in it; that of the list that the keys are about stands out.
fn pane<'p>(title: String, chosen: bool, palette: Palette) -> Block<'p> {
    let style = if chosen {
        palette.accent().add_modifier(Modifier::BOLD)
    } else {
        palette.tone(Tone::Strong)
    };
    Block::new()
        .borders(Borders::TOP)
        .border_style(palette.tone(Tone::Faint))
        .title(Span::styled(title, style))
}

const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

fn draw_bans(frame: &mut Frame<'_>, top: &Top, palette: Palette, area: Rect) {
    let looked = top.focus == Focus::Bans;
    let status = top.view.as_ref().and_then(|view| view.status.as_ref().ok());
    let all = status.map_or(top.rows.len() as u64, |status| status.bans);
    let mut title = match top.view {
        Some(_) => format!(" Bans {} ", table::grouped(all)),
        None => " Bans ".to_owned(),
    };
    if !top.filter.is_empty() {
        let filter = visible(&top.filter, 20);
        title.push_str(&format!("· {} with “{filter}” ", table::grouped(top.rows.len() as u64)));
    }
    title.push_str(&format!("· by {} ", top.order.as_str()));
    let block = pane(title, looked, palette);
    if top.rows.is_empty() {
        let text = match (&top.bans_error, &top.view) {
            (Some(error), _) => visible(error, 300),
            (None, None) => String::new(),
            (None, Some(_)) if top.filter.is_empty() => "Nobody is banned.".to_owned(),
            (None, Some(_)) => "No ban has that; Esc shows all again.".to_owned(),
        };
        let text = Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: true });
        frame.render_widget(text.block(block), area);
        return;
    }
    let widest = top.rows.iter().map(|row| columns(&row.ban.target.to_string())).max();
    let target = u16::try_from(widest.unwrap_or(18).clamp(15, 30) + 1).unwrap_or(19);
    let number = |text: String| Cell::from(Line::from(text).alignment(Alignment::Right));
    let rows = top.rows.iter().map(|row| {
        let ban = &row.ban;
        let tone = (row.rate > 0).then_some(Tone::Bad);
        let by = ban.level.and_then(Tone::of_level);
        TableRow::new([
            Cell::from(ban.target.to_string()),
            Cell::from(left(ban, top.now)),
            number(table::grouped(ban.dropped_packets)),
            number(rate(row.rate)).style(palette.tone(tone)),
            Cell::from(format!(" {}", cut(&list::by(ban), 6))).style(palette.tone(by)),
            Cell::from(visible(&ban.reason, 200)),
        ])
    });
    let header = TableRow::new([
        Cell::from("TARGET"),
        Cell::from("LEFT"),
        number("DROPPED".to_owned()),
        number("/S".to_owned()),
        Cell::from(" BY"),
        Cell::from("REASON"),
    ])
    .style(palette.tone(Tone::Faint));
    let widths = [
        Constraint::Length(target),
        Constraint::Length(9),
        Constraint::Length(11),
        Constraint::Length(6),
        Constraint::Length(7),
        Constraint::Fill(1),
    ];
    let table = Table::new(rows, widths).header(header).block(block).row_highlight_style(CHOSEN);
    let mut state = TableState::new().with_selected(looked.then(|| top.place()));
    frame.render_stateful_widget(table, area, &mut state);
}

fn draw_alerts(frame: &mut Frame<'_>, top: &Top, palette: Palette, area: Rect) {
    let looked = top.focus == Focus::Alerts;
    let block = pane(" Latest alerts ".to_owned(), looked, palette);
    let text = match top.view.as_ref().map(|view| &view.alerts) {
        None => Some(String::new()),
        Some(Err(error)) => Some(visible(error, 200)),
        Some(Ok(alerts)) if alerts.is_empty() => Some("None of level 7 or above.".to_owned()),
        Some(Ok(_)) => None,
    };
    if let Some(text) = text {
        frame.render_widget(Paragraph::new(text).block(block), area);
        return;
    }
    let rows = top.alerts().iter().map(|alert| alert_row(alert, top, palette));
    let widths = [
        Constraint::Length(8),
        Constraint::Length(2),
        Constraint::Length(6),
        Constraint::Length(18),
        Constraint::Fill(1),
    ];
    let table = Table::new(rows, widths).block(block).row_highlight_style(CHOSEN);
    let mut state = TableState::new().with_selected(looked.then_some(top.alert));
    frame.render_stateful_widget(table, area, &mut state);
}

fn alert_row<'r>(alert: &HistoryEntry, top: &Top, palette: Palette) -> TableRow<'r> {
    let level = alert.level.map_or_else(String::new, |level| level.to_string());
    let tone = alert.level.and_then(Tone::of_level);
    let mut reason = visible(alert.reason.as_deref().unwrap_or_default(), 200);
    if let Some(why) = &alert.withheld {
        reason.push_str(&format!(" (not banned: {})", visible(why, 40)));
    }
    TableRow::new([
        Cell::from(clock(alert.at, &top.zone)).style(palette.tone(Tone::Faint)),
        Cell::from(Line::from(level).alignment(Alignment::Right)).style(palette.tone(tone)),
        Cell::from(alert.rule.map_or_else(String::new, |rule| rule.to_string())),
        Cell::from(alert.target.map_or_else(|| "-".to_owned(), |target| target.to_string())),
        Cell::from(reason),
    ])
}

fn draw_sources(frame: &mut Frame<'_>, top: &Top, palette: Palette, area: Rect) {
    let status = match top.view.as_ref().map(|view| &view.status) {
        Some(Ok(status)) => status,
        other => {
            let text = if other.is_some() { "Unknown: no daemon tells." } else { "" };
            let block = pane(" Sources ".to_owned(), false, palette);
            frame.render_widget(Paragraph::new(text).block(block), area);
            return;
        }
    };
    let room = usize::from(area.height.saturating_sub(1));
    let mut sources: Vec<&SourceStatus> = status.sources.iter().collect();
    // What needs a look comes first, what stands by last.
    sources.sort_by_key(|source| match source.state.as_str() {
        "reading" => (1, std::cmp::Reverse(source.lag_bytes)),
        "waiting" | "standby" => (2, std::cmp::Reverse(0)),
        _ => (0, std::cmp::Reverse(0)),
    });
    let more = sources.len().saturating_sub(room);
    let mut title = " Sources ".to_owned();
    if more > 0 {
        title.push_str(&format!("· {more} more "));
    }
    let name = usize::from(area.width).saturating_sub(42).max(12);
    let rows = sources.into_iter().take(room).map(|source| {
        let state = source.state.split(':').next().unwrap_or_default().to_owned();
        let tone = match state.as_str() {
            "reading" => Tone::Good,
            "error" => Tone::Bad,
            _ => Tone::Faint,
        };
        let lag = match source.lag_s.filter(|seconds| *seconds > 0) {
            Some(seconds) => table::span(std::time::Duration::from_secs(seconds)),
            None => table::bytes(source.lag_bytes),
        };
        let behind = (source.lag_bytes > 0).then_some(Tone::Odd);
        let number = |text: String| Cell::from(Line::from(text).alignment(Alignment::Right));
        TableRow::new([
            Cell::from(cut_front(&source.name, name)),
            Cell::from(state).style(palette.tone(tone)),
            number(format!("{} lines", table::grouped(source.lines))),
            number(format!("lag {lag}")).style(palette.tone(behind)),
        ])
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(8),
        Constraint::Length(18),
        Constraint::Length(13),
    ];
    frame.render_widget(Table::new(rows, widths).block(pane(title, false, palette)), area);
}

/// `16:57:48`, in the zone of who looks.
fn clock(time: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(time.as_micros()) {
        Ok(time) => time.to_zoned_datetime(zone.clone()).strftime("%H:%M:%S").to_string(),
        Err(_) => "--:--:--".to_owned(),
    }
}
