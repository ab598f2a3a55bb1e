//! A relay as hosted ones are: real Postfix with SASL and TLS, alone in a network namespace; and a bad line to it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};

use super::janitor::Janitor;
use super::postfix::{Mailbox, own};
use super::process::Process;
use super::server::write;
use super::unique_name;
use crate::netns::Space;

/// Postfix on loopback, with a user who may send.
#[derive(Debug)]
pub struct Submission {
    postfix: Option<Process>,
    hook: Option<Process>,
    space: Space,
    home: PathBuf,
    // Last: removes what the others ran in.
    _janitor: Janitor,
}

/// Who may send.
pub const USER: &str = "ravelin";
/// The only recipient that exists.
pub const RECIPIENT: &str = "admin@server.example";
/// Takes everything from here.
pub const PLAIN: u16 = 25;
/// STARTTLS and a login.
pub const STARTTLS: u16 = 587;
/// TLS from the first byte and a login.
pub const SMTPS: u16 = 465;
/// As [`STARTTLS`], with a certificate that is past its end.
pub const EXPIRED: u16 = 2587;
/// As [`PLAIN`], and whoever comes first is told to come again.
pub const GREY: u16 = 2025;
/// As [`PLAIN`], and takes two seconds for each recipient.
pub const SLOW: u16 = 2026;

/// A webhook, where it was started.
pub const HOOK: u16 = 8443;

const PASSWORD: &str = "correct horse";
const GREYLIST: u16 = 10023;

impl Submission {
    /// Prepares it; it doesn't run yet.
    ///
    /// # Errors
    /// Where something couldn't be made; says what.
    pub fn prepare() -> Result<Self> {
        let name = unique_name();
        let dir = std::env::temp_dir().join(&name);
        let janitor = Janitor::hire(&name, &dir)?;
        let home = dir.join("postfix");
        for folder in ["", "queue", "data", "mail", "sasl"] {
            fs::create_dir_all(home.join(folder))?;
        }
        own(&home.join("data"), "postfix")?;
        own(&home.join("mail"), "nobody")?;
        let space = Space::add(format!("{name}-relay"))?;
        certificates(&home)?;
        user(&home)?;
        write(&home.join("main.cf"), &main_cf(&home))?;
        write(&home.join("master.cf"), &master_cf(&home))?;
        write_secret(&home.join("password"), PASSWORD)?;
        write_secret(&home.join("token"), "t0ken")?;
        write_secret(&home.join("wrong"), "battery staple")?;
        Ok(Self { postfix: None, hook: None, space, home, _janitor: janitor })
    }

    /// Starts it, and returns when it listens.
    ///
    /// # Errors
    /// Where it doesn't come up.
    pub fn start(&mut self) -> Result<()> {
        greylist(&self.space)?;
        let mut command = self.space.command("/usr/sbin/postfix");
        command.arg("-c").arg(&self.home).arg("start-fg");
        let mut postfix = Process::start("postfix", &mut command, &self.home.join("postfix.out"))?;
        for port in [PLAIN, STARTTLS, SMTPS, EXPIRED, GREY, SLOW] {
            postfix.wait_for_port(port)?;
        }
        self.postfix = Some(postfix);
        Ok(())
    }

    /// Starts a web server with the relay's certificate, which takes everything at [`HOOK`].
    ///
    /// # Errors
    /// Where nginx doesn't come up.
    pub fn start_hook(&mut self) -> Result<()> {
        let home = self.home.display();
        let config = self.home.join("nginx.conf");
        write(
            &config,
            &format!(
                "daemon off;\nworker_processes 1;\npid {home}/nginx.pid;\nevents {{ worker_connections 64; }}\n\
                 http {{\n\
                 \x20 log_format hook '$status $request $http_idempotency_key $http_authorization';\n\
                 \x20 access_log {home}/hook.log hook;\n\
                 \x20 client_body_temp_path {home}/nginx-body;\n\
                 \x20 proxy_temp_path {home}/nginx-proxy;\n\
                 \x20 fastcgi_temp_path {home}/nginx-fastcgi;\n\
                 \x20 uwsgi_temp_path {home}/nginx-uwsgi;\n\
                 \x20 scgi_temp_path {home}/nginx-scgi;\n\
                 \x20 server {{\n\
                 \x20   listen 127.0.0.1:{HOOK} ssl;\n\
                 \x20   ssl_certificate {home}/relay.pem;\n\
                 \x20   ssl_certificate_key {home}/relay.key;\n\
                 \x20   location / {{ return 200 ok; }}\n\
                 \x20   location /gone/ {{ return 410; }}\n\
                 \x20 }}\n\
                 }}\n",
            ),
        )?;
        let mut command = self.space.command("/usr/sbin/nginx");
        command.arg("-e").arg(self.home.join("nginx.err")).arg("-p").arg(&self.home);
        command.arg("-c").arg(&config);
        let mut nginx = Process::start("nginx", &mut command, &self.home.join("nginx.out"))?;
        nginx.wait_for_port(HOOK)?;
        self.hook = Some(nginx);
        Ok(())
    }

    /// What the web server was asked for, a line each: status, request, Idempotency-Key, Authorization.
    ///
    /// # Errors
    /// Where its log can't be read.
    pub fn hook_log(&self) -> Result<Vec<String>> {
        Ok(fs::read_to_string(self.home.join("hook.log"))?.lines().map(str::to_owned).collect())
    }

    /// Ravelin's program with this configuration, on the relay's host.
    ///
    /// # Errors
    /// Where it wasn't built.
    pub fn ravelin(&self, args: &[&str], configuration: &str) -> Result<Output> {
        let file = self.home.join("ravelin.yaml");
        write(&file, configuration)?;
        let mut command = self.space.command(super::ravelin::program()?);
        command.args(args).arg("--config").arg(&file).stdin(Stdio::null());
        command.output().context("could not start ravelin")
    }

    /// Its network namespace.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// A file of it: `ca.pem`, `other-ca.pem`, `password`, `wrong`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Where its mail arrives.
    pub fn mailbox(&self) -> Mailbox {
        Mailbox::at(self.home.join("mail/admin/new"))
    }
}

/// What a bad line does to the first connection; all others pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    /// Ends it in the middle of the mail.
    InData,
    /// Swallows the relay's word that it has the mail.
    AfterTaken,
}

/// A line to the relay that fails once.
#[derive(Debug)]
pub struct BadLine {
    /// Where it begins.
    pub port: u16,
    connections: Arc<AtomicUsize>,
}

impl BadLine {
    /// From a port of its own to [`PLAIN`], in the calling thread's network namespace.
    ///
    /// # Errors
    /// Where no port can be had.
    pub fn lay(cut: Cut) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        // Ends with the process: nobody waits for it. Threads inherit the namespace.
        thread::Builder::new().name("bad-line".to_owned()).spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let cut = (count.fetch_add(1, Ordering::SeqCst) == 0).then_some(cut);
                // A broken connection is what this is for.
                drop(carry(&client, cut));
                drop(client.shutdown(Shutdown::Both));
            }
        })?;
        Ok(Self { port, connections })
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Line by line, in turn, as SMTP without pipelining goes.
fn carry(client: &TcpStream, cut: Option<Cut>) -> Result<()> {
    let relay = TcpStream::connect(("127.0.0.1", PLAIN))?;
    let (mut from_client, mut from_relay) = (BufReader::new(client), BufReader::new(&relay));
    let (mut to_client, mut to_relay) = (client, &relay);
    let mut line = Vec::new();
    loop {
        // An answer: up to its line without a hyphen.
        let mut last = Vec::new();
        loop {
            line.clear();
            if from_relay.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            to_client.write_all(&line)?;
            if line.get(3) != Some(&b'-') {
                last.clone_from(&line);
                break;
            }
        }
        if last.starts_with(b"354") {
            if cut == Some(Cut::InData) {
                from_client.read_exact(&mut [0; 200])?;
                return Ok(());
            }
            loop {
                line.clear();
                if from_client.read_until(b'\n', &mut line)? == 0 {
                    return Ok(());
                }
                to_relay.write_all(&line)?;
                if line == b".\r\n" {
                    break;
                }
            }
            if cut == Some(Cut::AfterTaken) {
                line.clear();
                from_relay.read_until(b'\n', &mut line)?;
                ensure!(line.starts_with(b"250"), "{}", String::from_utf8_lossy(&line));
                return Ok(());
            }
            continue;
        }
        line.clear();
        if from_client.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        to_relay.write_all(&line)?;
    }
}

/// Postfix's policy protocol: the first of everybody is put off.
fn greylist(space: &Space) -> Result<()> {
    let listener = space.enter(|| TcpListener::bind(("127.0.0.1", GREYLIST)))??;
    thread::Builder::new().name("greylist".to_owned()).spawn(move || {
        let mut seen = 0;
        for stream in listener.incoming().map_while(Result::ok) {
            for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                if line.is_empty() {
                    seen += 1;
                    let action =
                        if seen == 1 { "451 4.7.1 Greylisted, come again" } else { "DUNNO" };
                    if write!(&stream, "action={action}\n\n").is_err() {
                        break;
                    }
                }
            }
        }
    })?;
    Ok(())
}

/// An authority, a certificate of it for 127.0.0.1, one that has expired, and another authority.
fn certificates(home: &Path) -> Result<()> {
    const MAKE: &str = r#"
set -e
new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" "${@:2}"; }
new ca -x509 -days 30 -subj "/CN=lab authority" -out ca.pem
new other-ca -x509 -days 30 -subj "/CN=other authority" -out other-ca.pem
new relay -subj "/CN=relay" -out relay.csr
printf 'subjectAltName=IP:127.0.0.1\n' >san
openssl x509 -req -in relay.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile san -out relay.pem
: >index
printf '[ca]\ndefault_ca=it\n[it]\ndatabase=index\nserial=ca.srl\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n' >ca.cnf
openssl ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -in relay.csr -extfile san \
    -startdate 20200101000000Z -enddate 20200201000000Z -notext -out expired.pem
"#;
    let output = Command::new("bash")
        .args(["-c", MAKE])
        .current_dir(home)
        .stdin(Stdio::null())
        .output()
        .context("could not start bash")?;
    ensure!(
        output.status.success(),
        "no certificates: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The user in sasldb, and how smtpd finds it.
fn user(home: &Path) -> Result<()> {
    let database = home.join("sasl/sasldb2");
    let mut child = Command::new("saslpasswd2")
        .args(["-p", "-c", "-u", "server.example", "-f"])
        .arg(&database)
        .arg(USER)
        .stdin(Stdio::piped())
        .spawn()
        .context("could not start saslpasswd2 (sasl2-bin)")?;
    child.stdin.take().context("a pipe")?.write_all(PASSWORD.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "saslpasswd2 ended with {status}");
    own(&database, "postfix")?;
    write(
        &home.join("sasl/smtpd.conf"),
        &format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\nmech_list: PLAIN LOGIN\n",
            database.display()
        ),
    )
}

fn write_secret(path: &Path, secret: &str) -> Result<()> {
    write(path, &format!("{secret}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
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
         maillog_file = {home}/mail.log\n\
         maillog_file_prefixes = {home}\n\
         myhostname = server.example\n\
         mydestination =\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         mynetworks = 127.0.0.0/8\n\
         smtpd_relay_restrictions = permit_mynetworks, reject\n\
         smtpd_peername_lookup = no\n\
         alias_maps =\n\
         virtual_alias_maps =\n\
         virtual_mailbox_domains = server.example\n\
         virtual_mailbox_base = {home}/mail\n\
         virtual_mailbox_maps = inline:{{ {{ {RECIPIENT} = admin/ }} }}\n\
         virtual_minimum_uid = 1\n\
         virtual_uid_maps = static:65534\n\
         virtual_gid_maps = static:65534\n\
         smtpd_tls_cert_file = {home}/relay.pem\n\
         smtpd_tls_key_file = {home}/relay.key\n\
         smtpd_sasl_type = cyrus\n\
         smtpd_sasl_path = smtpd\n\
         cyrus_sasl_config_path = {home}/sasl\n\
         smtpd_sasl_local_domain = server.example\n\
         smtpd_soft_error_limit = 100\n\
         default_transport = error:the lab has no world outside\n",
        home = home.display(),
    )
}

fn master_cf(home: &Path) -> String {
    let login = "-o smtpd_sasl_auth_enable=yes -o smtpd_relay_restrictions=permit_sasl_authenticated,reject";
    let starttls = format!("smtpd -o smtpd_tls_security_level=encrypt {login}");
    format!(
        "{PLAIN} inet n - n - - smtpd\n\
         {STARTTLS} inet n - n - - {starttls}\n\
         {SMTPS} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes {login}\n\
         {EXPIRED} inet n - n - - {starttls} -o smtpd_tls_cert_file={home}/expired.pem\n\
         {GREY} inet n - n - - smtpd -o smtpd_recipient_restrictions=check_policy_service,inet:127.0.0.1:{GREYLIST}\n\
         {SLOW} inet n - n - - smtpd -o {{smtpd_recipient_restrictions=sleep 2}}\n\
         cleanup   unix  n - n - 0 cleanup\n\
         qmgr      unix  n - n 300 1 qmgr\n\
         rewrite   unix  - - n - - trivial-rewrite\n\
         bounce    unix  - - n - 0 bounce\n\
         defer     unix  - - n - 0 bounce\n\
         trace     unix  - - n - 0 bounce\n\
         error     unix  - - n - - error\n\
         proxymap  unix  - - n - - proxymap\n\
         anvil     unix  - - n - 1 anvil\n\
         tlsmgr    unix  - - n 1000? 1 tlsmgr\n\
         postlog   unix-dgram n - n - 1 postlogd\n\
         virtual   unix  - n n - - virtual\n",
        home = home.display(),
    )
}
