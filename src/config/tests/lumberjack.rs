//! Sinks of type `lumberjack`.

use super::*;
use crate::sink::LumberjackPlan;

fn lumberjack(settings: &str, overrides: &Overrides) -> LumberjackPlan {
    let text = GOOD.replace("type = 'stdout'", settings);
    let kind = try_load(&text, overrides).expect("a good configuration").relay.sinks[0].kind.clone();
    let SinkKind::Lumberjack(plan) = kind else { panic!("{kind:?}") };
    plan
}

#[test]
fn a_sink_has_what_it_is_given_and_defaults() {
    let least = lumberjack("type = 'lumberjack'\nhosts = ['a:5044']", &Overrides::default());
    let want = LumberjackPlan {
        hosts: vec!["a:5044".to_owned()],
        load_balance: false,
        dial: DialPlan { connect_timeout: Duration::from_secs(10), user_timeout: Duration::from_secs(30), tls: None },
        compression: 0,
        window_events: 2_048,
        window_bytes: 4 << 20,
        pipeline: 4,
        held_bytes: 64 << 20,
        ack_timeout: Duration::from_secs(60),
        progress_timeout: Duration::from_secs(300),
    };
    assert_eq!(least, want);
    let settings = "type = 'lumberjack'\nhosts = ['a:5044', 'b:5044']\nload_balance = true\ncompression = 'zlib'\npipeline = 2\n\
                    window_events = 10000\nwindow_bytes = '1MiB'\nack_timeout = '30s'\nprogress_timeout = '1m'\ntls = {}";
    let most = lumberjack(settings, &Overrides::default());
    assert_eq!((most.load_balance, most.compression, most.pipeline, most.window_events), (true, 3, 2, 10_000));
    assert_eq!(
        (most.window_bytes, most.ack_timeout, most.progress_timeout),
        (1 << 20, Duration::from_secs(30), Duration::from_secs(60))
    );
    assert!(most.dial.tls.is_some());
    assert_eq!(lumberjack(&settings.replace("'zlib'", "'zlib'\ncompression_level = 9"), &Overrides::default()).compression, 9);
}

#[test]
fn a_flag_leads_there() {
    let overrides = Overrides { to: vec![given("lumberjack://a:1,b:2", "--to")], ..Overrides::default() };
    let plan = lumberjack("type = 'stdout'", &overrides);
    assert_eq!(plan.hosts, ["a:1", "b:2"]);
}

#[test]
fn what_no_server_takes_is_refused() {
    for (settings, words) in [
        ("", "hosts"),
        ("hosts = ['a:1']\nwindow_events = 10001", "1 to 10000"),
        ("hosts = ['a:1']\npipeline = 0", "1 to 64"),
        ("hosts = ['a:1']\ncompression = 'gzip'", "zlib"),
        ("hosts = ['a:1']\nsettle = '2s'", "logstash_tcp"),
    ] {
        let text = GOOD.replace("type = 'stdout'", &format!("type = 'lumberjack'\n{settings}"));
        let Err(complaints) = try_load(&text, &Overrides::default()) else { panic!("{settings} is taken") };
        assert!(complaints.to_string().contains(words), "{complaints}");
    }
}
