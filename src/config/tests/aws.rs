//! The keys of a sink that signs its requests for AWS.

use crate::config::Text;
use crate::config::load;
use crate::config::overrides::Overrides;
use crate::config::plan::Plan;
use crate::secret::Secret;
use crate::sink::Auth;
use crate::sink::AwsPlan;
use crate::sink::AwsService;
use crate::sink::AwsSource;
use crate::sink::ContainerToken;
use crate::sink::SinkKind;
use crate::wire::sigv4::Credentials;

/// Variables and their values.
type Variables<'v> = &'v [(&'v str, &'v str)];

/// A sink with these lines, where these variables are set; a mistake is given with its key, what is wrong, and what to do.
fn decide(lines: &str, variables: Variables<'_>) -> Result<Plan, Vec<(String, String)>> {
    let text = format!(
        "[[source]]\nname='in'\ntype='tcp'\naddress='127.0.0.1:5000'\n\
         [[sink]]\nname='out'\ntype='elasticsearch'\nindex='x'\nhosts=['http://a']\n{lines}\n"
    );
    let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let plan = load(&Text { name: "t", text: &text, built_in: false }, &Overrides::default(), &lookup);
    plan.map_err(|complaints| {
        let words =
            |one: &crate::config::complaint::Complaint| format!("{}; {}", one.what, one.remedy.clone().unwrap_or_default());
        complaints.iter().map(|one| (one.key.clone(), words(one))).collect()
    })
}

#[track_caller]
fn check(lines: &str, variables: Variables<'_>, service: AwsService, source: AwsSource) {
    let plan = decide(lines, variables).unwrap_or_else(|mistakes| panic!("{lines}: {mistakes:?}"));
    let SinkKind::Elasticsearch(sink) = &plan.relay.sinks[0].kind else { panic!("{lines}") };
    assert_eq!(sink.http.auth, Auth::Aws(Box::new(AwsPlan { region: "eu-west-1".to_owned(), service, source })), "{lines}");
    assert!(!plan.to_string().contains("hunter"), "{plan}");
}

#[track_caller]
fn check_mistake(lines: &str, variables: Variables<'_>, key: &str, part: &str) {
    let mistakes = decide(lines, variables).expect_err("it is a mistake");
    let [(at, words)] = mistakes.as_slice() else { panic!("{mistakes:?}") };
    assert!(at.ends_with(key) && words.contains(part), "{lines}: {mistakes:?}");
    assert!(!words.contains("hunter"), "{words}");
}

const REGION: &str = "aws_region = 'eu-west-1'\n";

fn instance(address: &str) -> AwsSource {
    AwsSource::Instance { address: address.to_owned() }
}

fn container(address: &str, path: &str, token: Option<ContainerToken>) -> AwsSource {
    AwsSource::Container { address: address.to_owned(), path: path.to_owned(), token }
}

#[test]
fn keys_come_from_where_they_are() {
    let es = AwsService::Es;
    check(REGION, &[], es, instance("169.254.169.254:80"));
    let endpoint = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:5/");
    check(REGION, &[endpoint], es, instance("127.0.0.1:5"));
    let relative = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/a-b");
    check(REGION, &[relative], es, container("169.254.170.2:80", "/v2/credentials/a-b", None));
    check(&format!("{REGION}aws_credentials = 'instance'"), &[relative], es, instance("169.254.169.254:80"));
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials");
    let (token, file) = (("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter2"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/t"));
    let text = Some(ContainerToken::Text(Secret::new("hunter2")));
    check(REGION, &[full, token], es, container("169.254.170.23:80", "/v1/credentials", text));
    let path = Some(ContainerToken::File("/t".into()));
    check(REGION, &[full, token, file], es, container("169.254.170.23:80", "/v1/credentials", path));
    let keys = |token: Option<&str>| {
        let (id, key) = ("AKIDEXAMPLE".to_owned(), Secret::new("hunter2"));
        AwsSource::Keys(Credentials { id, key, token: token.map(Secret::new) })
    };
    let lines = format!("{REGION}aws_access_key_id = '${{ID}}'\naws_secret_access_key = '${{KEY}}'\naws_service = 'aoss'");
    let variables = [("ID", "AKIDEXAMPLE"), ("KEY", "hunter2"), ("TOKEN", "hunter3"), relative];
    check(&lines, &variables, AwsService::Aoss, keys(None));
    check(&format!("{lines}\naws_session_token = '${{TOKEN}}'"), &variables, AwsService::Aoss, keys(Some("hunter3")));
}

#[test]
fn mistakes_are_told_without_secrets() {
    check_mistake("aws_service = 'es'", &[], "aws_service", "add aws_region");
    check_mistake("aws_region = 'Europe'", &[], "aws_region", "is no region");
    check_mistake(&format!("{REGION}token = 'hunter2'"), &[], "aws_region", "keep one of");
    check_mistake(&format!("{REGION}aws_service = 's3'"), &[], "aws_service", "");
    check_mistake(&format!("{REGION}aws_credentials = 'keys'"), &[], "aws_credentials", "there are no keys");
    check_mistake(&format!("{REGION}aws_access_key_id = 'AKID'"), &[], "aws_access_key_id", "has no key");
    check_mistake(&format!("{REGION}aws_secret_access_key = 'hunter2'"), &[], "aws_secret_access_key", "has no id");
    let both = "aws_access_key_id = 'AKID'\naws_secret_access_key = 'hunter2'\naws_credentials = 'instance'";
    check_mistake(&format!("{REGION}{both}"), &[], "aws_access_key_id", "keep one of the two");
    // The two taken for each other.
    let swapped = "aws_access_key_id = 'hunter2/+'\naws_secret_access_key = 'AKID'";
    check_mistake(&format!("{REGION}{swapped}"), &[], "aws_access_key_id", "is no key's id: 9 characters");
    let container = format!("{REGION}aws_credentials = 'container'");
    check_mistake(&container, &[], "aws_credentials", "there is neither");
    let far = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://keys.example/hunter2")];
    check_mistake(&container, &far, "aws_credentials", "leads to none of the addresses");
    check_mistake(&container, &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "hunter2")], "aws_credentials", "is no path");
    check_mistake(REGION, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "hunter2")], "aws_credentials", "is no address of metadata");
}

#[test]
fn other_sinks_have_no_such_keys() {
    let text = "[[source]]\nname='in'\ntype='tcp'\naddress='127.0.0.1:5000'\n[[sink]]\nname='out'\ntype='stdout'\naws_region='eu-west-1'\n";
    let complaints = load(&Text { name: "t", text, built_in: false }, &Overrides::default(), &|_| None);
    let words = complaints.expect_err("it is a mistake").to_string();
    assert!(words.contains("sinks that speak HTTP"), "{words}");
}
