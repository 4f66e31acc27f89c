//! A server that does as it is told, also what no server should; and a line that breaks.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

/// What a client gets.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// In place of the true length; `None`: the body ends with the connection.
    pub length: Option<usize>,
    /// The connection breaks, or stalls, after so many bytes of the body.
    pub broken_after: Option<usize>,
    pub stalls: bool,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        let body = body.into();
        let length = Some(body.len());
        Reply { status, headers: Vec::new(), body, length, broken_after: None, stalls: false }
    }

    /// No answer at all.
    pub fn hangs_up() -> Reply {
        Reply::new(0, "")
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn announcing(mut self, length: Option<usize>) -> Reply {
        self.length = length;
        self
    }

    pub fn cut_after(mut self, bytes: usize) -> Reply {
        self.broken_after = Some(bytes);
        self
    }

    pub fn stalling_after(mut self, bytes: usize) -> Reply {
        self.broken_after = Some(bytes);
        self.stalls = true;
        self
    }
}

type Script = Arc<dyn Fn(&Request, usize) -> Reply + Send + Sync>;

/// Answers by a script, which is given each request and how many of the same method and path there were before.
pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    end: Arc<AtomicBool>,
    socket: SocketAddr,
}

impl Server {
    pub fn start(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let end = Arc::new(AtomicBool::new(false));
        let script: Script = Arc::new(script);
        let (all, ended) = (requests.clone(), end.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (script, all, ended) = (script.clone(), all.clone(), ended.clone());
                thread::spawn(move || drop(serve(stream, &script, &all, &ended)));
            }
        });
        Server { address: socket.to_string(), requests, end, socket }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn count(&self, method: &str, part: &str) -> usize {
        self.requests().iter().filter(|r| r.method == method && r.path.contains(part)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.socket));
    }
}

fn serve(
    stream: TcpStream,
    script: &Script,
    all: &Mutex<Vec<Request>>,
    ended: &AtomicBool,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(request) = read_request(&mut reader)? {
        let nth = {
            let mut all = all.lock().unwrap();
            let same = |other: &&Request| other.method == request.method && other.path == request.path;
            let nth = all.iter().filter(same).count();
            all.push(request.clone());
            nth
        };
        let reply = script(&request, nth);
        if reply.status == 0 {
            return stream.shutdown(Shutdown::Both);
        }
        let mut head = format!("HTTP/1.1 {} Status\r\n", reply.status);
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        match reply.length {
            Some(length) => head += &format!("Content-Length: {length}\r\n"),
            None => head += "Connection: close\r\n",
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        if request.method == "HEAD" {
            continue;
        }
        let whole = reply.body.len();
        stream.write_all(&reply.body[..reply.broken_after.unwrap_or(whole).min(whole)])?;
        stream.flush()?;
        while reply.stalls && !ended.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
        if reply.broken_after.is_some() || reply.length != Some(whole) {
            return stream.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, path) =
        (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { method, path, headers, body }))
}

/// A line to a real server that breaks: each of its first `breaks` connections after so many bytes from the client.
pub struct Line {
    pub address: String,
    pub broken: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
    socket: SocketAddr,
}

impl Line {
    pub fn start(to: &str, after: u64, breaks: usize) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = listener.local_addr().unwrap();
        let broken = Arc::new(AtomicUsize::new(0));
        let end = Arc::new(AtomicBool::new(false));
        let (to, count, ended) = (to.to_owned(), broken.clone(), end.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(server), count) = (TcpStream::connect(&to), count.clone()) else { return };
                let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || {
                    drop(std::io::copy(&mut back_from, &mut back_to));
                    drop(back_to.shutdown(Shutdown::Both));
                });
                thread::spawn(move || {
                    let limit = if count.load(Ordering::SeqCst) < breaks { after } else { u64::MAX };
                    let mut limited = (&client).take(limit);
                    let copied = std::io::copy(&mut limited, &mut &server).unwrap_or(0);
                    if copied == limit {
                        count.fetch_add(1, Ordering::SeqCst);
                        drop(client.shutdown(Shutdown::Both));
                    }
                    drop(server.shutdown(Shutdown::Both));
                });
            }
        });
        Line { address: socket.to_string(), broken, end, socket }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.socket));
    }
}
