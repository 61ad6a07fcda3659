//! What each server gets, and what no server can be given.

use super::*;

const DAY: u64 = 86_400;

fn elasticsearch(number: &str) -> Server {
    let about = json!({ "version": { "number": number }, "tagline": "You Know, for Search" });
    Server::read(about.to_string().as_bytes()).expect("a server")
}

fn opensearch(number: &str) -> Server {
    let about = json!({ "version": { "number": number, "distribution": "opensearch" } });
    Server::read(about.to_string().as_bytes()).expect("a server")
}

fn target(text: &str) -> Target {
    Target::parse(text).expect("a name")
}

fn wanted(target: &Target, is_stream: bool, lifecycle: Lifecycle) -> Wanted<'_> {
    Wanted { target, schema: Schema::Ecs, is_stream, lifecycle }
}

fn days(days: u64) -> Lifecycle {
    Lifecycle { delete_after: Some(Duration::from_secs(days * DAY)), ..Lifecycle::default() }
}

#[track_caller]
fn check_policy(server: &Server, index: &str, is_stream: bool, lifecycle: Lifecycle, want: Option<Value>) {
    let target = target(index);
    let all = resources(&wanted(&target, is_stream, lifecycle), server).expect("it makes sense");
    let policy = all.iter().find(|resource| resource.kind.is_policy());
    let inner = policy.map(|policy| match policy.kind {
        Kind::Ilm => policy.body["policy"]["phases"].clone(),
        _ => policy.body["policy"]["states"].clone(),
    });
    assert_eq!(inner, want, "{server}");
    let settings = &all.iter().find(|resource| resource.name.ends_with("-settings")).expect("settings").body;
    let by_name = settings["template"]["settings"]["index"]["lifecycle"]["name"].as_str();
    let is_named = policy.filter(|policy| policy.kind == Kind::Ilm).map(|policy| policy.name.as_str());
    assert_eq!(by_name, is_named, "Elasticsearch's indices name their policy, and OpenSearch's policies name indices");
}

#[track_caller]
fn check_error(server: &Server, index: &str, is_stream: bool, lifecycle: Lifecycle, part: &str) {
    let target = target(index);
    let error = resources(&wanted(&target, is_stream, lifecycle), server).expect_err("it makes no sense");
    assert!(error.contains(part), "{error}");
}

#[test]
fn an_index_for_each_day_lives_a_day_longer_than_its_documents() {
    let phases = json!({ "delete": { "min_age": "31d", "actions": { "delete": {} } } });
    check_policy(&elasticsearch("8.19.0"), "elb-%Y.%m.%d", false, days(30), Some(phases));
    let states = json!([
        { "name": "hot", "actions": [], "transitions": [{ "state_name": "delete", "conditions": { "min_index_age": "31d" } }] },
        { "name": "delete", "actions": [{ "delete": {} }], "transitions": [] },
    ]);
    check_policy(&opensearch("2.19.1"), "elb-%Y.%m.%d", false, days(30), Some(states));
    check_policy(&elasticsearch("8.19.0"), "elb-%Y.%m.%d", false, Lifecycle::default(), None);
}

#[test]
fn a_data_stream_rolls_over_in_the_words_of_each_server() {
    let hot = |by: &str| json!({ "min_age": "0ms", "actions": { "rollover": { by: "50gb", "max_age": "7d" } } });
    let plain = Lifecycle::default();
    check_policy(&elasticsearch("7.12.1"), "elb", true, plain, Some(json!({ "hot": hot("max_size") })));
    let delete = json!({ "min_age": "30d", "actions": { "delete": {} } });
    let phases = json!({ "hot": hot("max_primary_shard_size"), "delete": delete });
    check_policy(&elasticsearch("9.1.0"), "elb", true, days(30), Some(phases));
    let states = |by: &str, conditions: Value| {
        json!([
            {
                "name": "hot",
                "actions": [{ "rollover": { by: "50gb", "min_index_age": "7d" } }],
                "transitions": [{ "state_name": "delete", "conditions": conditions }],
            },
            { "name": "delete", "actions": [{ "delete": {} }], "transitions": [] },
        ])
    };
    let later = states("min_primary_shard_size", json!({ "min_rollover_age": "30d" }));
    check_policy(&opensearch("3.0.0"), "elb", true, days(30), Some(later));
    // Counted from when the index was made, so that its last document lives as long as it should.
    check_policy(&opensearch("1.2.4"), "elb", true, days(30), Some(states("min_size", json!({ "min_index_age": "37d" }))));
    check_policy(&elasticsearch("9.1.0"), "elb", true, Lifecycle { is_off: true, ..plain }, None);
}

#[test]
fn templates_are_for_the_names_of_the_sink_and_nothing_else() {
    let target = target("elb-eu-%Y.%m.%d");
    let all = resources(&wanted(&target, false, days(1)), &elasticsearch("7.17.29")).expect("it makes sense");
    let paths: Vec<String> = all.iter().map(Resource::path).collect();
    assert_eq!(
        paths,
        [
            "/_ilm/policy/elbow-elb-eu",
            "/_component_template/elbow-elb-eu-mappings",
            "/_component_template/elbow-elb-eu-settings",
            "/_index_template/elbow-elb-eu"
        ]
    );
    let template = &all[3].body;
    assert_eq!(template["index_patterns"], json!(["elb-eu-*.*.*"]));
    assert_eq!(template["composed_of"], json!(["elbow-elb-eu-mappings", "elbow-elb-eu-settings"]));
    assert_eq!(template.get("data_stream"), None);
    // The longer a name, the more it counts: that of another sink may begin alike.
    assert_eq!(template["priority"], 207);
    assert!(all[1..].iter().all(|resource| resource.body["_meta"]["managed_by"] == MANAGED_BY));
}

#[test]
fn the_time_of_a_data_stream_may_not_be_left_out() {
    for (index, is_stream) in [("elb", true), ("elb-%Y", false)] {
        let target = target(index);
        let all = resources(&wanted(&target, is_stream, Lifecycle::default()), &opensearch("2.19.1")).expect("it makes sense");
        let mappings = all.iter().find(|resource| resource.name.ends_with("-mappings")).expect("mappings");
        let time = &mappings.body["template"]["mappings"]["properties"]["@timestamp"];
        assert_eq!((time["type"].as_str(), time.get("ignore_malformed").is_none()), (Some("date"), is_stream));
        assert_eq!(all.last().map(|template| template.body["data_stream"] == json!({})), Some(is_stream));
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_a_way_out() {
    let (elastic, open) = (elasticsearch("8.0.0"), opensearch("2.0.0"));
    let plain = Lifecycle::default();
    check_error(&elasticsearch("7.7.1"), "elb", false, plain, "7.7.1 has no composable index templates");
    check_error(&elasticsearch("7.8.0"), "elb", true, plain, "leave out --data-stream");
    check_error(&open, "elb-%Y.%m", true, plain, "write index = \"elb\"");
    check_error(&open, "%Y-elb", false, plain, "begins with a time");
    check_error(&elastic, "elb", false, days(30), "put times into its name, or add --data-stream");
    let size = Lifecycle { rollover_size: Some(1 << 30), ..plain };
    check_error(&elastic, "elb-%Y", false, size, "add --data-stream");
}

#[test]
fn sizes_are_written_as_servers_read_them() {
    for (bytes, text) in [(50 << 30, "50gb"), (1536 << 20, "1536mb"), (1_000_000_000, "1000000000b"), (1 << 20, "1mb")] {
        assert_eq!(size_text(bytes), text);
    }
}
