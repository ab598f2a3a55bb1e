//! `ravelin top`: all of it live, and by key.
//!
//! One thread draws and listens to the keyboard, one asks the daemon (or, where none lives, reads the pinned maps) and
//! does what is asked for, one listens for signals. Whatever ends it, the terminal is as before: by `q`, by SIGTERM, by
//! a panic.

mod draw;
mod feed;
mod keys;
mod prompt;
mod state;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input, KeyEvent, KeyEventKind};
use ratatui::crossterm::style::force_color_output;
use tokio::signal::unix::{SignalKind, signal};

use self::draw::Palette;
use self::feed::{Feed, Told};
use self::keys::Wish;
use self::state::Top as Screen;
use super::args::Top;
use super::look::Look;
use super::{Done, setup};
use crate::event::Timestamp;

/// The picture is drawn anew at least that often: it says what time it is, and how old what it shows.
const CLOCK: Duration = Duration::from_secs(1);

/// What the drawing thread waits for.
enum Event {
    Key(KeyEvent),
    /// The window has another size.
    Resized,
    Told(Told),
    /// The keyboard is gone, or a signal came.
    End,
    /// A thread has panicked, and said why.
    Broken,
}

/// Why nothing is drawn any more.
enum Over {
    Left,
    Broken,
}

/// Sees to it that nobody looks at a picture whose thread is dead.
struct Alarm(Sender<Event>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            // Fails only where nobody draws any more.
            self.0.send(Event::Broken).ok();
        }
    }
}

pub(super) fn run(config: Option<&Path>, args: &Top, look: Look) -> anyhow::Result<Done> {
    let config = setup::standing_config(config)?;
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        bail!(
            "`ravelin top` needs a terminal; `ravelin status` and `ravelin list` say it once, also into a pipe"
        );
    }
    let (sender, events) = mpsc::channel();
    // Before the terminal is changed: a signal that comes now has its turn, too.
    watch_signals(sender.clone())?;
    let screen = Screen::new(config.ban.ttl);
    let feed = Feed::spawn(config, args.every, {
        let alarm = Alarm(sender.clone());
        // The receiver goes when the program does.
        move |told| alarm.0.send(Event::Told(told)).is_ok()
    })
    .context("no thread to ask the daemon from")?;
    // Whether there are colours has been decided; crossterm would ask NO_COLOR once more.
    force_color_output(look.colour);
    // It also sees to it that a panic gives the terminal back before it is told.
    let terminal = ratatui::try_init().context("the terminal can't be taken over")?;
    let ended = thread::Builder::new()
        .name("keyboard".to_owned())
        .spawn(move || read_keys(&sender))
        .context("no thread for the keyboard")
        .and_then(|_| watch(terminal, screen, &events, &feed, Palette::of(look)));
    if let Ok(Over::Broken) = ended {
        // The panic has given the terminal back; a second time would write over what it said.
        bail!("a part of it failed; please report what was said before");
    }
    ratatui::try_restore().context("the terminal can't be given back: `reset` mends it")?;
    ended.map(|_left| Done::Well)
}

/// Draws whenever something has changed, until somebody wants to leave.
fn watch(
    mut terminal: DefaultTerminal,
    mut screen: Screen,
    events: &Receiver<Event>,
    feed: &Feed,
    palette: Palette,
) -> anyhow::Result<Over> {
    loop {
        screen.now = Timestamp::now();
        terminal.draw(|frame| draw::draw(frame, &mut screen, palette))?;
        // One picture for all that has come meanwhile.
        let first = match events.recv_timeout(CLOCK) {
            Ok(first) => Some(first),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(Over::Left),
        };
        for event in first.into_iter().chain(events.try_iter()) {
            match event {
                Event::Key(key) => match keys::press(&mut screen, key) {
                    Wish::Nothing => {}
                    Wish::Leave => return Ok(Over::Left),
                    Wish::Do(job) => feed.ask(job),
                },
                Event::Resized => terminal.autoresize()?,
                Event::Told(told) => screen.take(told),
                Event::End => return Ok(Over::Left),
                Event::Broken => return Ok(Over::Broken),
            }
        }
    }
}

fn read_keys(events: &Sender<Event>) {
    loop {
        let event = match event::read() {
            Ok(Input::Key(key)) if key.kind != KeyEventKind::Release => Event::Key(key),
            Ok(Input::Resize(..)) => Event::Resized,
            Ok(_) => continue,
            // The terminal has hung up.
            Err(_) => Event::End,
        };
        let over = matches!(event, Event::End);
        if events.send(event).is_err() || over {
            return;
        }
    }
}

/// SIGTERM, SIGINT and SIGHUP end it as `q` does.
fn watch_signals(events: Sender<Event>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt, mut hangup) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        )
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        // Fails only where nobody draws any more.
        events.send(Event::End).ok();
    })?;
    Ok(())
}
