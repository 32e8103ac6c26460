//! The report's own NDJSON lines within the page: its script reads the contract that every other program reads.

use std::io::{self, Write};

/// Writes the lines as one JSON array that nothing in the page can take for markup: `<`, `>` and `&` stand only in
/// JSON's strings, where an escape means the same. So do U+2028 and U+2029, which end a line of a script.
pub(super) fn write_lines(ndjson: &[u8], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "[")?;
    let text = String::from_utf8_lossy(ndjson);
    for (index, line) in text.lines().enumerate() {
        if index > 0 {
            writeln!(out, ",")?;
        }
        let mut rest = line;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (before, from) = rest.split_at(at);
            let mut characters = from.chars();
            let code = characters.next().map_or(0, u32::from);
            write!(out, "{before}\\u{code:04x}")?;
            rest = characters.as_str();
        }
        write!(out, "{rest}")?;
    }
    write!(out, "]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_data_and_say_the_same() {
        let name = "</script><!--<b>&\u{2028}\u{2029}\\u003c";
        let lines = format!(
            "{}\n{}\n",
            serde_json::json!({"type": "init", "package": name}),
            serde_json::json!({"type": "summary"})
        );
        let mut out = Vec::new();
        write_lines(lines.as_bytes(), &mut out).unwrap();
        let written = String::from_utf8(out).unwrap();
        assert!(!written.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{written}");
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read[0]["package"], name);
        assert_eq!(read[1]["type"], "summary");
    }
}
