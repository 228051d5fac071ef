//! Reads an HTML report as its reader does, and checks its markup.

use std::collections::HashSet;

/// What a reader sees, a line for each element that has text of its own; without its style.
pub fn text_of(report: &str) -> Vec<String> {
    let body = report.split_once("<body>").expect("the report has a body").1.replace("<wbr>", "");
    let mut lines = Vec::new();
    let mut line = String::new();
    for piece in body.split('<') {
        let (tag, text) = piece.split_once('>').unwrap_or(("", piece));
        let is_within = ["span", "/span", "a ", "/a", "small", "i ", "/i"].iter().any(|inner| tag.starts_with(inner));
        if !is_within {
            lines.push(std::mem::take(&mut line));
        }
        line.push_str(text);
        if tag == "small" {
            line.push(' ');
        }
    }
    lines.push(line);
    lines.into_iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Times, dates and ids masked.
pub fn masked(report: &str) -> Vec<String> {
    let is_id = |word: &str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let line = |line: String| {
        // How many lines of time there are is a matter of how long it took.
        if line.starts_with("0 ms") && line.len() > 4 {
            return "AXIS".to_owned();
        }
        let line = line.replace(',', " ,");
        let line = line.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for at in 0..words.len() {
            if at > 0 && matches!(words[at].as_str(), "ms" | "s") && words[at - 1].parse::<f64>().is_ok() {
                words[at - 1] = "#".to_owned();
                words[at] = "ms".to_owned();
            }
            if words[at].split('-').count() == 3 && words[at].len() == 10 {
                words[at] = "DATE".to_owned();
            }
            if words[at].split(':').count() == 3 && words[at].len() == 8 {
                words[at] = "TIME".to_owned();
            }
            words[at] =
                words[at].split('-').map(|part| if is_id(part) { "RUN" } else { part }).collect::<Vec<_>>().join("-");
        }
        words.join(" ").replace(" ,", ",")
    };
    text_of(report).into_iter().map(line).collect()
}

/// One document that asks for nothing and runs nothing: of known tags and attributes alone, each tag closed, each link to a
/// place of its own.
#[track_caller]
pub fn is_self_contained(report: &str) {
    const ALONE: [&str; 4] = ["meta", "input", "wbr", "!DOCTYPE"];
    const TAGS: [&str; 28] = [
        "a", "b", "body", "dd", "div", "dl", "dt", "footer", "h1", "h2", "head", "html", "i", "label", "li", "p",
        "small", "span", "style", "table", "tbody", "td", "th", "thead", "title", "tr", "ul", "main",
    ];
    const ATTRIBUTES: [&str; 15] = [
        "aria-label",
        "charset",
        "checked",
        "class",
        "content",
        "for",
        "href",
        "http-equiv",
        "id",
        "lang",
        "name",
        "role",
        "style",
        "tabindex",
        "title",
    ];
    let style = report.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    assert!(!style.contains("url(") && !style.contains("@import") && !style.contains('<'), "{style}");
    let (mut open, mut links, mut ids) = (Vec::new(), Vec::new(), HashSet::new());
    for piece in report.split('<').skip(1) {
        let tag = piece.split_once('>').unwrap_or_else(|| panic!("a tag without an end: {piece}")).0;
        if let Some(ended) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(ended), "</{ended}>");
            continue;
        }
        let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(ALONE.contains(&name) || TAGS.contains(&name), "<{tag}>");
        if !ALONE.contains(&name) {
            open.push(name);
        }
        while !rest.is_empty() {
            let (attribute, after) = rest.split_once("=\"").unwrap_or((rest, "\""));
            let (value, after) = after.split_once('"').unwrap_or_else(|| panic!("<{tag}>"));
            assert!(
                attribute == "html" && name == "!DOCTYPE"
                    || ATTRIBUTES.contains(&attribute)
                    || attribute == "type" && value == "radio",
                "{attribute} in <{tag}>"
            );
            if attribute == "href" {
                let id = value.strip_prefix('#').unwrap_or_else(|| panic!("{value} is elsewhere"));
                links.push(id);
            }
            if attribute == "id" {
                assert!(ids.insert(value), "two #{value}");
            }
            rest = after.trim_start();
        }
    }
    assert!(open.is_empty(), "not ended: {open:?}");
    assert!(links.iter().all(|link| ids.contains(link)), "a link leads nowhere");
}
