//! Takes members out of an object by their names, whatever escapes those are written with and however often they occur.
//!
//! What is left is written anew, member by member as each came; only the white space between members is gone. It never looks
//! into a value.

use crate::enrich::fields::FIELD_NAME_BYTES_MAX;
use crate::enrich::fields::Fields;
use crate::json::escape::unescape;
use crate::json::scan::Member;
use crate::json::scan::Scan;

/// Writes the object that `scan` found in `chunk` to `out`, without the members that have a name of `fields`; says how many
/// there were. Where there is none, `out` is left as it was.
pub fn cut(scan: &Scan, chunk: &[u8], fields: &Fields, out: &mut Vec<u8>) -> usize {
    let is_cut = |member: &&Member| is_among(member, chunk, fields);
    let count = scan.members().iter().filter(is_cut).count();
    if count == 0 {
        return 0;
    }
    out.clear();
    out.push(b'{');
    for member in scan.members().iter().filter(|member| !is_cut(member)) {
        if out.len() > 1 {
            out.push(b',');
        }
        // The key is known without its quotes.
        out.extend_from_slice(&chunk[member.key.start as usize - 1..member.value.end as usize]);
    }
    out.push(b'}');
    count
}

#[inline]
fn is_among(member: &Member, chunk: &[u8], fields: &Fields) -> bool {
    let key = &chunk[member.key.range()];
    let mut room = [0; FIELD_NAME_BYTES_MAX];
    let name = match member.key_escaped {
        false if fields.names().may_hold(key) => key,
        false => return false,
        true => match unescape(key, &mut room) {
            Some(name) => name,
            None => return false,
        },
    };
    fields.iter().any(|field| field.name().as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn fields(names: &[&str]) -> Fields {
        Fields::from_pairs(names.iter().map(|name| (name.to_string(), Value::from("ours")))).expect("within the limits")
    }

    #[track_caller]
    fn check(text: &str, count: usize, want: &str) {
        let mut scan = Scan::new();
        let chunk = format!("before\n{text}\nbehind");
        scan.scan(chunk.as_bytes(), 7, 7 + text.len()).expect("JSON");
        let mut out = b"as it was".to_vec();
        assert_eq!(cut(&scan, chunk.as_bytes(), &fields(&["team", "a.b", "caf\u{e9}"]), &mut out), count);
        assert_eq!(String::from_utf8(out).expect("UTF-8"), want);
    }

    #[test]
    fn members_of_those_names_are_gone_wherever_they_stand() {
        check(r#"{"team":1,"x":2}"#, 1, r#"{"x":2}"#);
        check(r#"{"x":2,"team":{"team":[1,{"a":"}"}]}}"#, 1, r#"{"x":2}"#);
        check(r#"{ "x" : 2 , "team" : null , "y" : [ 3 ] , "team":"again" }"#, 2, r#"{"x" : 2,"y" : [ 3 ]}"#);
        check(r#"{"team":1}"#, 1, "{}");
        check(r#"{"a.b":1,"a":{"b":2}}"#, 1, r#"{"a":{"b":2}}"#);
    }

    #[test]
    fn escapes_hide_no_name() {
        check(r#"{"\u0074eam":1,"x":2}"#, 1, r#"{"x":2}"#);
        check("{\"te\\u0061m\":1,\"caf\\u00e9\":2,\"caf\u{e9}\":3}", 3, "{}");
    }

    #[test]
    fn where_there_is_none_nothing_is_written() {
        for text in ["{}", r#"{"Team":1,"team ":2,"b":{"team":3}}"#, r#"{"x":"team"}"#, r#"{"te\"am":1}"#] {
            check(text, 0, "as it was");
        }
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_object_without_them(
            members in vec(("team|x|y|a\\.b|[a-z]{1,6}", "[1-9][0-9]{0,3}|\"[a-z]*\"|\\[1, 2\\]|\\{ \"team\" : 1 \\}"), 0..8),
        ) {
            let texts: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
            let text = format!("{{ {} }}", texts.join(" , "));
            let mut scan = Scan::new();
            scan.scan(text.as_bytes(), 0, text.len()).expect("JSON");
            let mut out = Vec::new();
            let fields = fields(&["team", "a.b"]);
            let count = cut(&scan, text.as_bytes(), &fields, &mut out);
            let kept: Vec<&(String, String)> = members.iter().filter(|(name, _)| fields.find(name).is_none()).collect();
            prop_assert_eq!(count, members.len() - kept.len());
            if count > 0 {
                let want = kept.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect::<Vec<_>>().join(",");
                prop_assert_eq!(String::from_utf8(out.clone()).expect("UTF-8"), format!("{{{want}}}"));
                scan.scan(&out, 0, out.len()).expect("what is left is JSON");
            }
        }
    }
}
