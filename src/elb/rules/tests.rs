//! Tests of the rules: what each test takes, how rules decide together, and that sampling is fair and repeatable.

use highway::HighwayHash;
use highway::HighwayHasher;
use highway::Key;
use proptest::collection::vec;
use proptest::sample::select;

use super::*;

const ALB: usize = Kind::Alb as usize;
const CLASSIC: usize = Kind::Classic as usize;

fn texts(of: &[&str]) -> Vec<String> {
    of.iter().map(|&text| text.to_owned()).collect()
}

fn when(field: &str, test: Test) -> ConditionPlan {
    ConditionPlan { field: field.to_owned(), test, negate: false }
}

fn unless(field: &str, test: Test) -> ConditionPlan {
    ConditionPlan { negate: true, ..when(field, test) }
}

fn equals(of: &[&str]) -> Test {
    Test::Equals(texts(of))
}

fn drop_if(conditions: Vec<ConditionPlan>) -> RulePlan {
    RulePlan { name: "a rule".to_owned(), conditions, action: Action::Drop }
}

fn keep_one_in(count: u32, conditions: Vec<ConditionPlan>) -> RulePlan {
    let action = Action::KeepOneIn(NonZeroU32::new(count).expect("a count"));
    RulePlan { name: "a sample".to_owned(), conditions, action }
}

fn rules(plans: Vec<RulePlan>) -> Rules {
    Rules::new(plans).expect("the rules can be")
}

/// What becomes of a line of which only some fields are told; the others have no value.
fn decide(rules: &Rules, kind: Kind, id: EventId, fields: &[(&str, &str)]) -> Verdict {
    rules.decide(kind as usize, id, |at| {
        let told = fields.iter().find(|(name, _)| kind.format().find(name) == Some(at));
        told.map_or(&b"-"[..], |(_, value)| value.as_bytes())
    })
}

fn hashed(number: u64) -> EventId {
    let [low, high] = HighwayHasher::new(Key([1, 2, 3, 4])).hash128(&number.to_le_bytes());
    EventId((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
}

#[track_caller]
fn check(test: Test, passing: &[&str], failing: &[&str]) {
    let plain = rules(vec![drop_if(vec![when("user_agent", test.clone())])]);
    let negated = rules(vec![drop_if(vec![unless("user_agent", test.clone())])]);
    let dropped = Verdict::Drop { rule: 0 };
    for (values, on_plain, on_negated) in [(passing, dropped, Verdict::Keep), (failing, Verdict::Keep, dropped)] {
        for value in values {
            let line = [("user_agent", *value)];
            assert_eq!(decide(&plain, Kind::Alb, hashed(0), &line), on_plain, "{value:?} and {test:?}");
            assert_eq!(decide(&negated, Kind::Alb, hashed(0), &line), on_negated, "{value:?} and not {test:?}");
        }
    }
}

#[test]
fn each_test_takes_what_it_says() {
    check(equals(&["curl/8", "b", "a", ""]), &["curl/8", "a", "b", ""], &["curl/80", "curl/", "CURL/8", "c", "-"]);
    check(equals(&["-"]), &["-"], &["", "--", "a"]);
    check(equals(&["a", "a"]), &["a"], &["b"]);
    check(
        Test::Prefix(texts(&["ELB-", "kube-probe/"])),
        &["ELB-", "ELB-HealthChecker/2.0", "kube-probe/1"],
        &["elb-", "ELB", "x ELB-", "", "-"],
    );
    check(Test::Suffix(texts(&[".css", ".js"])), &[".js", "a.css"], &["a.css?x", "js", "", "-"]);
    check(Test::Prefix(texts(&["-"])), &["-a", "--"], &["-", "a"]);
    check(Test::Suffix(texts(&["-"])), &["a-", "--"], &["-", "a"]);
    check(Test::Prefix(texts(&[""])), &["", "a"], &["-"]);
    check(
        Test::Range { min: 200, max: 299 },
        &["200", "299", "0250"],
        &["199", "300", "-200", "2e2", "250.0", "+250", " 250", "", "-"],
    );
    let largest = u64::MAX.to_string();
    check(Test::Range { min: 0, max: u64::MAX }, &["0", &largest], &["18446744073709551616", "99999999999999999999999", "-", ""]);
    let networks = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().expect("a network"));
    check(Test::Cidr(networks.to_vec()), &["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"], &["11.0.0.1", "::1", "x", "", "-"]);
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let health = rules(vec![drop_if(vec![
        when("client_ip", Test::Cidr(vec!["10.0.0.0/8".parse().expect("a network")])),
        when("user_agent", Test::Prefix(texts(&["ELB-HealthChecker/"]))),
        unless("elb_status_code", Test::Range { min: 400, max: 599 }),
    ])]);
    let whole = [("client_ip", "10.0.0.7"), ("user_agent", "ELB-HealthChecker/2.0"), ("elb_status_code", "200")];
    assert_eq!(decide(&health, Kind::Alb, hashed(0), &whole), Verdict::Drop { rule: 0 });
    for other in [("client_ip", "192.0.2.1"), ("user_agent", "curl/8"), ("elb_status_code", "503")] {
        let mut line = whole;
        line.iter_mut().filter(|(name, _)| *name == other.0).for_each(|field| *field = other);
        assert_eq!(decide(&health, Kind::Alb, hashed(0), &line), Verdict::Keep, "{other:?}");
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = rules(vec![
        drop_if(vec![when("elb_status_code", equals(&["204"]))]),
        keep_one_in(1, vec![when("request_path", equals(&["/pay"]))]),
        drop_if(vec![when("elb_status_code", Test::Range { min: 200, max: 299 })]),
    ]);
    for (status, path, want) in [
        ("204", "/pay", Verdict::Drop { rule: 0 }),
        ("200", "/pay", Verdict::Keep),
        ("200", "/", Verdict::Drop { rule: 2 }),
        ("500", "/", Verdict::Keep),
    ] {
        let line = [("elb_status_code", status), ("request_path", path)];
        assert_eq!(decide(&rules, Kind::Alb, hashed(0), &line), want, "{status} {path}");
    }
}

#[test]
fn a_rule_never_matches_a_kind_without_its_field() {
    for condition in [when("target_status_code", equals(&["-"])), unless("target_status_code", equals(&["200"]))] {
        let rules = rules(vec![drop_if(vec![unless("elb", equals(&["x"])), condition])]);
        assert!(rules.concern(ALB) && !rules.concern(CLASSIC));
        assert_eq!(decide(&rules, Kind::Alb, hashed(0), &[]), Verdict::Drop { rule: 0 });
        assert_eq!(decide(&rules, Kind::Classic, hashed(0), &[]), Verdict::Keep);
    }
}

#[test]
fn a_field_is_found_where_each_kind_has_it() {
    let rules = rules(vec![drop_if(vec![when("elb_status_code", equals(&["200"]))])]);
    for kind in [Kind::Alb, Kind::Classic] {
        assert_eq!(decide(&rules, kind, hashed(0), &[("elb_status_code", "200")]), Verdict::Drop { rule: 0 }, "{kind:?}");
        assert_eq!(decide(&rules, kind, hashed(0), &[("elb_status_code", "201")]), Verdict::Keep, "{kind:?}");
    }
}

#[test]
fn rules_nobody_can_have_meant_are_refused() {
    let refused = |plan: RulePlan| Rules::new(vec![plan]).expect_err("refused").to_string();
    for test in [equals(&[]), Test::Prefix(vec![]), Test::Suffix(vec![]), Test::Cidr(vec![]), Test::Range { min: 2, max: 1 }] {
        let text = refused(drop_if(vec![when("type", test.clone())]));
        assert_eq!(text, "rule \"a rule\" tests the field \"type\" for nothing that a value could be", "{test:?}");
    }
    let text = refused(drop_if(vec![when("typ", equals(&["h2"]))]));
    assert_eq!(text, "rule \"a rule\" names the field \"typ\", which no kind of line has");
    assert_eq!(refused(drop_if(vec![])), "rule \"a rule\" would drop every line: give it a condition");
    let many = |count| Rules::new(vec![keep_one_in(2, vec![]); count]).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(many(64), Ok(()));
    assert_eq!(many(65), Err("65 rules are more than 64".to_owned()));
}

#[test]
fn without_rules_everything_is_kept() {
    let rules = rules(vec![]);
    for kind in Kind::ALL {
        assert!(!rules.concern(kind as usize));
        assert_eq!(decide(&rules, kind, hashed(0), &[]), Verdict::Keep);
    }
}

/// Which events are kept is a promise: other nodes and later versions keep the same.
#[test]
fn the_count_divides_the_ids_that_are_kept() {
    let rules = rules(vec![keep_one_in(10, vec![])]);
    let large = 10_u128.pow(38);
    for (number, kept) in [(0, true), (1, false), (10, true), (large, true), (large + 1, false), (u128::MAX, false)] {
        let verdict = decide(&rules, Kind::Alb, EventId(number.to_le_bytes()), &[]);
        assert_eq!(verdict == Verdict::Keep, kept, "{number}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn about_one_in_so_many_is_kept_and_the_same_ones_again(count in 1_u32..200, from in 0_u64..1 << 60) {
        const IDS: u64 = 20_000;
        let (one, other) = (rules(vec![keep_one_in(count, vec![])]), rules(vec![keep_one_in(count, vec![])]));
        let mut kept = 0.0;
        for number in from..from + IDS {
            let verdict = decide(&one, Kind::Alb, hashed(number), &[]);
            proptest::prop_assert_eq!(verdict, decide(&other, Kind::Classic, hashed(number), &[]));
            kept += f64::from(u8::from(verdict == Verdict::Keep));
        }
        // Six standard deviations of the number kept by chance.
        let share = 1.0 / f64::from(count);
        let deviation = (IDS as f64 * share * (1.0 - share)).sqrt();
        proptest::prop_assert!((kept - IDS as f64 * share).abs() <= 6.0 * deviation, "{} kept, 1 in {}", kept, count);
    }

    /// Against a reading of the rules without any preparation.
    #[test]
    fn rules_decide_as_they_read(
        plans in vec((vec((select(&FIELDS[..]), 0_usize..6, proptest::bool::ANY), 1..4), proptest::bool::ANY), 0..6),
        values in vec(select(&VALUES[..]), FIELDS.len()),
        kind in select(&Kind::ALL[..]),
        number: u128,
    ) {
        let plans: Vec<RulePlan> = plans.into_iter().map(|(conditions, sample)| {
            let conditions = conditions.into_iter().map(|(field, test, negate)| ConditionPlan {
                field: field.to_owned(), test: some_test(test), negate,
            }).collect();
            if sample { keep_one_in(3, conditions) } else { drop_if(conditions) }
        }).collect();
        let line: Vec<(&str, &str)> = FIELDS.into_iter().zip(values).collect();
        let holds = |condition: &ConditionPlan| {
            let value = line.iter().find(|(name, _)| condition.field == *name).map_or("-", |(_, value)| *value);
            kind.format().find(&condition.field).is_some() && read(&condition.test, value) != condition.negate
        };
        let first = plans.iter().position(|plan| plan.conditions.iter().all(holds));
        let want = match first.map(|rule| (rule, plans[rule].action)) {
            Some((rule, Action::Drop)) => Verdict::Drop { rule },
            Some((rule, Action::KeepOneIn(_))) if number % 3 != 0 => Verdict::Drop { rule },
            _ => Verdict::Keep,
        };
        let id = EventId(number.to_le_bytes());
        proptest::prop_assert_eq!(decide(&rules(plans.clone()), kind, id, &line), want, "{:?}", plans);
    }
}

const FIELDS: [&str; 5] = ["elb", "client_ip", "target_ip", "backend_ip", "request_url"];
const VALUES: [&str; 7] = ["-", "", "10.0.0.1", "192.0.2.1", "200", "10.0", "-a"];

fn some_test(which: usize) -> Test {
    match which {
        0 => equals(&["10.0.0.1", "-"]),
        1 => equals(&["", "200", "-a"]),
        2 => Test::Prefix(texts(&["10.", "-"])),
        3 => Test::Suffix(texts(&["0", ".1"])),
        4 => Test::Range { min: 100, max: 200 },
        _ => Test::Cidr(vec!["10.0.0.0/8".parse().expect("a network")]),
    }
}

fn read(test: &Test, value: &str) -> bool {
    match test {
        Test::Equals(texts) => texts.iter().any(|text| text == value),
        _ if value == "-" => false,
        Test::Prefix(texts) => texts.iter().any(|text| value.starts_with(text.as_str())),
        Test::Suffix(texts) => texts.iter().any(|text| value.ends_with(text.as_str())),
        Test::Range { min, max } => value.parse().is_ok_and(|number: u64| (min..=max).contains(&&number)),
        Test::Cidr(networks) => {
            value.parse().is_ok_and(|address: core::net::IpAddr| networks.iter().any(|network| network.contains(&address)))
        }
    }
}
