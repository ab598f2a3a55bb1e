//! The relay as configured: where it is, how to speak to it, who writes to whom.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::trust::{Authorities, authorities, secret};
use crate::config::MailConfig;

/// A relay that mail can be brought to.
#[derive(Clone, Debug)]
pub struct Relay {
    pub(super) security: Security,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) login: Option<Login>,
    pub(super) authorities: Authorities,
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
}

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Security {
    /// `smtp://`: not at all.
    Plain,
    /// `smtp+starttls://`: after the greeting, and never without.
    StartTls,
    /// `smtps://`: from the first byte.
    Tls,
}

/// Who we are to the relay; the password is read when it is needed, so that a new one needs no reload.
#[derive(Clone, Debug)]
pub(super) struct Login {
    user: String,
    password_file: PathBuf,
}

/// Why a relay or a webhook can't be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Not a URL of ours.
    #[error(
        "expected `mail.relay` like smtp://HOST:25, smtp+starttls://USER@HOST:587 or smtps://USER@HOST:465, \
         got `{relay}`"
    )]
    Url {
        /// What was given, without a password.
        relay: String,
    },
    /// A secret in the configuration.
    #[error(
        "`mail.relay` contains a password: put it into a file of its own, named by `mail.password_file`"
    )]
    PasswordInUrl,
    /// A user, and no password.
    #[error(
        "`mail.relay` names the user `{user}`: `mail.password_file` has to say where the password is"
    )]
    NoPassword {
        /// The user.
        user: String,
    },
    /// A password, and no user.
    #[error(
        "`mail.password_file` is set, but `mail.relay` names no user: write USER@ before the host"
    )]
    NoUser,
    /// The password would be readable on its way.
    #[error(
        "smtp:// would send the password to `{host}` readable for everyone: use smtp+starttls:// or smtps://"
    )]
    PasswordInClear {
        /// The relay.
        host: String,
    },
    /// A secret would be readable on its way.
    #[error("`mail.webhook` would send its secret to `{host}` readable for everyone: use https://")]
    SecretInClear {
        /// Where.
        host: String,
    },
    /// Not a webhook of ours.
    #[error("expected `mail.webhook` like https://HOST/PATH{what}")]
    Webhook {
        /// What is missing.
        what: &'static str,
    },
    /// The authorities' file can't be read.
    #[error("can't read `mail.ca_file` `{}`: {source}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No certificates in it.
    #[error("expected certificates (PEM, -----BEGIN CERTIFICATE-----) in `mail.ca_file` `{}`", path.display())]
    CaFileContent {
        /// The file.
        path: PathBuf,
    },
    /// The secret's file can't be read.
    #[error("can't read `{key}` `{}`: {source}", path.display())]
    SecretFile {
        /// What names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Everyone can read the secret.
    #[error("`{key}` `{}` is open to everyone (mode {mode:04o}): chmod 600 it", path.display())]
    SecretFileOpen {
        /// What names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// No secret in the file.
    #[error("expected a secret of one line in `{key}` `{}`", path.display())]
    SecretFileContent {
        /// What names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Not a mail address.
    #[error("expected a mail address such as root@web1.example in `mail.{key}`, got `{address}`")]
    Address {
        /// `to` or `from`.
        key: &'static str,
        /// What was given.
        address: String,
    },
    /// Nobody to write to.
    #[error("`mail.to` is empty: nobody would get the mail")]
    Nobody,
}

impl Relay {
    /// By `mail:`.
    ///
    /// # Errors
    ///
    /// What is wrong with relay, password file or addresses, and how to mend it.
    pub fn new(config: &MailConfig) -> Result<Self, RelayError> {
        let malformed = || RelayError::Url { relay: without_password(&config.relay) };
        let url = Url::parse(&config.relay).map_err(|_error| malformed())?;
        let (security, default_port) = match url.scheme() {
            "smtp" => (Security::Plain, 25),
            "smtp+starttls" => (Security::StartTls, 587),
            "smtps" => (Security::Tls, 465),
            _ => return Err(malformed()),
        };
        if url.password().is_some() {
            return Err(RelayError::PasswordInUrl);
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(malformed());
        }
        let host = match url.host() {
            // A scheme that the standard doesn't know leaves addresses as text.
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain(_)) | None => return Err(malformed()),
        };
        let user = percent_decode_str(url.username()).decode_utf8_lossy().into_owned();
        let login = match (user.is_empty(), &config.password_file) {
            (true, None) => None,
            (true, Some(_)) => return Err(RelayError::NoUser),
            (false, None) => return Err(RelayError::NoPassword { user }),
            (false, Some(_)) if security == Security::Plain && !is_loopback(&host) => {
                return Err(RelayError::PasswordInClear { host });
            }
            (false, Some(path)) => Some(Login { user, password_file: path.clone() }),
        };
        if let Some(login) = &login {
            login.credentials()?;
        }
        let to = config.to.iter().map(|to| mailbox("to", to)).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err(RelayError::Nobody);
        }
        let from = mailbox("from", &config.from)?;
        let authorities = authorities(config.ca_file.as_deref())?;
        let port = url.port().unwrap_or(default_port);
        Ok(Self { security, host, port, login, authorities, from, to })
    }
}

impl Login {
    pub(super) fn credentials(&self) -> Result<Credentials, RelayError> {
        Ok(Credentials::new(self.user.clone(), secret("mail.password_file", &self.password_file)?))
    }
}

fn mailbox(key: &'static str, address: &str) -> Result<Mailbox, RelayError> {
    address.parse().map_err(|_error| RelayError::Address { key, address: address.to_owned() })
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// What may be shown of a relay that we couldn't understand.
fn without_password(relay: &str) -> String {
    relay.rsplit_once('@').map_or_else(|| relay.to_owned(), |(_, host)| format!("...@{host}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn config(relay: &str) -> MailConfig {
        MailConfig {
            level: 7,
            immediate: 10,
            to: vec!["root@localhost".to_owned()],
            from: "Ravelin <ravelin@web1.example>".to_owned(),
            relay: relay.to_owned(),
            per_hour: 4,
            ..MailConfig::default()
        }
    }

    #[test]
    fn relays() {
        for (relay, security, host, port) in [
            ("smtp://localhost:25", Security::Plain, "localhost", 25),
            ("smtp://127.0.0.1:2525", Security::Plain, "127.0.0.1", 2525),
            ("smtp://mail.example", Security::Plain, "mail.example", 25),
            ("smtp://[::1]:26/", Security::Plain, "::1", 26),
            ("smtp+starttls://mail.example", Security::StartTls, "mail.example", 587),
            ("smtps://mail.example", Security::Tls, "mail.example", 465),
        ] {
            let made = Relay::new(&config(relay)).unwrap();
            assert_eq!(
                (made.security, made.host.as_str(), made.port),
                (security, host, port),
                "{relay}"
            );
        }
        for bad in [
            "",
            "localhost:25",
            "http://mail.example",
            "smtp://",
            "smtp://mail.example/x",
            "smtp://a:b:c",
        ] {
            let error = Relay::new(&config(bad)).unwrap_err();
            assert!(matches!(error, RelayError::Url { .. }), "{bad}: {error}");
        }
        let error = Relay::new(&config("smtps://me:secret@mail.example")).unwrap_err();
        assert!(matches!(error, RelayError::PasswordInUrl), "{error}");
        let error = Relay::new(&config("smtp:/me:secret@mail.example:x")).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn addresses() {
        for bad in ["root", "a@b\r\nBcc: c@d", "a@b, c@d", ""] {
            let with = MailConfig { to: vec![bad.to_owned()], ..config("smtp://localhost") };
            assert!(
                matches!(Relay::new(&with), Err(RelayError::Address { key: "to", .. })),
                "{bad:?}"
            );
        }
        let nobody = MailConfig { to: vec![], ..config("smtp://localhost") };
        assert!(matches!(Relay::new(&nobody), Err(RelayError::Nobody)));
    }

    #[test]
    fn passwords() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "p@ss word\n").unwrap();
        let with = |relay: &str| MailConfig {
            password_file: Some(file.path().to_owned()),
            ..config(relay)
        };
        let chmod =
            |mode| fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        chmod(0o640);
        let relay =
            Relay::new(&with("smtp+starttls://postmaster%40mg.example.com@smtp.example:587"))
                .unwrap();
        let login = relay.login.unwrap();
        assert_eq!(login.user, "postmaster@mg.example.com");
        let expected = Credentials::new(login.user.clone(), "p@ss word".to_owned());
        assert_eq!(login.credentials().unwrap(), expected);
        assert!(Relay::new(&with("smtp://me@localhost")).is_ok());
        let error = Relay::new(&with("smtp://me@mail.example")).unwrap_err();
        assert!(matches!(error, RelayError::PasswordInClear { .. }), "{error}");
        assert!(matches!(Relay::new(&with("smtps://mail.example")), Err(RelayError::NoUser)));
        let error = Relay::new(&config("smtps://me@mail.example")).unwrap_err();
        assert!(matches!(error, RelayError::NoPassword { .. }), "{error}");
        chmod(0o644);
        let error = Relay::new(&with("smtps://me@mail.example")).unwrap_err();
        assert!(error.to_string().contains("mode 0644"), "{error}");
        chmod(0o600);
        fs::write(file.path(), "\n").unwrap();
        let error = Relay::new(&with("smtps://me@mail.example")).unwrap_err();
        assert!(matches!(error, RelayError::SecretFileContent { .. }), "{error}");
    }
}
