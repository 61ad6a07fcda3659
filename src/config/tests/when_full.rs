//! What becomes of a sink's documents when the buffer is full, as written.

use super::*;
use crate::sink::WhenFull;

const SOURCE: &str = "[[source]]\nname='in'\ntype='tcp'\naddress='127.0.0.1:5000'\n";

/// A sink without it, and one with this line.
fn with(line: &str) -> String {
    format!("{SOURCE}[[sink]]\nname='all'\ntype='stdout'\n[[sink]]\nname='some'\ntype='stdout'\n{line}\n")
}

#[test]
fn each_sink_has_its_own_and_blocks_by_default() {
    for (line, when_full) in [
        ("when_full = 'block'", WhenFull::Block),
        ("when_full = 'dead_letter'", WhenFull::DeadLetter),
        ("when_full = 'drop_oldest'", WhenFull::DropOldest),
    ] {
        let plan = plan(&format!("data_dir = '/x'\n{}", with(line)));
        let sinks: Vec<WhenFull> = plan.relay.sinks.iter().map(|sink| sink.when_full).collect();
        assert_eq!(sinks, [WhenFull::Block, when_full]);
        let shown = plan.to_string();
        let said: Vec<&str> = shown.lines().filter(|line| line.trim_start().starts_with("when_full")).collect();
        let [letters, all, some] = said[..] else { panic!("{shown}") };
        assert!(letters.contains("block") && all.contains("block") && all.contains("default"), "{shown}");
        assert!(some.contains(when_full.label()) && !some.contains("default"), "{shown}");
    }
}

#[test]
fn what_is_dropped_needs_no_directory_and_what_is_kept_does() {
    assert_eq!(plan(&with("when_full = 'drop_oldest'")).relay.sinks[1].when_full, WhenFull::DropOldest);
    check(&with("when_full = 'dead_letter'"), (11, 13), "sink.when_full", "there is no data_dir");
}

#[test]
fn mistakes_in_it() {
    check(&with("when_full = 'drop_odlest'"), (11, 13), "sink.when_full", "did you mean \"drop_oldest\"?");
    check(&with("when_full = 'wait'"), (11, 13), "sink.when_full", "\"block\", \"dead_letter\" or \"drop_oldest\"");
    check(&with("when_full = 1"), (11, 13), "sink.when_full", "expected a string");
    let text = with("when_full = 'drop_oldest'").replace("name='all'", "name='all'\nfallback='some'");
    check(&text, (7, 10), "sink.fallback", "\"some\" has a when_full");
}
