//! HTML that says what it is given and nothing else: every word from outside is escaped.

use std::fmt::{self, Write as _};

use crate::export::printable;

/// Text as it stands between tags and within quoted attributes. What would steer a terminal is shown by its number,
/// as in every other format.
pub(super) struct Words<'a>(pub(super) &'a str);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        printable(self.0).chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_text() {
        let name = "<img src=x onerror='alert(1)'>\"&\u{1b}[2J\u{202e}";
        let shown = Words(name).to_string();
        assert_eq!(shown, "&lt;img src=x onerror=&#39;alert(1)&#39;&gt;&quot;&amp;\\u{1b}[2J\\u{202e}");
    }
}
