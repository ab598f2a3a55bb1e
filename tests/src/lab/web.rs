//! The server's web site (nginx), and a browser for it.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::process::Process;
use super::server::{Stage, write};

/// What the page says.
const PAGE: &str = "<!doctype html><title>Ravelin's lab</title><h1>Good morning</h1>\n";

/// What nmap's scripts call themselves.
pub const NMAP_USER_AGENT: &str =
    "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)";

/// nginx.
#[derive(Debug)]
pub(super) struct Web(Process);

impl Web {
    pub(super) fn start(stage: &Stage<'_>, dir: &Path) -> Result<Self> {
        let web = dir.join("web");
        fs::create_dir(&web)?;
        write(&web.join("index.html"), PAGE)?;
        let config = dir.join("nginx.conf");
        write(
            &config,
            &format!(
                "daemon off;\nworker_processes 1;\npid {dir}/nginx.pid;\nerror_log {dir}/nginx.err;\n\
                 events {{ worker_connections 256; }}\n\
                 http {{\n\
                 \x20 access_log {dir}/access.log;\n\
                 \x20 client_body_temp_path {dir}/nginx-body;\n\
                 \x20 proxy_temp_path {dir}/nginx-proxy;\n\
                 \x20 fastcgi_temp_path {dir}/nginx-fastcgi;\n\
                 \x20 uwsgi_temp_path {dir}/nginx-uwsgi;\n\
                 \x20 scgi_temp_path {dir}/nginx-scgi;\n\
                 \x20 default_type text/html;\n\
                 \x20 server {{ listen 80; listen [::]:80; root {dir}/web; }}\n\
                 }}\n",
                dir = dir.display(),
            ),
        )?;
        let mut nginx = stage.command("/usr/sbin/nginx");
        nginx.arg("-e").arg(dir.join("nginx.err")).arg("-p").arg(dir).arg("-c").arg(&config);
        Ok(Self(Process::start("nginx", &mut nginx, &dir.join("nginx.out"))?))
    }

    pub(super) fn wait(&mut self) -> Result<()> {
        self.0.wait_for_port(80)
    }
}

/// Fetches the server's page, from the network namespace that the calling thread is in.
///
/// # Errors
/// Where no answer came within `patience`, or another than the page.
pub fn fetch(server: IpAddr, user_agent: &str, patience: Duration) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(server, 80), patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let host = if server.is_ipv6() { format!("[{server}]") } else { server.to_string() };
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {user_agent}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(PAGE) {
        Ok(())
    } else {
        Err(io::Error::other(format!("expected the page, got {:?}", answer.lines().next())))
    }
}
