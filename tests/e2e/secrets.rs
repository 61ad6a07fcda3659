//! Secrets: whatever is configured or said as one, in success and in failure, stands nowhere that the relay writes to.
//!
//! Every way to give the relay a secret is taken, with the log at its most talkative, and then everything that it has said is
//! searched for each of them. What must be found there as well shows that there was something to search.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use memchr::memmem;

use crate::support::PATIENCE;
use crate::support::http::Http;
use crate::support::http::gzip;
use crate::support::http::post;
use crate::support::http::request;
use crate::support::lines::alb;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::relay::elbow;
use crate::support::sender::Sender;
use crate::support::tls::Authority;
use crate::support::tls::Files;
use crate::support::wait_for;

/// What a secret is called, and its text. No text is part of another one or of a word that somebody else says.
type Secret = (&'static str, String);

/// The secrets of a test.
struct Secrets {
    known: Vec<Secret>,
}

impl Secrets {
    fn new() -> Self {
        Self { known: Vec::new() }
    }

    /// Makes one up, long enough for a token.
    fn new_one(&mut self, name: &'static str) -> String {
        let secret = format!("hush{:02}0f1e2d3c4b5a", self.known.len());
        self.add(name, secret.clone());
        secret
    }

    /// Takes one that is made elsewhere, and everything that says the same.
    fn add(&mut self, name: &'static str, secret: String) {
        self.known.push((name, secret));
    }

    /// The value of a header `Authorization` with a user and this secret; it is one itself.
    fn pair(&mut self, name: &'static str, scheme: &str, secret: &str) -> String {
        let pair = STANDARD.encode(format!("somebody:{secret}"));
        self.add(name, pair.clone());
        format!("{scheme} {pair}")
    }

    /// Asserts that none of them stands there, and that this does.
    #[track_caller]
    fn are_not_in(&self, place: &str, text: impl AsRef<[u8]>, has: &str) {
        let text = text.as_ref();
        let shown = String::from_utf8_lossy(text);
        assert!(memmem::find(text, has.as_bytes()).is_some(), "{place} has no {has:?}:\n{shown}");
        for (name, secret) in &self.known {
            if let Some(at) = memmem::find(text, secret.as_bytes()) {
                let around = &text[at.saturating_sub(200)..(at + 200).min(text.len())];
                panic!("{place} shows the {name} {secret:?}: … {} …", around.escape_ascii());
            }
        }
    }
}

/// A destination that answers every request with this status, and repeats in its answer what the request said in its head, as
/// a proxy may that shows a page about it.
struct Echo {
    address: SocketAddr,
    heard: Arc<Mutex<String>>,
}

impl Echo {
    #[track_caller]
    fn listening(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let heard = Arc::new(Mutex::new(String::new()));
        let keeps = heard.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let keeps = keeps.clone();
                thread::spawn(move || serve(stream.expect("a connection"), status, &keeps));
            }
        });
        Self { address, heard }
    }

    /// Waits until it has been told this.
    #[track_caller]
    fn hears(&self, text: &str) -> String {
        let heard = || Some(self.heard.lock().expect("nobody panics holding it").clone()).filter(|heard| heard.contains(text));
        wait_for(heard, || format!("nobody says {text:?}: {}", self.heard.lock().expect("nobody panics holding it")))
    }
}

/// Serves a connection until its end, however it ends.
fn serve(stream: TcpStream, status: u16, keeps: &Mutex<String>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
            length =
                line.to_lowercase().strip_prefix("content-length:").map_or(length, |text| text.trim().parse().expect("a length"));
            head += &line;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).expect("text");
        let ids = body.lines().filter_map(|line| {
            serde_json::from_str::<serde_json::Value>(line).ok()?["create"]["_id"].as_str().map(str::to_owned)
        });
        let items: Vec<_> = ids.map(|id| serde_json::json!({ "create": { "_id": id, "status": 201 } })).collect();
        let answer = match status {
            200 if head.starts_with("GET / ") => {
                serde_json::json!({ "version": { "number": "8.19.0" }, "tagline": "You Know, for Search" })
            }
            200 => serde_json::json!({ "errors": false, "items": items }),
            _ => serde_json::json!({ "error": { "type": "security_exception", "reason": head }, "status": status }),
        };
        keeps.lock().expect("nobody panics holding it").push_str(&(head + &body));
        let answer = answer.to_string();
        let head =
            format!("HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
        reader.get_mut().write_all((head + &answer).as_bytes()).ok()?;
    }
}

/// Everything that a command has said.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    String::from_utf8(output.stdout).expect("text") + &String::from_utf8(output.stderr).expect("text")
}

/// A request over HTTP/2, whose library has a log of its own; gives the status.
fn over_http2(address: SocketAddr, authorization: &str) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("the relay listens");
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        tokio::spawn(connection);
        let request = hyper::Request::post(format!("http://{address}/")).header("authorization", authorization);
        let request = request.body("text over HTTP/2\n".to_owned()).expect("a request");
        sender.send_request(request).await.expect("an answer").status().as_u16()
    })
}

/// A configuration with a secret in every place that takes one. The sink `taking` has what it sends taken; `refusing` is told 401,
/// and `nowhere` finds nobody.
struct World {
    directory: tempfile::TempDir,
    secrets: Secrets,
    authority: Authority,
    _files: Files,
    taking: Echo,
    refusing: Echo,
    token: String,
}

impl World {
    fn new() -> (Self, Setup) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut secrets = Secrets::new();
        let path = directory.path().display();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("it is ours");
        let (token, older) = (secrets.new_one("token"), secrets.new_one("older token"));
        write("tokens", &format!("{older}\n{token}\n"));
        let password = secrets.new_one("password in a variable");
        secrets.pair("basic password", "Basic", &password);
        write("password", &secrets.new_one("password in a file"));
        let (api_key, bearer) = (secrets.new_one("API key"), secrets.new_one("bearer token"));
        write("bearer", &bearer);
        let id_key = "5ec3e7".repeat(11)[..64].to_owned();
        secrets.add("id_key", id_key.clone());

        let authority = Authority::new("Authority");
        let relay = authority.relay();
        let lines = relay.key.lines().filter(|line| !line.starts_with('-'));
        lines.for_each(|line| secrets.add("private key", line.to_owned()));
        let files = Files::new(&relay);

        let (taking, refusing) = (Echo::listening(200), Echo::listening(401));
        let nobody = TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr()).expect("a free port");
        let sink = |name: &str, at: SocketAddr, more: &str| {
            format!(
                "[[sink]]\nname = \"{name}\"\ntype = \"elasticsearch\"\nhosts = [\"http://{at}\"]\nindex = \"lines\"\n{more}\n"
            )
        };
        let source = "format = \"elb\"\non_reject = \"dead_letter\"\nconfirm = \"close\"\nkeep_original = true";
        let setup = Relay::to_stdout()
            .in_directory(directory.path())
            .top(&format!("id_key = \"{id_key}\""))
            .source(source)
            .and_http(source.replace("confirm = \"close\"\n", "").as_str())
            .tables(&format!("[[source]]\nname = \"safe\"\ntype = \"http\"\naddress = \"127.0.0.1:0\"\n{}\n", files.settings("")))
            .tables("[[source]]\nname = \"beats\"\ntype = \"beats\"\naddress = \"127.0.0.1:0\"\n")
            .tables(&sink("taking", taking.address, "user = \"somebody\"\npassword = \"${PASSWORD_OF_SINK}\""))
            .tables(&sink("refusing", refusing.address, &format!("api_key = \"{api_key}\"")))
            .tables(&sink("nowhere", nobody, &format!("user = \"somebody\"\npassword_file = \"{path}/password\"")))
            .tables(&sink("bearing", refusing.address, &format!("token_file = \"{path}/bearer\"")))
            .tables(&format!(
                "[tenants]\nunknown = \"refuse\"\n[[tenant]]\nname = \"payments\"\ntoken_file = \"{path}/tokens\"\n"
            ))
            .under(&["env", "ELBOW_LOG_LEVEL=trace", &format!("PASSWORD_OF_SINK={password}")]);
        (Self { directory, secrets, authority, _files: files, taking, refusing, token }, setup)
    }

    /// `elbow` with these words and a configuration in the directory.
    fn elbow(&self, words: &str, config: &Path) -> String {
        let password = &self.secrets.known[2].1;
        said(elbow().args(words.split(' ')).arg("-c").arg(config).env("PASSWORD_OF_SINK", password))
    }
}

/// An ALB line with secrets in its URL.
fn with_query(query: &str, user: &str) -> String {
    alb(7).replace("www.example.com:443/index.html?a=", &format!("somebody:{user}@www.example.com:443/index.html?a=1&{query}"))
}

#[test]
fn no_secret_of_the_configuration_or_of_a_request_is_written_anywhere() {
    let (mut world, setup) = World::new();
    let token = world.token.clone();
    let config = setup.write_in(world.directory.path());
    let relay = setup.start();
    let mut answers = String::new();

    // Lines with secrets in them, whole and broken.
    let secrets = &mut world.secrets;
    let query = format!(
        "api_key={}&password={}&access_token={}&X-Amz-Signature={}",
        secrets.new_one("API key in a line"),
        secrets.new_one("password in a line"),
        secrets.new_one("token in a line"),
        secrets.new_one("signature in a line")
    );
    let line = with_query(&query, &secrets.new_one("user in a line"));
    let broken = format!("no such log GET https://a/?{query} and {}", &line[..300]);
    let preamble = |token: &str| format!("{{\"@elbow\":{{\"token\":\"{token}\"}}}}\n");
    let mut sender = relay.sender();
    sender.send(format!("{}{line}{broken}\n", preamble(&token)));
    sender.finish();

    // Senders that are refused: with a token that nobody has, and with one in a line that is broken.
    let wrong = secrets.new_one("wrong token of a line");
    for first in [preamble(&wrong), preamble(&wrong).replace("}}", ""), preamble(&wrong).replace("token", "tokem")] {
        let mut sender = relay.sender();
        // It may be reset while it still speaks.
        let _ = sender.try_send(&first);
        let _ = sender.try_send(&line);
        let _ = sender.ends();
    }
    let mut beats = Sender::connect(relay.lines_of("beats"));
    let _ = beats.try_send(preamble(&wrong));
    let _ = beats.ends();

    // Requests with tokens that are somebody's, and nobody's.
    let wrong = secrets.new_one("wrong token of a request");
    let ways = [
        ("Authorization", format!("Bearer {token}"), format!("Bearer {wrong}")),
        ("Authorization", secrets.pair("right password", "Basic", &token), secrets.pair("wrong password", "Basic", &wrong)),
        ("Authorization", secrets.pair("right API key", "ApiKey", &token), secrets.pair("wrong API key", "ApiKey", &wrong)),
        ("X-Elbow-Token", token.clone(), wrong.clone()),
        ("X-Amz-Firehose-Access-Key", token.clone(), wrong.clone()),
    ];
    for (name, right, wrong) in &ways {
        let taken = post(relay.web(), &[(name, right)], &line);
        assert_eq!(taken.status, 200, "{taken:?}");
        let refused = post(relay.web(), &[(name, wrong)], &line);
        refused.refused(401, "unauthorized");
        answers += &format!("{taken:?}{refused:?}");
    }
    let spelled = format!("Bearer{wrong}");
    let odd = [format!("Basic {wrong}"), format!("Digest {wrong}"), spelled, format!("Bearer {wrong} {wrong}")];
    for odd in &odd {
        answers += &format!("{:?}", post(relay.web(), &[("Authorization", odd)], "x"));
    }

    // Requests that are refused for something else, with a good token and secrets in their queries.
    let good = ("Authorization", ways[0].1.as_str());
    let mut ask = |path: &str, headers: &[(&str, &str)], body: &[u8], status: u16| {
        let answer = Http::connect(relay.web()).post(path, headers, body);
        assert_eq!(answer.status, status, "{path} {answer:?}");
        answers += &format!("{answer:?}");
    };
    ask(&format!("/?line={wrong}"), &[good], b"x", 400);
    ask(&format!("/?token={wrong}&fields={wrong}"), &[good], b"x", 400);
    ask(&format!("/?object={wrong}"), &[good], b"x", 400);
    ask("/", &[good, ("X-Elbow-Fields", &wrong)], b"x", 400);
    ask("/", &[good, ("Content-Encoding", &wrong)], b"x", 415);
    ask("/", &[good, ("Content-Encoding", "gzip")], &gzip(line.as_bytes())[..90], 400);
    ask(&format!("/_bulk?api_key={wrong}"), &[good], wrong.as_bytes(), 400);
    ask(&format!("/{wrong}/_bulk"), &[("Authorization", &odd[0])], b"{\"index\":{}}\nx\n", 401);
    let id = ("X-Amz-Firehose-Request-Id", "1");
    ask("/", &[id, good, ("X-Amz-Firehose-Common-Attributes", &wrong)], b"{}", 400);
    ask("/", &[id, ("X-Amz-Firehose-Access-Key", &wrong)], b"{}", 401);
    ask("/", &[good, ("X", &"y".repeat(40_000))], b"x", 431);
    for broken in ["Content-Length: 1\r\nContent-Length: 2\r\n", "Transfer-Encoding: gzip\r\n", "X\r\n", "X: a\nY: b\r\n"] {
        let mut http = Http::connect(relay.web());
        http.send(format!("POST /?password={wrong} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {wrong}\r\n{broken}\r\nx"));
        answers += &format!("{:?}", http.answer());
    }
    let mut http = Http::connect(relay.web());
    http.send(format!("DELETE /?password={wrong} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n"));
    answers += &format!("{:?}", http.answer());
    assert_eq!(over_http2(relay.web(), &ways[0].1), 200);
    assert_eq!(over_http2(relay.web(), &ways[0].2), 401);
    // Where TLS is spoken: none, and one that the sender does not believe.
    let mut plain = TcpStream::connect(relay.lines_of("safe")).expect("the relay listens");
    plain.set_read_timeout(Some(PATIENCE)).expect("an option");
    plain.write_all(&request("/", &[good], line.as_bytes())).expect("it reads");
    let _ = plain.read_to_end(&mut Vec::new());
    let stranger = Authority::new("Stranger").trusting(None);
    crate::support::tls::TlsSender::try_connect(relay.lines_of("safe"), &stranger).map(drop).expect_err("it is not trusted");
    let mut tls = crate::support::tls::TlsSender::connect(relay.lines_of("safe"), &world.authority.trusting(None));
    tls.send(request("/", &[good], line.as_bytes()));
    assert!(tls.line().expect("an answer").starts_with("HTTP/1.1 200 "));

    // All sinks have tried.
    world.taking.hears("REDACTED");
    world.taking.hears(&STANDARD.encode(format!("somebody:{}", world.secrets.known[2].1)));
    world.refusing.hears("ApiKey ");
    world.refusing.hears("Bearer ");
    for sink in ["refusing", "bearing", "nowhere"] {
        relay.until(|metrics| metrics.sum_where("sink_up", &format!("sink=\"{sink}\"")) == 0);
    }
    let pages: String = ["/", "/health", "/ready", "/metrics", "/none"].map(|path| relay.page(path).1).concat();
    let checked = world.elbow("check", &config);
    let letters_of_running = world.elbow("dead-letters list", &config);
    relay.terminate();
    let ended = relay.ended();
    let secrets = &world.secrets;
    secrets.are_not_in("an answer", &answers, "unauthorized");
    secrets.are_not_in("a page", &pages, "tenant=\"payments\"");
    secrets.are_not_in("elbow check", &checked, "password");
    secrets.are_not_in("the log", &ended.log_text, "refusing");
    secrets.are_not_in("the log", &ended.log_text, "TRACE");
    secrets.are_not_in("documents", ended.documents.iter().map(ToString::to_string).collect::<String>(), "REDACTED");
    secrets.are_not_in("dead letters", letters_of_running + &world.elbow("dead-letters list", &config), "");
    secrets.are_not_in("dead letters", world.elbow("dead-letters export", &config), "no such log");
    let letters = world.elbow("dead-letters list", &config);
    let address = letters.split(' ').next().expect("an address").to_owned();
    let shown = said(elbow().args(["dead-letters", "show", "-c"]).arg(&config).arg(address).env("PASSWORD_OF_SINK", "x"));
    secrets.are_not_in("a dead letter", shown, "payments");
    let data = world.directory.path().join("data");
    secrets.are_not_in("the buffer", said(elbow().args(["buffer", "dump", "--with-meta"]).arg(&data)), "REDACTED");
    for file in files_below(&data) {
        secrets.are_not_in(&file.display().to_string(), fs::read(&file).expect("it is ours"), "");
    }
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("it is ours").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// What is wrong with a configuration is shown without what is secret in it.
#[test]
fn mistakes_beside_secrets_do_not_show_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut secrets = Secrets::new();
    let secret = secrets.new_one("secret");
    let config = directory.path().join("elbow.toml");
    let sink = "[[sink]]\nname = \"s\"\ntype = \"elasticsearch\"\nhosts = [\"http://127.0.0.1:1\"]\nindex = \"i\"\n";
    let source = "[[source]]\nname = \"in\"\ntype = \"tcp\"\naddress = \"127.0.0.1:0\"\n";
    let check = |top: &str, of_source: &str, of_sink: &str, has: &str| {
        fs::write(&config, format!("{top}\n{source}{of_source}\n{sink}{of_sink}\n")).expect("it is ours");
        for word in ["check", "run"] {
            let said = said(elbow().arg(word).arg("-c").arg(&config).env("OF_SINK", format!("{secret}\u{e9}")));
            secrets.are_not_in(&format!("{word} of {top:?} {of_sink:?}"), said, has);
        }
    };
    check("", "", &format!("user = \"u\"\npassword = \"{secret}\u{e9}\""), "cannot stand in a header");
    check("", "", "user = \"u\"\npassword = \"${OF_SINK}\"", "cannot stand in a header");
    check("", "", &format!("password = \"{secret}\""), "has no user");
    check("", "", &format!("user = \"u\"\npassword = \"{secret}\"\napi_key = \"{secret}\""), "more than one way");
    check("", "", &format!("api_key = \"{secret}\"\napi_key_file = \"/nowhere\""), "given twice");
    check("", "", &format!("api_key = [\"{secret}\"]"), "api_key");
    check("", "", &format!("api_key = {{ a = \"{secret}\" }}"), "api_key");
    check("", "", &format!("hosts = [\"http://u:{secret}@127.0.0.1:1\"]"), "hosts");
    check("", "", &format!("user = \"u\"\npasswort = \"{secret}\""), "passwort");
    check("", "", &format!("token = \"{secret}\"\ntoken = \"{secret}\""), "token");
    check("", "", &format!("token = \"{secret}"), "elbow.toml");
    check("", "", &format!("token = {secret}"), "elbow.toml");
    check("", "", &format!("token = \"{secret}\\q\""), "elbow.toml");
    check("", "", &format!("token = \"${{{secret}\""), "elbow.toml");
    check("", "", &format!("token = \"${{NOT_SET}}{secret}\""), "NOT_SET");
    check("", "", &format!("headers = {{ Authorization = \"Bearer {secret}\" }}"), "headers");
    check("", "", &format!("header = {{ X-Auth = \"{secret}\" }}"), "header");
    check("", "", &format!("headers = {{ \"X Bad\" = \"{secret}\" }}"), "headers");
    check("", "", &format!("headers = \"X-Auth: {secret}\""), "headers");
    check("", "", &format!("[sink.headers]\nCookie = \"{secret}\nX = 1"), "elbow.toml");
    check("", "", &format!("user = \"u\"\npasword = \"{secret}\""), "did you mean password?");
    check("", "", &format!("tokn = \"{secret}\""), "did you mean token?");
    check("", "", &format!("user = \"u:{secret}\"\npassword = \"p\""), "has a colon");
    check("", "", "user = \"u:${OF_SINK}\"\npassword = \"p\"", "has a colon");
    check("", "", &format!("hosts = [\"https://h/x?key={secret}\"]"), "hosts");
    let tcp = "[[sink]]\nname = \"t\"\ntype = \"logstash_tcp\"\nhosts = ";
    check("", "", &format!("{tcp}[\"u:{secret}@h:5000\"]"), "hosts");
    check("", "", &format!("{tcp}[\"u:${{OF_SINK}}@h:5000\"]"), "it reads");
    check(&format!("id_key = \"{secret}\""), "", "", "id_key");
    check(&format!("id_key = [\"{secret}\"]"), "", "", "id_key");
}

/// A flag and a variable are repeated where they are wrong, but not what is secret in them.
#[test]
fn secrets_in_what_is_given_are_not_repeated() {
    let mut secrets = Secrets::new();
    let secret = secrets.new_one("secret");
    for to in [
        format!("logstash://u:{secret}@a:5000"),
        format!("logstash://u:a,{secret}@a:5000"),
        format!("logstash-http://u:{secret}@a"),
        format!("lumberjack://u:{secret}@a:5044"),
        format!("kafka://u:{secret}@x"),
        format!("opensearch://u:{secret}@a:9200"),
        format!("elasticsearch://https://u:{secret}@a/index"),
        format!("http://u:{secret}@a/"),
        format!("kafka://x?password={secret}"),
    ] {
        secrets.are_not_in("check --to", said(elbow().args(["check", "--to", &to])), "mistake");
        secrets.are_not_in("ELBOW_TO", said(elbow().arg("check").env("ELBOW_TO", &to)), "ELBOW_TO");
    }
}

#[test]
#[should_panic(expected = "the log shows the token")]
fn a_planted_secret_is_found() {
    let mut secrets = Secrets::new();
    let token = secrets.new_one("token");
    secrets.are_not_in("the log", format!("a token \"{token}\" is nobody's"), "nobody's");
}
