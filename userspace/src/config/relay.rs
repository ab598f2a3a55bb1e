//! `mail.relay`: `smtp://`, `smtp+starttls://` or `smtps://`, then `[user@]host[:port]`; `mail.webhook`:
//! `https://` or `http://`.

use std::net::Ipv6Addr;

use url::Url;

/// What a relay's URL says about the login.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Login {
    /// It names a user.
    pub(super) has_user: bool,
}

/// Checks a relay's URL; the error is what was expected.
pub(super) fn check(url: &str) -> Result<Login, String> {
    let (scheme, authority) = url.split_once("://").unwrap_or(("", url));
    if !matches!(scheme, "smtp" | "smtp+starttls" | "smtps") {
        return Err("expected smtp://, smtp+starttls:// or smtps:// and the relay's name".into());
    }
    let (user, server) = match authority.rsplit_once('@') {
        Some((user, server)) => (Some(user), server),
        None => (None, authority),
    };
    if let Some(user) = user {
        if user.contains(':') {
            return Err("expected no password in the URL: put it in a file that only root can \
                        read, and name that in mail.password_file"
                .into());
        }
        if user.is_empty() || user.contains(['/', '?', '#']) || !printable(user) {
            return Err("expected a user before the `@`, with @ in it written %40".into());
        }
    }
    let (host, port) = match server.strip_prefix('[') {
        Some(literal) => {
            let (host, rest) = literal
                .split_once(']')
                .filter(|(host, _)| host.parse::<Ipv6Addr>().is_ok())
                .ok_or("expected an IPv6 address between the brackets")?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some("25")))
        }
        None => match server.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (server, Some("25")),
        },
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || (!server.starts_with('[') && !host.chars().all(is_name)) {
        return Err("expected a host's name or address after the scheme, and nothing after its \
                    port"
            .into());
    }
    match port.and_then(|port| port.parse::<u16>().ok()) {
        Some(1..) => Ok(Login { has_user: user.is_some() }),
        _ => Err("expected a port from 1 to 65535 after the host's `:`".into()),
    }
}

/// Checks a webhook's URL; the error is what was expected.
pub(super) fn check_webhook(text: &str) -> Result<(), String> {
    let expected = || "expected https://HOST/PATH, as the chat service or ntfy gives it".to_owned();
    let url = Url::parse(text).map_err(|_error| expected())?;
    if !matches!(url.scheme(), "https" | "http") || !url.has_host() || url.fragment().is_some() {
        return Err(expected());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "expected no login in the URL: put the token in a file that only root can read, \
                    and name that in mail.webhook_secret_file"
                .into(),
        );
    }
    Ok(())
}

fn printable(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_three_schemes() {
        for (url, has_user) in [
            ("smtp://localhost:25", false),
            ("smtp://localhost", false),
            ("smtp+starttls://alice@mail.example:587", true),
            ("smtps://alice%40mail.example@mail.example", true),
            ("smtp://192.0.2.1", false),
            ("smtp://[2001:db8::1]:2525", false),
            ("smtp://[2001:db8::1]", false),
        ] {
            assert_eq!(check(url), Ok(Login { has_user }), "{url}");
        }
    }

    #[test]
    fn webhooks() {
        for url in ["https://chat.example/hooks/{secret}", "http://[::1]:8080/ravelin"] {
            assert_eq!(check_webhook(url), Ok(()), "{url}");
        }
        for (url, expected) in [
            ("chat.example/hooks", "https://"),
            ("ftp://chat.example", "https://"),
            ("https://", "https://"),
            ("https://user:pass@chat.example/", "mail.webhook_secret_file"),
        ] {
            let error = check_webhook(url).unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn says_what_was_expected() {
        for (url, expected) in [
            ("localhost", "smtp://, "),
            ("http://localhost", "smtp://, "),
            ("smtp://a:b@localhost", "mail.password_file"),
            ("smtp://a:@localhost", "mail.password_file"),
            ("smtp://@localhost", "a user"),
            ("smtp://a b@localhost", "a user"),
            ("smtp://", "a host's name"),
            ("smtp://a@", "a host's name"),
            ("smtp://mail.example/x", "a host's name"),
            ("smtp://mail example", "a host's name"),
            ("smtp://mail.example:", "a port"),
            ("smtp://mail.example:0", "a port"),
            ("smtp://mail.example:25/", "a port"),
            ("smtp://mail.example:65536", "a port"),
            ("smtp://[2001:db8::1", "an IPv6 address"),
            ("smtp://[mail]", "an IPv6 address"),
            ("smtp://[::1]x", "a port"),
            ("smtp://2001:db8::1", "a port"),
        ] {
            let error = check(url).unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }
}
