//! Postfix on the server, and the mailbox that it delivers to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::process::Process;
use super::server::{Stage, write};
use super::wait::until;

/// Who reads the server's mail.
pub(super) const ADMIN: &str = "admin@server.example";

/// Postfix, listening on the server's loopback addresses.
#[derive(Debug)]
pub(super) struct Postfix(Process);

impl Postfix {
    pub(super) fn start(stage: &Stage<'_>, dir: &Path) -> Result<Self> {
        let home = dir.join("postfix");
        for folder in ["", "queue", "data", "mail"] {
            fs::create_dir(home.join(folder))?;
        }
        own(&home.join("data"), "postfix")?;
        own(&home.join("mail"), "nobody")?;
        write(&home.join("main.cf"), &main_cf(&home))?;
        write(&home.join("master.cf"), MASTER_CF)?;
        let mut postfix = stage.command("/usr/sbin/postfix");
        postfix.arg("-c").arg(&home).arg("start-fg");
        Ok(Self(Process::start("postfix", &mut postfix, &home.join("postfix.out"))?))
    }

    pub(super) fn wait(&mut self) -> Result<()> {
        self.0.wait_for_port(25)
    }
}

/// A mailbox of one file a mail.
#[derive(Debug)]
pub struct Mailbox(PathBuf);

impl Mailbox {
    pub(super) fn of(dir: &Path) -> Self {
        Self::at(dir.join("postfix/mail/admin/new"))
    }

    pub(super) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// All mails that have arrived, oldest first.
    ///
    /// # Errors
    /// Where the mailbox can't be read or holds something that is no mail.
    pub fn mails(&self) -> Result<Vec<Mail>> {
        if !fs::exists(&self.0)? {
            return Ok(Vec::new());
        }
        let mut files = fs::read_dir(&self.0)?
            .map(|entry| {
                let path = entry?.path();
                Ok((fs::metadata(&path)?.modified()?, path))
            })
            .collect::<Result<Vec<_>>>()?;
        files.sort();
        files
            .into_iter()
            .map(|(_, path)| {
                Mail::read(&fs::read(&path)?)
                    .with_context(|| format!("{} is no mail", path.display()))
            })
            .collect()
    }

    /// Waits for a mail that `wanted` knows.
    ///
    /// # Errors
    /// Where none has come after half a minute; tells what came instead.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Mail) -> bool) -> Result<Mail> {
        until(&format!("a mail {what}"), Duration::from_secs(30), || {
            Ok(self.mails()?.into_iter().find(|mail| wanted(mail)))
        })
        .with_context(|| match self.mails() {
            Ok(mails) => format!("{} other mails came", mails.len()),
            Err(error) => format!("the mailbox can't be read: {error:#}"),
        })
    }
}

/// A mail as its reader sees it.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Name and value of each header that mail programs show, and the Message-ID.
    pub headers: Vec<(String, String)>,
    /// What it says.
    pub text: String,
    /// The same as HTML, where it has that too.
    pub html: Option<String>,
}

impl Mail {
    fn read(bytes: &[u8]) -> Result<Self> {
        const SHOWN: [&str; 5] = ["From", "To", "Date", "Message-ID", "Subject"];
        let mail = mailparse::parse_mail(bytes)?;
        let headers = mail
            .headers
            .iter()
            .map(|header| (header.get_key(), header.get_value()))
            .filter(|(name, _)| SHOWN.iter().any(|shown| shown.eq_ignore_ascii_case(name)))
            .collect();
        let part = |kind: &str| mail.parts().find(|part| part.ctype.mimetype == kind);
        let text = part("text/plain").unwrap_or(&mail).get_body()?;
        let html = part("text/html").map(mailparse::ParsedMail::get_body).transpose()?;
        Ok(Self { headers, text, html })
    }

    /// The value of a header; empty where it has none.
    pub fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value.as_str())
    }
}

pub(super) fn own(path: &Path, user: &str) -> Result<()> {
    let status = std::process::Command::new("chown").arg(user).arg(path).status()?;
    anyhow::ensure!(status.success(), "chown {user} {} ended with {status}", path.display());
    Ok(())
}

fn main_cf(home: &Path) -> String {
    format!(
        "compatibility_level = 3.6\n\
         queue_directory = {home}/queue\n\
         data_directory = {home}/data\n\
         command_directory = /usr/sbin\n\
         daemon_directory = /usr/lib/postfix/sbin\n\
         mail_owner = postfix\n\
         setgid_group = postdrop\n\
         myhostname = server.example\n\
         mydestination =\n\
         inet_interfaces = loopback-only\n\
         mynetworks = 127.0.0.0/8 [::1]/128\n\
         smtpd_relay_restrictions = permit_mynetworks, reject\n\
         alias_maps =\n\
         virtual_alias_maps =\n\
         virtual_mailbox_domains = server.example\n\
         virtual_mailbox_base = {home}/mail\n\
         virtual_mailbox_maps = static:admin/\n\
         virtual_minimum_uid = 1\n\
         virtual_uid_maps = static:{nobody}\n\
         virtual_gid_maps = static:{nobody}\n\
         default_transport = error:the lab has no world outside\n",
        home = home.display(),
        nobody = 65534,
    )
}

/// What a mail passes on its way from the SMTP port into a mailbox.
const MASTER_CF: &str = "\
smtp      inet  n - n - - smtpd
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
error     unix  - - n - - error
proxymap  unix  - - n - - proxymap
anvil     unix  - - n - 1 anvil
virtual   unix  - n n - - virtual
";
