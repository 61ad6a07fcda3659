//! Which documents a sink gets, as written.

use super::*;
use crate::batch::Origin;
use crate::batch::SourceId;
use crate::select::ConditionPlan;
use crate::select::SelectPlan;
use crate::select::Subject;
use crate::value_test::Test;

const TENANTS: &str = "[[tenant]]\nname='web'\nnetworks=['10.0.0.0/8']\n[[tenant]]\nname='shop'\nnetworks=['10.0.0.0/16']\n";
const SOURCES: &str = "[[source]]\nname='in'\ntype='tcp'\naddress='127.0.0.1:5000'\n\
                       [[source]]\nname='lambda'\ntype='tcp'\naddress='127.0.0.1:5001'\n";

/// Two tenants, two sources, and a sink with this line on the last one.
fn with_when(line: &str) -> String {
    format!("{TENANTS}{SOURCES}[[sink]]\nname='all'\ntype='stdout'\n[[sink]]\nname='some'\ntype='stdout'\n{line}\n")
}

/// A mistake in a sink's `when`, at the place with a `§`.
#[track_caller]
fn check_when(line: &str, key: &str, words: &str) {
    let column = line.chars().take_while(|c| *c != '§').count() + 1;
    let text = with_when(&line.replace('§', ""));
    let last = text.lines().count();
    check(&text, (last, column), key, words);
}

#[test]
fn conditions_become_what_they_say() {
    let line = "when = [ { tenant = ['web', '_unknown'] }, { source = 'lambda', not = true }, { format = ['alb', 'reject'] }, \
                { field = 'http.response.status_code', range = '500-599' }, { format = 'elb', not = true }, \
                { field = 'event.id', equals = '' } ]";
    let plan = plan(&with_when(line));
    assert_eq!(plan.relay.sinks[0].when, None);
    let when = |subject, negate| ConditionPlan { subject, negate };
    let field = |path: &str, test| Subject::Field { path: path.to_owned(), test };
    let elb = [Origin::Classic, Origin::Alb, Origin::Nlb, Origin::AlbConnection, Origin::AlbHealthCheck];
    let conditions = vec![
        when(Subject::Tenant(vec![Some("web".to_owned()), None]), false),
        when(Subject::Source(vec![SourceId(1)]), true),
        when(Subject::Format(vec![Origin::Alb, Origin::Reject]), false),
        when(field("http.response.status_code", Test::Range { min: 500, max: 599 }), false),
        when(Subject::Format(elb.to_vec()), true),
        when(field("event.id", Test::Equals(vec![String::new()])), false),
    ];
    assert_eq!(plan.relay.sinks[1].when, Some(SelectPlan { conditions }));
    let shown = plan.to_string();
    for words in ["tenant web, _unknown", "source not lambda", "format alb, reject", "status_code range 500-599", "not elb"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(plan.report.warnings().is_empty(), "{shown}");
}

#[test]
fn mistakes_in_what_a_sink_is_to_have() {
    check_when("when = [{ tenant = §'wbe' }]", "sink.when.tenant", "did you mean \"web\"?");
    check_when("when = [{ tenant = ['web', §'_unknwn'] }]", "sink.when.tenant", "did you mean \"_unknown\"?");
    check_when("when = [{ tenant = ['web', §'web'] }]", "sink.when.tenant", "named twice");
    check_when("when = [{ tenant = §[] }]", "sink.when.tenant", "lists nothing");
    check_when("when = [{ source = §'lamda' }]", "sink.when.source", "did you mean \"lambda\"?");
    check_when("when = [{ source = §'x' }]", "sink.when.source", "\"in\" or \"lambda\"");
    check_when("when = [{ format = §'nbl' }]", "sink.when.format", "did you mean \"nlb\"?");
    check_when("when = [{ format = §5 }]", "sink.when.format", "expected a string or a list of strings");
    check_when("when = §[]", "sink.when", "lists no condition");
    check_when("when = [§{ not = true }]", "sink.when", "a condition about nothing");
    check_when("when = [§{ source = 'in', format = 'alb' }]", "sink.when", "a condition about several things");
    check_when("when = [{ §sorce = 'in', format = 'alb' }]", "sink.when.sorce", "did you mean source?");
    check_when("when = [{ format = 'alb', §equals = 'x' }]", "sink.when.equals", "belongs to conditions with a field");
    check_when("when = [§{ field = 'a' }]", "sink.when", "a field without a test");
    check_when("when = [§{ field = 'a', equals = 'x', prefix = 'y' }]", "sink.when", "a field with several tests");
    check_when("when = [{ field = §'a..b', equals = 'x' }]", "sink.when.field", "not the name of a field");
    check_when("when = [{ field = §'', equals = 'x' }]", "sink.when.field", "not the name of a field");
    check_when("when = [{ field = 'a', prefix = §'' }]", "sink.when.prefix", "every text begins");
    check_when("when = [{ field = 'a', range = §'5xx' }]", "sink.when.range", "not a range");
    check_when("when = [{ field = 'a', cidr = §'10.0.0.1/8' }]", "sink.when.cidr", "did you mean \"10.0.0.0/8\"?");
    check_when("when = [{ field = 'a', equals = 'x', not = §1 }]", "sink.when.not", "expected true or false");
    check_when("when = §{ format = 'alb' }", "sink.when", "write [[sink.when]] with two brackets");
    check_when(&format!("when = §[{}]", "{ format = 'alb' },".repeat(17)), "sink.when", "at most 16");
}

#[test]
fn a_fallback_has_no_when_of_its_own() {
    let text = with_when("when = [{ format = 'alb' }]").replace("name='all'", "name='all'\nfallback='some'");
    check(&text, (17, 10), "sink.fallback", "\"some\" has a when");
}

#[test]
fn where_every_sink_is_to_have_something_else_a_warning_says_so() {
    let plan =
        plan(&with_when("when = [{ format = 'alb' }]").replacen("type='stdout'", "type='stdout'\nwhen=[{format='nlb'}]", 1));
    assert_eq!(plan.report.warnings().len(), 1, "{plan}");
    assert!(plan.report.warnings()[0].contains("delivered nowhere"), "{plan}");
}

#[test]
fn a_tenant_that_goes_while_the_relay_runs_is_no_mistake() {
    let text = with_when("when = [{ tenant = 'gone' }]");
    assert!(try_load(&text, &Overrides::default()).is_err());
    let overrides = Overrides { is_running: true, ..Overrides::default() };
    let plan = try_load(&text, &overrides).unwrap_or_else(|complaints| panic!("{complaints}"));
    assert_eq!(plan.relay.tenants.tenants.len(), 2);
}
