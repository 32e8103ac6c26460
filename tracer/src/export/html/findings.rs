//! What stands out.

use std::io::{self, Write};

use super::markup::Words;
use super::page::{end, section};
use crate::model::Finding;

/// So many are seen at once.
const FIRST: usize = 8;

/// Writes the section; the costliest comes first.
pub(super) fn write(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    section("findings", "What stands out", out)?;
    let (first, rest) = findings.split_at(findings.len().min(FIRST));
    if first.is_empty() {
        writeln!(out, "<p class=good>Nothing does.")?;
    }
    list(first, out)?;
    if !rest.is_empty() {
        writeln!(out, "<details><summary>{} more</summary>", rest.len())?;
        list(rest, out)?;
        writeln!(out, "</details>")?;
    }
    end(out)
}

fn list(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<ol class=findings>")?;
    for finding in findings {
        write!(
            out,
            "<li data-finding={}><b class=cost>{}</b><div><p>{}",
            finding.id,
            finding.duration.for_people(),
            Words(&finding.text)
        )?;
        write!(out, "<p class=advice>")?;
        if let Some(place) = &finding.place {
            write!(out, "at <code>{}</code> · ", Words(&place.to_string()))?;
        }
        writeln!(out, "{}</div>", Words(finding.advice))?;
    }
    writeln!(out, "</ol>")
}
