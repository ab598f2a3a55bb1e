//! What went wrong with a relay or a webhook, and what to do about it.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::CertificateError;

/// What went wrong, as far as somebody can do something about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The name has no address.
    Unresolved,
    /// Nobody listens there.
    NobodyThere,
    /// No answer in time.
    Silent,
    /// The connection ended in the middle.
    Cut,
    /// The certificate is past its end.
    Expired,
    /// The certificate isn't valid yet.
    NotYetValid,
    /// Nobody we trust signed the certificate.
    UnknownAuthority,
    /// The certificate is another host's.
    OtherHost,
    /// TLS fails otherwise.
    Tls,
    /// The relay has no STARTTLS.
    NoStartTls,
    /// User or password are wrong.
    LoginRefused,
    /// Nothing goes without TLS.
    TlsWanted,
    /// Nothing goes without a login.
    LoginWanted,
    /// The relay offers no way to log in that we know.
    NoMechanism,
    /// The password or token can't be read.
    Secret,
    /// The sender isn't welcome.
    Sender,
    /// A recipient isn't welcome.
    Recipient,
    /// The relay asks us to come back: greylisting, a full disk, too many mails.
    Later,
    /// The mail itself isn't welcome.
    Content,
    /// There is no such webhook.
    NoSuchHook,
    /// The webhook wants another token.
    TokenRefused,
    /// The webhook is elsewhere.
    Moved,
    /// An answer that tells nothing more.
    Other,
}

impl Fault {
    /// What to do about it, in a sentence.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Unresolved => {
                "the name has no address: check its spelling, and that this host can resolve names (`getent hosts NAME`)"
            }
            Self::NobodyThere => {
                "nobody answers at this address and port: is the service running, and is the port right (25, 587 with smtp+starttls://, 465 with smtps://)"
            }
            Self::Silent => {
                "nothing came back in time: a firewall may swallow the connection (many providers block port 25; use 587 with smtp+starttls://)"
            }
            Self::Cut => {
                "the other side ended the connection: its log says why; port and scheme may not fit together (465 is smtps://, 587 is smtp+starttls://)"
            }
            Self::Expired => {
                "its certificate is past its end: renew it there; if it isn't, set this host's clock"
            }
            Self::NotYetValid => "its certificate begins in the future: set this host's clock",
            Self::UnknownAuthority => {
                "nobody this host trusts has signed its certificate: name the authority's certificate in mail.ca_file, or install the ca-certificates package"
            }
            Self::OtherHost => {
                "its certificate is for another name: use the name that stands in the certificate"
            }
            Self::Tls => {
                "TLS doesn't come about: port and scheme may not fit together (465 is smtps://, 587 is smtp+starttls://)"
            }
            Self::NoStartTls => {
                "the relay offers no STARTTLS, and nothing is sent without: use the port that has it (587), smtps:// (465), or smtp:// inside a network you trust"
            }
            Self::LoginRefused => {
                "the relay doesn't take this user with this password: check the user in mail.relay and the line in mail.password_file"
            }
            Self::TlsWanted => {
                "the relay wants TLS: write smtp+starttls:// in mail.relay (smtps:// for port 465)"
            }
            Self::LoginWanted => {
                "the relay wants a login: write USER@ before the host in mail.relay, and name the password's file in mail.password_file"
            }
            Self::NoMechanism => {
                "the relay offers neither AUTH PLAIN nor LOGIN on this connection: use smtp+starttls:// or smtps://, and check the relay's SASL"
            }
            Self::Secret => "give the daemon a secret file that it, and not everybody, can read",
            Self::Sender => {
                "the relay doesn't take mail from this sender: set mail.from to an address that it lets you send from"
            }
            Self::Recipient => {
                "the relay doesn't take mail for this recipient: check mail.to, and whether the relay relays for this host at all"
            }
            Self::Later => {
                "the relay asks to come back later (greylisting, a full disk, too many mails): that is tried by itself"
            }
            Self::Content => {
                "the relay doesn't take the mail itself: what it said, and its log, say why"
            }
            Self::NoSuchHook => {
                "there is no such webhook: make a new one there, and set mail.webhook to its URL"
            }
            Self::TokenRefused => {
                "the webhook doesn't take this token: check the line in mail.webhook_secret_file"
            }
            Self::Moved => "the webhook has moved: set mail.webhook to its new URL",
            Self::Other => "what was answered, and the log on the other side, say why",
        }
    }

    /// What an error of the connection means; `None` where it tells nothing.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                // `source` would skip what it wraps.
                let inner = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                return inner.map(Self::of_tls).or_else(|| Self::of_io(io));
            }
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::of_tls(tls));
            }
            next = error.source();
        }
        None
    }

    fn of_tls(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(why) = error else { return Self::Tls };
        match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherHost
            }
            _ => Self::Tls,
        }
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        match error.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable => Some(Self::NobodyThere),
            ErrorKind::TimedOut => Some(Self::Silent),
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => Some(Self::Cut),
            // The resolver's errors have no kind of their own.
            _ if error.to_string().contains("failed to lookup address") => Some(Self::Unresolved),
            _ => None,
        }
    }
}
