//! Keys from endpoints that are true, late, broken or silent, and what is fetched when.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;

use super::*;

/// An answer: status and body; nothing is a connection that is kept open in silence.
type Told = Option<(u16, String)>;

/// Starts an endpoint. `answer` gets the number of the connection, the request line and the headers.
fn start(answer: impl Fn(usize, &str, &str) -> Told + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut line, mut headers) = (String::new(), String::new());
            reader.read_line(&mut line).unwrap();
            while !headers.ends_with("\r\n\r\n") && headers != "\r\n" {
                reader.read_line(&mut headers).unwrap();
            }
            match answer(counter.fetch_add(1, Ordering::SeqCst), line.trim_end(), &headers) {
                Some((status, body)) => {
                    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                    // Who asked may not wait for it any more.
                    let _ = reader.get_mut().write_all((head + &body).as_bytes());
                }
                None => silent.push(reader),
            }
        }
    });
    (address, asked)
}

/// An answer with keys that are good for so many seconds.
fn good(id: &str, seconds: i64) -> Told {
    let until = Timestamp::now().as_second() + seconds;
    let until = Timestamp::from_second(until).unwrap();
    let body = format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"{id}","SecretAccessKey":"hunter2","Token":"hunter3","Expiration":"{until}"}}"#
    );
    Some((200, body))
}

fn container(address: &str, token: Option<ContainerToken>) -> Arc<Role> {
    Arc::new(Role::new(AwsSource::Container { address: address.to_owned(), path: "/v1/credentials".to_owned(), token }))
}

#[track_caller]
fn id(credentials: Result<Arc<Credentials>, SinkError>) -> String {
    credentials.expect("there are some").id.clone()
}

#[tokio::test]
async fn keys_that_are_written_are_asked_of_nobody() {
    let keys = Credentials { id: "AKID".to_owned(), key: Secret::new("hunter2"), token: None };
    assert_eq!(id(Arc::new(Role::new(AwsSource::Keys(keys))).credentials().await), "AKID");
}

#[tokio::test]
async fn a_machine_is_asked_by_the_second_version_of_its_metadata() {
    let (address, asked) = start(|_, line, headers| {
        let headers = headers.to_ascii_lowercase();
        let has_token = headers.contains("x-aws-ec2-metadata-token: t0ken\r\n");
        match line {
            "PUT /latest/api/token HTTP/1.1" if headers.contains("x-aws-ec2-metadata-token-ttl-seconds: 60\r\n") => {
                Some((200, "t0ken".to_owned()))
            }
            "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1" if has_token => Some((200, "relay-role\n".to_owned())),
            "GET /latest/meta-data/iam/security-credentials/relay-role HTTP/1.1" if has_token => good("ASIA", 21_600),
            _ => Some((401, String::new())),
        }
    });
    let role = Arc::new(Role::new(AwsSource::Instance { address }));
    let credentials = role.credentials().await.unwrap();
    assert_eq!((credentials.id.as_str(), credentials.key.reveal()), ("ASIA", "hunter2"));
    assert_eq!(credentials.token.as_ref().map(Secret::reveal), Some("hunter3"));
    assert_eq!(id(role.credentials().await), "ASIA");
    assert_eq!(asked.load(Ordering::SeqCst), 3, "keys that are good are not fetched again");
}

#[tokio::test]
async fn a_containers_token_is_shown_and_read_anew_from_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let (address, _) = start(|_, line, headers| {
        assert_eq!(line, "GET /v1/credentials HTTP/1.1");
        let shown = headers.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or_default();
        // Good for too short a time to be kept.
        match shown {
            "first" => good("FIRST", 31),
            "second" => good("SECOND", 31),
            _ => Some((403, String::new())),
        }
    });
    std::fs::write(&path, "first\n").unwrap();
    let role = container(&address, Some(ContainerToken::File(path.clone())));
    assert_eq!(id(role.credentials().await), "FIRST");
    std::fs::write(&path, "second\n").unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(id(role.credentials().await), "SECOND");
    let role = container(&address, Some(ContainerToken::Text(Secret::new("first"))));
    assert_eq!(id(role.credentials().await), "FIRST");
    let role = container(&address, None);
    let error = role.credentials().await.unwrap_err().to_string();
    assert!(error.ends_with("answers 403"), "{error}");
}

#[tokio::test]
async fn keys_that_run_out_soon_are_renewed_while_they_are_used() {
    let (address, asked) = start(|number, _, _| if number == 0 { good("OLD", 200) } else { good("NEW", 3_600) });
    let role = container(&address, None);
    assert_eq!(id(role.credentials().await), "OLD");
    let mut ids = Vec::new();
    for _ in 0..500 {
        ids.push(id(role.credentials().await));
        if ids.last().is_some_and(|id| id == "NEW") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((ids.first().map(String::as_str), ids.last().map(String::as_str)), (Some("OLD"), Some("NEW")));
    assert_eq!(asked.load(Ordering::SeqCst), 2, "they are fetched once");
}

#[tokio::test]
async fn a_renewal_that_hangs_or_fails_holds_nothing_up() {
    for later in [None, Some((500, String::new()))] {
        let (address, asked) = start(move |number, _, _| if number == 0 { good("OLD", 200) } else { later.clone() });
        let role = container(&address, None);
        assert_eq!(id(role.credentials().await), "OLD");
        let began = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(id(role.credentials().await), "OLD");
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(id(role.credentials().await), "OLD");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert_eq!(asked.load(Ordering::SeqCst), 2, "one try at a time, and a pause behind one that fails");
    }
}

#[tokio::test]
async fn many_that_wait_for_the_first_keys_ask_once() {
    let (address, asked) = start(|_, _, _| good("ONE", 3_600));
    let role = container(&address, None);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn({
                let role = role.clone();
                async move { role.credentials().await }
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(id(task.await.unwrap()), "ONE");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let (address, asked) = start(|_, _, _| Some((404, String::new())));
    let role = container(&address, None);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn({
                let role = role.clone();
                async move { role.credentials().await }
            })
        })
        .collect();
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), format!("there are no credentials of AWS: the container's endpoint {address} answers 404"));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "a failure is shared, too");
}

#[tokio::test]
async fn silence_has_an_end() {
    let (address, _) = start(|_, _, _| None);
    let began = Instant::now();
    let error = container(&address, None).credentials().await.unwrap_err().to_string();
    assert!(error.ends_with("has not answered within 5s"), "{error}");
    assert!(began.elapsed() < LIMIT + Duration::from_secs(2));
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_without_what_is_in_it() {
    let soon = good("ASIA", 10).unwrap().1;
    let bare = |member: &str| good("ASIA", 3_600).unwrap().1.replace(&format!("\"{member}\""), "\"x\"");
    for (body, part) in [
        ("hunter2".to_owned(), "it is no JSON"),
        (r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"hunter2"}"#.to_owned(), "it says that there are none"),
        (bare("AccessKeyId"), "it has no AccessKeyId"),
        (bare("SecretAccessKey"), "it has no SecretAccessKey"),
        (bare("Expiration"), "it has no Expiration"),
        (soon, "have run out"),
        ("hunter2".repeat(ANSWER_MAX), "cannot ask"),
    ] {
        let (address, _) = start(move |_, _, _| Some((200, body.clone())));
        let error = container(&address, None).credentials().await.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains(part) && !told.contains("hunter"), "{told}");
    }
}

#[tokio::test]
async fn nothing_of_a_role_is_shown() {
    let (address, _) = start(|_, _, _| good("ASIA", 3_600));
    let role = container(&address, Some(ContainerToken::Text(Secret::new("hunter1"))));
    assert_eq!(id(role.credentials().await), "ASIA");
    assert!(!format!("{role:?}").contains("hunter"), "{role:?}");
}
