//! Whether what a server has is what it should have, however it writes that down.
//!
//! Servers add defaults, write settings with dots or without, and numbers as texts. Mappings and settings have to be the same;
//! of all else, what is wanted has to be there.

use std::collections::BTreeMap;

use serde_json::Map;
use serde_json::Value;

/// Where the two first differ, as a path; none where they do not.
pub(super) fn difference(want: &Value, got: &Value) -> Option<String> {
    let mut path = Vec::new();
    differs(want, got, false, &mut path).then(|| path.join("."))
}

/// Leaves `path` at the difference where there is one.
fn differs(want: &Value, got: &Value, is_exact: bool, path: &mut Vec<String>) -> bool {
    match (want, got) {
        (Value::Object(want), Value::Object(got)) => {
            for (name, want) in want {
                path.push(name.clone());
                let differs = match (name.as_str(), got.get(name)) {
                    (_, None) => true,
                    ("settings", Some(got)) => flat(want) != flat(got),
                    ("mappings", Some(got)) => differs(want, got, true, path),
                    (_, Some(got)) => differs(want, got, is_exact, path),
                };
                if differs {
                    return true;
                }
                path.pop();
            }
            let more = got.keys().find(|name| is_exact && !want.contains_key(*name));
            path.extend(more.cloned());
            more.is_some()
        }
        (Value::Array(want), Value::Array(got)) => {
            want.len() != got.len() || want.iter().zip(got).any(|(want, got)| differs(want, got, is_exact, path))
        }
        (want, got) => text(want) != text(got),
    }
}

/// Settings by their full names, without the `index.` that all of them may have.
fn flat(settings: &Value) -> BTreeMap<String, String> {
    fn walk(at: &str, settings: &Map<String, Value>, all: &mut BTreeMap<String, String>) {
        for (name, value) in settings {
            let name = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            match value {
                Value::Object(inner) => walk(&name, inner, all),
                value => _ = all.insert(name.strip_prefix("index.").unwrap_or(&name).to_owned(), text(value)),
            }
        }
    }
    let mut all = BTreeMap::new();
    if let Some(settings) = settings.as_object() {
        walk("", settings, &mut all);
    }
    all
}

/// A value as text, so that 200 is "200".
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(want: Value, got: Value, at: Option<&str>) {
        assert_eq!(difference(&want, &got).as_deref(), at, "{want} and {got}");
    }

    #[test]
    fn what_servers_add_is_no_difference() {
        check(
            json!({"policy": {"phases": {"delete": {"min_age": "30d", "actions": {"delete": {}}}}}}),
            json!({"version": 3, "modified_date": "x", "policy": {"phases": {"delete": {"min_age": "30d", "actions": {"delete": {"delete_searchable_snapshot": true}}}}}}),
            None,
        );
        check(
            json!({"policy": {"states": [{"name": "hot", "actions": [{"rollover": {"min_size": "1gb"}}]}]}}),
            json!({"_id": "x", "policy": {"states": [{"name": "hot", "actions": [{"retry": {"count": 3}, "rollover": {"min_size": "1gb", "copy_alias": false}}]}]}}),
            None,
        );
        check(json!({"priority": 200, "data_stream": {}}), json!({"priority": "200", "data_stream": {"hidden": false}}), None);
    }

    #[test]
    fn settings_are_the_same_however_they_are_written() {
        let want = json!({"settings": {"index": {"lifecycle": {"name": "x"}, "mapping": {"total_fields": {"limit": 2000}}}}});
        for got in [
            json!({"settings": {"index": {"lifecycle": {"name": "x"}, "mapping": {"total_fields": {"limit": "2000"}}}}}),
            json!({"settings": {"lifecycle.name": "x", "index.mapping.total_fields.limit": "2000"}}),
        ] {
            check(want.clone(), got, None);
        }
        check(want.clone(), json!({"settings": {"lifecycle.name": "x"}}), Some("settings"));
        let more = json!({"settings": {"lifecycle.name": "x", "mapping.total_fields.limit": 2000, "number_of_shards": 1}});
        check(want, more, Some("settings"));
    }

    #[test]
    fn mappings_are_exactly_the_same() {
        let want = json!({"template": {"mappings": {"properties": {"a": {"type": "long"}}}}});
        check(want.clone(), want.clone(), None);
        let other = json!({"template": {"mappings": {"properties": {"a": {"type": "keyword"}}}}});
        check(want.clone(), other, Some("template.mappings.properties.a.type"));
        let more = json!({"template": {"mappings": {"properties": {"a": {"type": "long"}, "b": {"type": "long"}}}}});
        check(want.clone(), more.clone(), Some("template.mappings.properties.b"));
        check(more, want, Some("template.mappings.properties.b"));
    }

    #[test]
    fn what_is_missing_or_other_is_found() {
        check(json!({"a": [1, 2]}), json!({"a": [1]}), Some("a"));
        check(json!({"a": [1, 2]}), json!({"a": [1, 3]}), Some("a"));
        check(json!({"a": {"b": 1}}), json!({"a": {}}), Some("a.b"));
        check(json!({"a": {"b": 1}}), Value::Null, Some(""));
    }
}
