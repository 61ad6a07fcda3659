//! Words a setting can be, and the word someone probably meant.

/// The words a setting can be: those there are, and those that are known but to come.
pub struct Words<'w, T> {
    /// A word and what it stands for.
    pub now: &'w [(&'static str, T)],
    /// Words this version only recognises.
    pub later: &'w [&'static str],
}

/// The word most like the one typed, or that it begins, if there is one.
pub fn nearest<'w>(typed: &str, words: &[&'w str]) -> Option<&'w str> {
    let typed = typed.to_ascii_lowercase();
    // A third of the letters wrong is a slip; more is another word.
    let slips = (typed.chars().count() / 3).max(1);
    let near = words.iter().map(|word| (strsim::osa_distance(&typed, word), *word));
    let near = near.filter(|(distance, _)| *distance <= slips).min().map(|(_, word)| word);
    let begun = || words.iter().copied().find(|word| typed.len() >= 3 && word.starts_with(&typed));
    near.or_else(begun)
}

/// `"a", "b" or "c"`.
pub fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_beginnings_are_recognised() {
        let words = ["address", "max_bytes", "logstash_tcp", "alb"];
        for (typed, meant) in [
            ("adress", Some("address")),
            ("Max_Bytes", Some("max_bytes")),
            ("maxbytes", Some("max_bytes")),
            ("logstash", Some("logstash_tcp")),
            ("abl", Some("alb")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, &words), meant, "{typed}");
        }
    }

    #[test]
    fn words_are_listed_as_people_would() {
        assert_eq!(quoted(&[]), "");
        assert_eq!(quoted(&["a"]), "\"a\"");
        assert_eq!(quoted(&["a", "b", "c"]), "\"a\", \"b\" or \"c\"");
    }
}
