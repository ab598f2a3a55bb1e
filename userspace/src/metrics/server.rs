//! The least of an HTTP server that a scrape needs: one request a connection, a few connections, each for a short
//! time. [`httparse`] reads the request; a whole server would bring more code than it saves, and more to attack.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use super::CONTENT_TYPE;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 8;
/// A request has come and its answer gone by then.
const PATIENCE: Duration = Duration::from_secs(5);
/// A request's head.
const HEAD: usize = 8 * 1024;
/// Headers in it.
const HEADERS: usize = 64;
/// Whoever asks again within that time gets the same: no flood of scrapes keeps the daemon busy.
const FRESH: Duration = Duration::from_secs(1);

/// Listens there.
///
/// # Errors
/// What the system says.
pub async fn bind(at: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(at).await
}

/// Serves until dropped. `measure` gives the metrics, or nothing where the daemon is too busy or ending.
pub async fn serve<M, F>(listener: TcpListener, measure: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Option<String>> + Send,
{
    let told = Arc::new(Told { last: Mutex::new(None), measure });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let told = Arc::clone(&told);
                tokio::spawn(async move {
                    match timeout(PATIENCE, answer(stream, &told)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => {
                            tracing::debug!(%error, "Who asked for metrics broke off.");
                        }
                        Err(_) => tracing::debug!("Who asked for metrics took too long."),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: another try at once would spin.
                tracing::warn!(%error, "The metrics' port can't accept a connection.");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// What was told last, and when.
struct Told<M> {
    last: Mutex<Option<(Instant, Arc<str>)>>,
    measure: M,
}

impl<M: Fn() -> F, F: Future<Output = Option<String>>> Told<M> {
    async fn metrics(&self) -> Option<Arc<str>> {
        let mut last = self.last.lock().await;
        if let Some((at, text)) = &*last
            && at.elapsed() < FRESH
        {
            return Some(Arc::clone(text));
        }
        let text: Arc<str> = (self.measure)().await?.into();
        *last = Some((Instant::now(), Arc::clone(&text)));
        Some(text)
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    Metrics,
    /// The same without its body.
    Head,
    /// `/`: for people who look where they are.
    Root,
    NotFound,
    WrongMethod,
    NotHttp,
}

async fn answer<M, F>(mut stream: TcpStream, told: &Told<M>) -> io::Result<()>
where
    M: Fn() -> F,
    F: Future<Output = Option<String>>,
{
    let mut head = Vec::with_capacity(1024);
    let asked = loop {
        match read_request(&head) {
            Some(asked) => break asked,
            None if head.len() >= HEAD => break Asked::NotHttp,
            None => {}
        }
        let room = HEAD - head.len();
        if (&mut stream).take(room as u64).read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let (status, kind, body): (&str, &str, Arc<str>) = match asked {
        Asked::Metrics | Asked::Head => match told.metrics().await {
            Some(text) => ("200 OK", CONTENT_TYPE, text),
            None => ("503 Service Unavailable", PLAIN, "The daemon doesn't answer.\n".into()),
        },
        Asked::Root => ("200 OK", PLAIN, "Ravelin's metrics are at /metrics.\n".into()),
        Asked::NotFound => ("404 Not Found", PLAIN, "Here is /metrics and nothing else.\n".into()),
        Asked::WrongMethod => ("405 Method Not Allowed", PLAIN, "Here is GET only.\n".into()),
        Asked::NotHttp => ("400 Bad Request", PLAIN, "This isn't a request.\n".into()),
    };
    let allow = if asked == Asked::WrongMethod { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{allow}\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if asked != Asked::Head {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// What the head of a request asks for; nothing as long as it isn't whole.
fn read_request(head: &[u8]) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => None,
        Ok(httparse::Status::Complete(_)) => {
            let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default();
            Some(match (request.method.unwrap_or_default(), path) {
                ("GET", "/metrics") => Asked::Metrics,
                ("HEAD", "/metrics") => Asked::Head,
                ("GET", "/") => Asked::Root,
                ("GET" | "HEAD", _) => Asked::NotFound,
                _ => Asked::WrongMethod,
            })
        }
        Err(_) => Some(Asked::NotHttp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn serving() -> (tokio::runtime::Runtime, SocketAddr, Arc<AtomicU32>) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(bind("127.0.0.1:0".parse().unwrap())).unwrap();
        let at = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        runtime.spawn(serve(listener, move || {
            let times = counter.fetch_add(1, Ordering::SeqCst);
            async move { (times < 100).then(|| format!("x {times}\n")) }
        }));
        (runtime, at, asked)
    }

    fn said(at: SocketAddr, request: &[u8]) -> String {
        let mut stream = net::TcpStream::connect(at).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_scrape_is_answered_and_nothing_else() {
        let (_runtime, at, asked) = serving();
        let metrics = said(at, b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(metrics.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4;"));
        assert!(metrics.contains("Content-Length: 4\r\n") && metrics.ends_with("\r\n\r\nx 0\n"));
        let head = said(at, b"HEAD /metrics HTTP/1.0\r\n\r\n");
        assert!(head.contains("Content-Length: 4\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "asked again at once, it says the same");
        for (request, status) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "200 OK"),
            (b"GET /etc/passwd HTTP/1.1\r\n\r\n", "404 Not Found"),
            (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405 Method Not Allowed"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400 Bad Request"),
        ] {
            let answer = said(at, request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        }
    }

    #[test]
    fn a_request_that_comes_in_pieces_is_read() {
        let (_runtime, at, _) = serving();
        let mut stream = net::TcpStream::connect(at).unwrap();
        for piece in [&b"GET /met"[..], b"rics HTTP/1.1\r\nHost", b": x\r\n", b"\r\n"] {
            stream.write_all(piece).unwrap();
            stream.flush().unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let (_runtime, at, _) = serving();
        let mut stream = net::TcpStream::connect(at).unwrap();
        let mut request = b"GET /metrics HTTP/1.1\r\nX: ".to_vec();
        request.resize(HEAD, b'a');
        stream.write_all(&request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    }

    #[test]
    fn those_who_say_nothing_dont_keep_others_out_for_long() {
        let (_runtime, at, _) = serving();
        let idle: Vec<_> = (0..CONNECTIONS).map(|_| net::TcpStream::connect(at).unwrap()).collect();
        // Waits for a place; hung up on by patience, not by a broken pipe.
        let answer = said(at, b"GET /metrics HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        drop(idle);
    }
}
