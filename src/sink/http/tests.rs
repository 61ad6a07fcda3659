//! The client against a peer that does exactly what is written.

use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::*;
use crate::secret::Secret;
use crate::sink::Verdict;
use crate::sink::http::answer::INTERIM_MAX;
use crate::sink::http::answer::WHOLE_MAX;

/// What a peer does on a connection, one after the other.
#[derive(Clone, Copy)]
enum Turn {
    /// Reads a request and says this.
    Says(&'static str),
    /// Says this as soon as a request's head is there, and reads no more.
    SaysEarly(&'static str),
    /// Reads a request and says this, and then the same byte for as long as somebody listens.
    SaysWithoutEnd(&'static str),
    /// Reads a request and says nothing, for ever.
    IsSilent,
    /// Reads a request and closes.
    HangsUp,
    /// Closes.
    Closes,
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A peer and what it was sent: on which connection, and the request.
struct Peer {
    address: String,
    requests: Arc<Mutex<Vec<(usize, String)>>>,
    _task: AbortOnDropHandle<()>,
}

impl Peer {
    /// One that takes these connections, each of which does its turns and then stays open.
    async fn new(connections: &[&[Turn]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::default());
        let turns: Vec<Vec<Turn>> = connections.iter().map(|turns| turns.to_vec()).collect();
        let kept = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            for (number, turns) in turns.into_iter().enumerate() {
                let (stream, _) = listener.accept().await.unwrap();
                serving.spawn(serve(stream, number, turns, Arc::clone(&kept)));
            }
            drop(listener);
            while serving.join_next().await.is_some() {}
        });
        Self { address, requests, _task: AbortOnDropHandle::new(task) }
    }

    fn requests(&self) -> Vec<(usize, String)> {
        self.requests.lock().unwrap().clone()
    }

    /// The connections that requests came on.
    fn used(&self) -> Vec<usize> {
        self.requests().iter().map(|(connection, _)| *connection).collect()
    }
}

async fn serve(mut stream: TcpStream, number: usize, turns: Vec<Turn>, requests: Arc<Mutex<Vec<(usize, String)>>>) {
    for turn in turns {
        if matches!(turn, Turn::Closes) {
            return;
        }
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let mut text = String::from_utf8(head).unwrap();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        if let Turn::SaysEarly(answer) = turn {
            requests.lock().unwrap().push((number, text));
            stream.write_all(answer.as_bytes()).await.unwrap();
            continue;
        }
        stream.read_exact(&mut body).await.unwrap();
        text.push_str(&String::from_utf8(body).unwrap());
        requests.lock().unwrap().push((number, text));
        match turn {
            Turn::Says(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Turn::SaysWithoutEnd(head) => {
                stream.write_all(head.as_bytes()).await.unwrap();
                let more = vec![b'x'; 1 << 20];
                while stream.write_all(&more).await.is_ok() {}
                return;
            }
            Turn::HangsUp => return,
            _ => std::future::pending().await,
        }
    }
    // It is the other side that ends it.
    let _ = stream.read(&mut [0]).await;
}

fn client(hosts: &[&Peer]) -> HttpClient {
    changed_client(hosts, |_| {})
}

fn changed_client(hosts: &[&Peer], change: impl FnOnce(&mut HttpPlan)) -> HttpClient {
    let hosts = hosts.iter().map(|peer| HttpHost { address: peer.address.clone(), prefix: String::new() }).collect();
    let dial = DialPlan { connect_timeout: Duration::from_secs(5), user_timeout: Duration::from_secs(30), tls: None };
    let request_timeout = Duration::from_secs(20);
    let mut plan = HttpPlan { hosts, dial, request_timeout, auth: Auth::None, headers: Vec::new() };
    change(&mut plan);
    let dialer = Dialer::new(&plan.dial, None);
    HttpClient::new(plan, dialer)
}

fn question(body: impl Into<Vec<u8>>) -> Question {
    Question {
        method: Method::POST,
        target: "/in".to_owned(),
        content_type: None,
        encoding: None,
        body: Content::from(body.into()),
        answer_max: 10,
        may_say_more: false,
        news: None,
    }
}

/// The status of the answer to one question.
async fn ask(client: &HttpClient, state: &SinkState) -> Result<u16, SinkError> {
    client.ask(&question("x"), state).await.map(|answer| answer.status.as_u16())
}

fn state() -> SinkState {
    SinkState::new("sink")
}

/// Until what the peer did has come.
async fn moment() {
    sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let peer = Peer::new(&[&[
        Turn::Says(OK),
        Turn::Says(OK),
        Turn::Says("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
        Turn::Says(OK),
    ]])
    .await;
    let (client, state) = (client(&[&peer]), state());
    for want in [200, 200, 503, 200] {
        assert_eq!(ask(&client, &state).await.unwrap(), want);
    }
    assert_eq!(peer.used(), [0, 0, 0, 0]);
    assert_eq!(state.counts().connections, 1);
}

#[tokio::test]
async fn a_connection_that_the_peer_is_to_close_is_not_used_again() {
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let old = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n";
    let peer = Peer::new(&[&[Turn::Says(closing)], &[Turn::Says(old)], &[Turn::Says(OK)]]).await;
    let (client, state) = (client(&[&peer]), state());
    for _ in 0..3 {
        assert_eq!(ask(&client, &state).await.unwrap(), 200);
    }
    assert_eq!(peer.used(), [0, 1, 2]);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_is_no_failure() {
    let peer = Peer::new(&[&[Turn::Says(OK), Turn::Closes], &[Turn::Says(OK)]]).await;
    let (client, state) = (client(&[&peer]), state());
    assert_eq!(ask(&client, &state).await.unwrap(), 200);
    moment().await;
    assert_eq!(ask(&client, &state).await.unwrap(), 200);
    assert_eq!(peer.used(), [0, 1]);
}

#[tokio::test]
async fn a_request_that_crosses_the_end_of_a_kept_connection_is_sent_again_at_once() {
    let peer = Peer::new(&[&[Turn::Says(OK), Turn::HangsUp], &[Turn::Says(OK)]]).await;
    let (client, state) = (client(&[&peer]), state());
    assert_eq!(ask(&client, &state).await.unwrap(), 200);
    assert_eq!(ask(&client, &state).await.unwrap(), 200);
    assert_eq!(peer.used(), [0, 0, 1]);
}

#[tokio::test]
async fn a_new_connection_that_is_lost_is_a_failure() {
    let peer = Peer::new(&[&[Turn::HangsUp]]).await;
    let error = ask(&client(&[&peer]), &state()).await.unwrap_err();
    assert!(matches!(error, SinkError::PeerEnded { .. }), "{error:?}");
    assert_eq!(error.verdict(), Verdict::Retry);
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_passed_over() {
    let (dead, alive) = (Peer::new(&[]).await, Peer::new(&[&[Turn::Says(OK), Turn::Says(OK), Turn::Says(OK)]]).await);
    moment().await;
    let (client, state) = (client(&[&dead, &alive]), state());
    for _ in 0..3 {
        assert_eq!(ask(&client, &state).await.unwrap(), 200);
    }
    assert_eq!(peer_count(&alive), 3);
}

fn peer_count(peer: &Peer) -> usize {
    peer.requests().len()
}

#[tokio::test]
async fn where_no_host_can_be_reached_the_last_failure_is_told() {
    let (first, second) = (Peer::new(&[]).await, Peer::new(&[]).await);
    moment().await;
    let error = ask(&client(&[&first, &second]), &state()).await.unwrap_err();
    let SinkError::Connect { peer, .. } = error else { panic!("{error:?}") };
    assert_eq!(peer, second.address);
}

#[tokio::test]
async fn a_host_that_hangs_up_or_cannot_is_left_out_for_a_while() {
    let (bad, good) = (Peer::new(&[&[Turn::HangsUp]]).await, Peer::new(&[&[Turn::Says(OK); 4]]).await);
    let (client, state) = (client(&[&bad, &good]), state());
    assert!(ask(&client, &state).await.is_err(), "what it may have taken is for the caller to send again");
    for _ in 0..4 {
        assert_eq!(ask(&client, &state).await.unwrap(), 200);
    }
    assert_eq!((peer_count(&bad), peer_count(&good)), (1, 4));
}

#[tokio::test]
async fn what_a_host_does_not_do_another_one_is_asked_for() {
    let answers = ["502 Bad Gateway", "503 Busy", "401 No", "403 No", "404 No", "301 Elsewhere"];
    for words in answers {
        let answer: &'static str = format!("HTTP/1.1 {words}\r\nContent-Length: 0\r\n\r\n").leak();
        let (bad, good) = (Peer::new(&[&[Turn::Says(answer)]]).await, Peer::new(&[&[Turn::Says(OK); 4]]).await);
        let (client, state) = (client(&[&bad, &good]), state());
        for _ in 0..4 {
            assert_eq!(ask(&client, &state).await.unwrap(), 200, "{words}");
        }
        assert_eq!((peer_count(&bad), peer_count(&good)), (1, 4), "{words}");
        assert!(state.last_error().is_some_and(|error| error.text.contains(&words[..3])), "{words}");
        // Where all say so, the first one's word counts.
        let (first, second) = (Peer::new(&[&[Turn::Says(answer)]]).await, Peer::new(&[&[Turn::Says(answer)]]).await);
        let client = self::client(&[&first, &second]);
        assert_eq!(ask(&client, &state).await.unwrap().to_string(), words[..3]);
        assert_eq!((peer_count(&first), peer_count(&second)), (1, 1), "{words}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_believed_or_not_well_is_left_out_for_a_while() {
    const NOT_ALLOWED: &str = "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n";
    const BROKEN: &str = "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n";
    for (answer, status) in [(OK, 200), (NOT_ALLOWED, 405), (BROKEN, 500)] {
        let (bad, good) = (Peer::new(&[&[Turn::Says(answer)]]).await, Peer::new(&[&[Turn::Says(OK); 4]]).await);
        let (client, state) = (client(&[&bad, &good]), state());
        let said = client.ask(&question("x"), &state).await.unwrap();
        assert_eq!(said.status, status);
        if said.status.is_success() {
            client.judge(&said, false);
        }
        for _ in 0..4 {
            let said = client.ask(&question("x"), &state).await.unwrap();
            assert_eq!(said.status, 200);
            client.judge(&said, true);
        }
        assert_eq!((peer_count(&bad), peer_count(&good)), (1, 4), "{status}");
    }
}

#[tokio::test]
async fn a_host_that_is_believed_again_is_not_left_out() {
    let (one, other) = (Peer::new(&[&[Turn::Says(OK); 3]]).await, Peer::new(&[&[Turn::Says(OK); 3]]).await);
    let (client, state) = (client(&[&one, &other]), state());
    for is_believed in [false, true, true] {
        let said = client.ask(&question("x"), &state).await.unwrap();
        client.judge(&said, is_believed);
    }
    assert_eq!((peer_count(&one), peer_count(&other)), (1, 2));
    let said = Answer { host: 0, ..client.ask(&question("x"), &state).await.unwrap() };
    client.judge(&said, true);
    ask(&client, &state).await.unwrap();
    assert_eq!((peer_count(&one), peer_count(&other)), (2, 3));
}

#[tokio::test]
async fn what_a_host_refuses_another_one_is_asked_for() {
    for words in ["400 No", "413 Too large"] {
        let answer: &'static str = format!("HTTP/1.1 {words}\r\nContent-Length: 0\r\n\r\n").leak();
        let (bad, good) = (Peer::new(&[&[Turn::Says(answer)]]).await, Peer::new(&[&[Turn::Says(OK); 4]]).await);
        let (client, state) = (client(&[&bad, &good]), state());
        for _ in 0..4 {
            assert_eq!(ask(&client, &state).await.unwrap(), 200, "{words}");
        }
        assert_eq!((peer_count(&bad), peer_count(&good)), (1, 4), "{words}");
        assert!(state.last_error().is_some_and(|error| error.text.contains(&words[..3])), "{words}");
    }
}

#[tokio::test]
async fn what_all_hosts_refuse_is_refused_and_none_of_them_is_left_out() {
    const NO: &str = "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n";
    let (one, other) = (Peer::new(&[&[Turn::Says(NO); 2]]).await, Peer::new(&[&[Turn::Says(NO); 2]]).await);
    let (client, state) = (client(&[&one, &other]), state());
    for times in 1..=2 {
        assert_eq!(ask(&client, &state).await.unwrap(), 400);
        assert_eq!((peer_count(&one), peer_count(&other)), (times, times));
    }
    // One that cannot be asked, or says that it is elsewhere, makes it no less refused.
    const ELSEWHERE: &str = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    for turn in [Turn::HangsUp, Turn::Says(ELSEWHERE)] {
        let (one, other) = (Peer::new(&[&[Turn::Says(NO)]]).await, Peer::new(&[&[turn]]).await);
        assert_eq!(ask(&self::client(&[&one, &other]), &state).await.unwrap(), 400);
        assert_eq!((peer_count(&one), peer_count(&other)), (1, 1));
    }
}

#[tokio::test]
async fn what_one_refuses_and_the_other_has_no_time_for_is_not_asked_of_both_for_ever() {
    const NO: &str = "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n";
    const BUSY: &str = "HTTP/1.1 429 Busy\r\nContent-Length: 0\r\n\r\n";
    let (one, other) = (Peer::new(&[&[Turn::Says(NO); 2]]).await, Peer::new(&[&[Turn::Says(BUSY)]]).await);
    let (client, state) = (client(&[&one, &other]), state());
    assert_eq!(ask(&client, &state).await.unwrap(), 429, "it may still take it");
    assert_eq!(ask(&client, &state).await.unwrap(), 400);
    assert_eq!((peer_count(&one), peer_count(&other)), (2, 1));
}

#[tokio::test]
async fn a_refusal_of_what_is_new_in_a_question_is_for_whoever_asked() {
    const NO: &str = "HTTP/1.1 400 No\r\nContent-Length: 7\r\n\r\nno: new";
    let (old, other) = (Peer::new(&[&[Turn::Says(NO); 2]]).await, Peer::new(&[&[Turn::Says(OK)]]).await);
    let (client, state) = (client(&[&old, &other]), state());
    let question = Question { news: Some("new"), ..question("x") };
    assert_eq!(client.ask(&question, &state).await.unwrap().status, 400);
    assert_eq!((peer_count(&old), peer_count(&other)), (1, 0));
}

#[tokio::test]
async fn a_wait_that_one_of_several_hosts_asks_for_is_for_that_host() {
    let busy = "HTTP/1.1 429 Busy\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n";
    let (bad, good) =
        (Peer::new(&[&[Turn::Says(busy)]]).await, Peer::new(&[&[Turn::Says(OK), Turn::Says(OK), Turn::Says(busy)]]).await);
    let (client, state) = (client(&[&bad, &good]), state());
    let waits =
        async || client.ask(&question("x"), &state).await.map(|answer| (answer.status.as_u16(), answer.retry_after)).unwrap();
    assert_eq!(waits().await, (429, None));
    assert_eq!(waits().await, (200, None));
    assert_eq!(waits().await, (200, None));
    assert_eq!(waits().await, (429, Some(Duration::from_secs(300))), "there is no other one that is up");
}

#[track_caller]
fn is_unreadable(result: Result<u16, SinkError>) {
    assert!(matches!(result, Err(SinkError::Unreadable { .. })), "{result:?}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_none_unless_it_may_say_more() {
    let large = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n12345678901";
    let peer = Peer::new(&[&[Turn::Says(large)], &[Turn::Says(large), Turn::Says(OK)]]).await;
    let (client, state) = (client(&[&peer]), state());
    is_unreadable(ask(&client, &state).await);
    let answer = client.ask(&Question { may_say_more: true, ..question("x") }, &state).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"1234567890"[..]));
    assert_eq!(ask(&client, &state).await.unwrap(), 200);
    assert_eq!(peer.used(), [0, 1, 1], "all of it was read");
}

#[tokio::test]
async fn an_answer_without_end_is_none_although_it_may_say_more() {
    let longer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", WHOLE_MAX + 1).leak();
    for head in ["HTTP/1.1 200 OK\r\n\r\n", longer] {
        let peer = Peer::new(&[&[Turn::SaysWithoutEnd(head)], &[Turn::Says(OK)]]).await;
        let (client, state) = (client(&[&peer]), state());
        let error = client.ask(&Question { may_say_more: true, ..question("x") }, &state).await.unwrap_err();
        let SinkError::Unreadable { what, .. } = &error else { panic!("{error:?}") };
        assert_eq!((&**what, error.verdict()), ("it is larger than 67108864 bytes", Verdict::Retry));
        assert_eq!(ask(&client, &state).await.unwrap(), 200);
        assert_eq!(peer.used(), [0, 1], "its connection is not used again");
    }
}

#[tokio::test]
async fn a_good_answer_counts_only_if_it_is_whole() {
    let cut = [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
    ];
    for answer in cut {
        let peer = Peer::new(&[&[Turn::Says(answer), Turn::Closes]]).await;
        let error = ask(&client(&[&peer]), &state()).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::Retry, "{answer}: {error:?}");
    }
}

#[tokio::test]
async fn a_refusal_counts_although_its_reason_is_cut_late_or_too_long() {
    let refusals = [
        (Turn::Says("HTTP/1.1 413 No\r\nContent-Length: 9\r\n\r\nto"), true),
        (Turn::Says("HTTP/1.1 413 No\r\nContent-Length: 9\r\n\r\nto"), false),
        (Turn::Says("HTTP/1.1 413 No\r\nContent-Length: 99\r\n\r\n12345678901"), false),
    ];
    for (turn, closes) in refusals {
        let turns: &[Turn] = if closes { &[turn, Turn::Closes] } else { &[turn] };
        let peer = Peer::new(&[turns, &[Turn::Says(OK)]]).await;
        let client = changed_client(&[&peer], |plan| plan.request_timeout = Duration::from_millis(300));
        let state = state();
        assert_eq!(ask(&client, &state).await.unwrap(), 413);
        assert_eq!(ask(&client, &state).await.unwrap(), 200);
        assert_eq!(peer.used(), [0, 1], "a connection with something unread is not used again");
    }
}

#[tokio::test]
async fn garbage_is_no_answer() {
    for garbage in ["hello\r\n\r\n", "HTTP/1.1 9999 x\r\n\r\n", "HTTP/2 200 OK\r\n\r\n"] {
        let peer = Peer::new(&[&[Turn::Says(garbage)]]).await;
        is_unreadable(ask(&client(&[&peer]), &state()).await);
    }
}

#[tokio::test]
async fn an_answer_has_to_come_in_time() {
    for turn in [Turn::IsSilent, Turn::Says("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok")] {
        let peer = Peer::new(&[&[turn]]).await;
        let client = changed_client(&[&peer], |plan| plan.request_timeout = Duration::from_millis(300));
        let begun = Instant::now();
        let error = ask(&client, &state()).await.unwrap_err();
        assert!(matches!(error, SinkError::Late { .. }), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(peer_count(&peer), 1, "what is late is for the caller to send again");
    }
}

/// More than kernels hold between them.
const LARGE: usize = 32 << 20;

#[tokio::test]
async fn a_refusal_that_comes_before_the_body_was_read_is_heard() {
    let refusal = "HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 10\r\n\r\n1234567890";
    for _ in 0..10 {
        let peer = Peer::new(&[&[Turn::SaysEarly(refusal), Turn::Closes]]).await;
        let answer = client(&[&peer]).ask(&question(vec![b'x'; LARGE]), &state()).await;
        assert_eq!(answer.map(|answer| answer.status.as_u16()).unwrap(), 413);
    }
}

#[tokio::test]
async fn a_connection_whose_peer_answered_early_and_reads_no_more_holds_nobody_up() {
    let peer = Peer::new(&[&[Turn::SaysEarly(OK), Turn::IsSilent], &[Turn::Says(OK)]]).await;
    let (client, state) = (client(&[&peer]), state());
    let SinkError::Unreadable { what, .. } = client.ask(&question(vec![b'x'; LARGE]), &state).await.unwrap_err() else {
        panic!()
    };
    assert_eq!(what, "it came before the request was there");
    let next = timeout(Duration::from_secs(10), ask(&client, &state)).await;
    assert_eq!(next.expect("it does not wait for the first body").unwrap(), 200);
}

#[tokio::test]
async fn interim_answers_are_not_the_answer_and_none_is_asked_for() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let peer = Peer::new(&[&[Turn::Says(interim), Turn::Says(OK)]]).await;
    let (client, state) = (client(&[&peer]), state());
    assert_eq!(ask(&client, &state).await.unwrap(), 204);
    assert_eq!(ask(&client, &state).await.unwrap(), 200);
    assert_eq!(peer.used(), [0, 0]);
    assert!(!peer.requests()[0].1.contains("expect:"), "{:?}", peer.requests());
}

#[tokio::test]
async fn interim_answers_without_end_are_none() {
    let flood = "HTTP/1.1 102 Wait\r\n\r\n".repeat(INTERIM_MAX + 1).leak();
    let peer = Peer::new(&[&[Turn::Says(flood)]]).await;
    is_unreadable(ask(&client(&[&peer]), &state()).await);
    let much = ("HTTP/1.1 102 Wait\r\n\r\n".repeat(INTERIM_MAX) + OK).leak();
    let peer = Peer::new(&[&[Turn::Says(much)]]).await;
    assert_eq!(ask(&client(&[&peer]), &state()).await.unwrap(), 200);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let peer =
        Peer::new(&[&[Turn::Says("HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")]]).await;
    let answer = client(&[&peer]).ask(&question("x"), &state()).await.unwrap();
    assert_eq!(answer.refused(String::new()).verdict(), Verdict::Pause);
}

#[tokio::test]
async fn a_request_says_where_to_who_and_what_else_it_is_told() {
    let peer = Peer::new(&[&[Turn::Says(OK), Turn::Says(OK)]]).await;
    let client = changed_client(&[&peer], |plan| {
        plan.hosts[0].prefix = "/behind".to_owned();
        plan.auth = Auth::Basic { user: "Aladdin".to_owned(), password: Secret::new("open sesame") };
        plan.headers = vec![(HeaderName::from_static("x-team"), HeaderValue::from_static("web"))];
    });
    assert_eq!(ask(&client, &state()).await.unwrap(), 200);
    let request = peer.requests()[0].1.clone();
    for line in [
        "POST /behind/in HTTP/1.1\r\n",
        &format!("\r\nhost: {}\r\n", peer.address),
        "\r\nauthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n",
        "\r\nx-team: web\r\n",
        "\r\ncontent-length: 1\r\n",
        "\r\n\r\nx",
    ] {
        assert!(request.contains(line), "{line:?} in {request:?}");
    }
    assert!(!format!("{client:?}").contains("sesame"), "{client:?}");
}

#[tokio::test]
async fn a_secret_that_is_taken_no_more_is_read_again() {
    const NO: &str = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let peer =
        Peer::new(&[&[Turn::Says(OK), Turn::Says(NO), Turn::Says(OK), Turn::Says(NO), Turn::Says(NO), Turn::Says(OK)]]).await;
    let client = changed_client(&[&peer], |plan| plan.auth = Auth::Bearer(Secret::of_file(&file, "first\n")));
    std::fs::write(&file, "second\n").unwrap();
    // As long as it is taken, nobody looks.
    assert_eq!(ask(&client, &state()).await.unwrap(), 200);
    assert_eq!(ask(&client, &state()).await.unwrap(), 200);
    // The same one, none and one that is no good are no reason to ask again.
    assert_eq!(ask(&client, &state()).await.unwrap(), 401);
    std::fs::write(&file, "\n").unwrap();
    assert_eq!(ask(&client, &state()).await.unwrap(), 401);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ask(&client, &state()).await.unwrap(), 200);
    let requests = peer.requests();
    let said = requests.iter().map(|(_, request)| request.split("Bearer ").nth(1).unwrap());
    let said: Vec<&str> = said.map(|rest| rest.split('\r').next().unwrap()).collect();
    assert_eq!(said, ["first", "first", "second", "second", "second", "second"]);
}

/// The peer reads the head alone, answers and closes with what it has not read behind it, so that writing fails at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_heard_whenever_writing_fails_behind_it() {
    const TIMES: usize = 200;
    let refusal = [Turn::SaysEarly("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"), Turn::Closes];
    let early = [Turn::SaysEarly(OK), Turn::Closes];
    let mut connections: Vec<&[Turn]> = vec![&refusal; TIMES];
    connections.extend([&early[..]; TIMES]);
    let peer = Peer::new(&connections).await;
    let (client, state) = (client(&[&peer]), state());
    let large = question(vec![b'x'; 16 << 20]);
    for _ in 0..TIMES {
        assert_eq!(client.ask(&large, &state).await.map(|answer| answer.status.as_u16()).unwrap(), 413);
    }
    for _ in 0..TIMES {
        let error = client.ask(&large, &state).await.map(|answer| answer.status).unwrap_err();
        assert_eq!(error.verdict(), Verdict::Retry, "{error}");
    }
}
