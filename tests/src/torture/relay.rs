//! A relay that writes down what it has taken, and can be told to stop in the middle of a mail.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::line::named;
use crate::netns::Space;

/// Where the relay stops.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Stage {
    /// Before its first word.
    Greeting,
    /// Inside the mail.
    InData,
    /// It has the whole mail and doesn't say so.
    Unanswered,
    /// As before; but then it takes the mail and says 250.
    Taken,
}

/// A mail that the relay has said 250 to.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// With its brackets.
    pub(super) message_id: String,
    /// The offenders that its plain text names.
    pub(super) named: BTreeSet<IpAddr>,
}

/// The relay; its threads end with the process.
#[derive(Debug)]
pub(super) struct Relay {
    port: u16,
    desk: Arc<Desk>,
}

#[derive(Debug, Default)]
struct Desk {
    book: Mutex<Book>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Book {
    taken: Vec<Delivery>,
    /// The next who comes there waits.
    hold: Option<Stage>,
    /// Somebody waits there.
    held: Option<Stage>,
    /// Whoever waits at [`Stage::Taken`] goes on.
    answer: bool,
    /// Has been told 250 after it waited.
    answered: Option<SocketAddr>,
}

impl Relay {
    /// Listens on a port of its own on the loopback interface of `space`.
    ///
    /// # Errors
    /// Where no port can be had.
    pub(super) fn open(space: &Space) -> Result<Self> {
        let listener = space.enter(|| TcpListener::bind("127.0.0.1:0"))??;
        let port = listener.local_addr()?.port();
        let desk = Arc::<Desk>::default();
        let shared = Arc::clone(&desk);
        thread::Builder::new().name("relay".to_owned()).spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let desk = Arc::clone(&shared);
                // The daemon's death breaks connections: that is what this is for.
                thread::spawn(move || drop(desk.serve(&client)));
            }
        })?;
        Ok(Self { port, desk })
    }

    /// Where it listens.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// All that it has taken so far.
    pub(super) fn taken(&self) -> Vec<Delivery> {
        self.desk.book().taken.clone()
    }

    /// The next client waits at this stage.
    pub(super) fn hold(&self, stage: Stage) {
        let mut book = self.desk.book();
        book.hold = Some(stage);
        book.held = None;
        book.answer = false;
        book.answered = None;
        drop(book);
        self.desk.changed.notify_all();
    }

    /// Whether somebody waits there within this time.
    pub(super) fn waits(&self, limit: Duration) -> bool {
        self.desk.until(limit, |book| book.held.is_some())
    }

    /// Says 250 to whoever waits at [`Stage::Taken`]; gives the client's address once it was sent.
    ///
    /// # Errors
    /// Where nobody does.
    pub(super) fn answer(&self) -> Result<SocketAddr> {
        self.desk.book().answer = true;
        self.desk.changed.notify_all();
        if !self.desk.until(Duration::from_secs(5), |book| book.answered.is_some()) {
            bail!("nobody waited for the relay's answer");
        }
        self.desk.book().answered.context("somebody was answered")
    }

    /// Nobody waits any more.
    pub(super) fn release(&self) {
        let mut book = self.desk.book();
        book.hold = None;
        book.held = None;
        book.answer = false;
        book.answered = None;
        drop(book);
        self.desk.changed.notify_all();
    }
}

impl Desk {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until(&self, limit: Duration, wanted: impl Fn(&Book) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut book = self.book();
        while !wanted(&book) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            book = self.changed.wait_timeout(book, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits at a stage, where that is wanted; false: the connection ends here.
    fn passes(&self, stage: Stage) -> bool {
        let mut book = self.book();
        if book.hold != Some(stage) {
            return true;
        }
        book.hold = None;
        book.held = Some(stage);
        self.changed.notify_all();
        while book.held == Some(stage) && !book.answer {
            book = self.changed.wait(book).unwrap_or_else(PoisonError::into_inner);
        }
        book.answer
    }

    fn serve(&self, client: &TcpStream) -> Result<()> {
        if !self.passes(Stage::Greeting) {
            return Ok(());
        }
        let mut lines = BufReader::new(client);
        let say = |what: &str| (&*client).write_all(format!("{what}\r\n").as_bytes());
        say("220 relay.example ESMTP")?;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let verb =
                line.split([' ', '\r', '\n']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => say("250-relay.example\r\n250 8BITMIME")?,
                "DATA" => {
                    say("354 go on")?;
                    let Some(mail) = self.data(&mut lines)? else { return Ok(()) };
                    let holding = self.book().hold == Some(Stage::Taken);
                    if !self.passes(Stage::Unanswered) || !self.passes(Stage::Taken) {
                        return Ok(());
                    }
                    let delivery = delivery(&mail)?;
                    self.book().taken.push(delivery);
                    say("250 2.0.0 taken")?;
                    if holding {
                        self.book().answered = Some(client.peer_addr()?);
                    }
                    self.changed.notify_all();
                }
                "QUIT" => {
                    say("221 bye")?;
                    return Ok(());
                }
                _ => say("250 ok")?,
            }
        }
    }

    /// The mail up to its lone dot.
    fn data(&self, lines: &mut BufReader<&TcpStream>) -> Result<Option<Vec<u8>>> {
        let mut mail = Vec::new();
        loop {
            let start = mail.len();
            if lines.read_until(b'\n', &mut mail)? == 0 {
                return Ok(None);
            }
            if start == 0 && !self.passes(Stage::InData) {
                return Ok(None);
            }
            if &mail[start..] == b".\r\n" {
                mail.truncate(start);
                return Ok(Some(mail));
            }
            if mail[start] == b'.' {
                mail.remove(start);
            }
        }
    }
}

fn delivery(mail: &[u8]) -> Result<Delivery> {
    use mailparse::MailHeaderMap as _;
    let mail = mailparse::parse_mail(mail)?;
    let header = |name| mail.headers.get_first_value(name).unwrap_or_default();
    let plain = mail.parts().find(|part| part.ctype.mimetype == "text/plain");
    let text = plain.context("a mail without plain text")?.get_body()?;
    Ok(Delivery { message_id: header("Message-ID"), named: named(&text) })
}
