//! What a key does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::feed::Job;
use super::prompt::{Prompt, Purpose};
use super::state::{Focus, Mode, Top};

/// Lines of a page.
const PAGE: isize = 10;

/// What a key leads to beside what is on the screen.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Wish {
    Nothing,
    Leave,
    Do(Job),
}

/// A key is pressed.
pub(super) fn press(top: &mut Top, key: KeyEvent) -> Wish {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Wish::Leave,
            KeyCode::Char('u') => {
                match &mut top.mode {
                    Mode::Asking(prompt) => prompt.clear(),
                    Mode::Filtering => {
                        top.filter.clear();
                        top.arrange();
                    }
                    _ => {}
                }
                Wish::Nothing
            }
            _ => Wish::Nothing,
        };
    }
    match &mut top.mode {
        Mode::Looking => look(top, key.code),
        Mode::Filtering => filter(top, key.code),
        Mode::Asking(_) => ask(top, key.code),
        Mode::Confirming(_) => confirm(top, key.code),
        Mode::Reading { from, lines, .. } => {
            let last = u16::try_from(lines.len().saturating_sub(1)).unwrap_or(u16::MAX);
            match key.code {
                KeyCode::Up | KeyCode::Char('k') => *from = from.saturating_sub(1),
                KeyCode::Down | KeyCode::Char('j') => *from = from.saturating_add(1).min(last),
                KeyCode::PageUp => *from = from.saturating_sub(10),
                KeyCode::PageDown | KeyCode::Char(' ') => *from = from.saturating_add(10).min(last),
                KeyCode::Home | KeyCode::Char('g') => *from = 0,
                KeyCode::End | KeyCode::Char('G') => *from = last,
                KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | 'e') => {
                    top.mode = Mode::Looking;
                }
                _ => {}
            }
            Wish::Nothing
        }
        Mode::Help => {
            top.mode = Mode::Looking;
            Wish::Nothing
        }
    }
}

fn look(top: &mut Top, key: KeyCode) -> Wish {
    match key {
        KeyCode::Char('q') => return Wish::Leave,
        KeyCode::Esc if !top.filter.is_empty() => {
            top.filter.clear();
            top.arrange();
        }
        KeyCode::Up | KeyCode::Char('k') => top.step(-1),
        KeyCode::Down | KeyCode::Char('j') => top.step(1),
        KeyCode::PageUp => top.step(-PAGE),
        KeyCode::PageDown => top.step(PAGE),
        KeyCode::Home | KeyCode::Char('g') => top.step(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => top.step(isize::MAX),
        KeyCode::Tab | KeyCode::BackTab => {
            top.focus = match top.focus {
                Focus::Bans => Focus::Alerts,
                Focus::Alerts => Focus::Bans,
            };
        }
        KeyCode::Char('/') => {
            top.focus = Focus::Bans;
            top.mode = Mode::Filtering;
        }
        KeyCode::Char('s') => {
            top.order = top.order.next();
            top.arrange();
        }
        KeyCode::Char('?' | 'h') => top.mode = Mode::Help,
        KeyCode::Char('b') => {
            // Whoever is listed as banned already needn't be once more.
            let whom = match top.focus {
                Focus::Alerts => top.target().map(|target| format!("{target} ")),
                Focus::Bans => None,
            };
            top.mode = Mode::Asking(Prompt::new(Purpose::Ban, whom.unwrap_or_default()));
        }
        KeyCode::Char('a') => {
            let whom = top.target().map(|target| format!("{target} ")).unwrap_or_default();
            top.mode = Mode::Asking(Prompt::new(Purpose::Allow, whom));
        }
        KeyCode::Char('u') | KeyCode::Delete => {
            if let Some(target) = top.target() {
                top.mode = Mode::Confirming(Job::Unban(target));
            }
        }
        KeyCode::Enter | KeyCode::Char('e') => {
            if let Some(target) = top.target() {
                top.busy = true;
                return Wish::Do(Job::Show(target));
            }
        }
        _ => {}
    }
    Wish::Nothing
}

fn filter(top: &mut Top, key: KeyCode) -> Wish {
    match key {
        KeyCode::Enter => top.mode = Mode::Looking,
        KeyCode::Esc => {
            top.filter.clear();
            top.mode = Mode::Looking;
        }
        KeyCode::Backspace => {
            top.filter.pop();
        }
        KeyCode::Up => top.step(-1),
        KeyCode::Down => top.step(1),
        KeyCode::Char(char) if top.filter.len() < 60 => top.filter.push(char),
        _ => {}
    }
    top.arrange();
    Wish::Nothing
}

fn ask(top: &mut Top, key: KeyCode) -> Wish {
    let Mode::Asking(prompt) = &mut top.mode else { return Wish::Nothing };
    match key {
        KeyCode::Esc => top.mode = Mode::Looking,
        KeyCode::Backspace => prompt.pop(),
        KeyCode::Char(char) => prompt.push(char),
        KeyCode::Enter => match prompt.job(top.usual) {
            Ok(job) => top.mode = Mode::Confirming(job),
            Err(wrong) => prompt.wrong = Some(wrong),
        },
        _ => {}
    }
    Wish::Nothing
}

/// Only a `y` is a yes.
fn confirm(top: &mut Top, key: KeyCode) -> Wish {
    match std::mem::replace(&mut top.mode, Mode::Looking) {
        Mode::Confirming(job) if matches!(key, KeyCode::Char('y' | 'Y')) => {
            top.busy = true;
            Wish::Do(job)
        }
        _ => Wish::Nothing,
    }
}
