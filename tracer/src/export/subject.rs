//! Whose report it is, for people.

use anstyle::Style;

use super::printable;
use crate::model::Subject;

/// The first line of a text: the program's name in the style `bold`, what it is in `dim`. `which` says which
/// process or processes of it.
pub(super) fn subject_line(subject: &Subject, which: &str, [bold, dim]: [Style; 2]) -> String {
    let name = subject.exe.file_name().unwrap_or(subject.exe.as_os_str()).to_string_lossy();
    let module = subject.module.as_deref().map_or(String::new(), |module| format!("{}, ", printable(module)));
    let (version, kernel) = (printable(&subject.go_version), printable(&subject.kernel));
    format!("{bold}{}{bold:#}  {dim}{module}{version}, {which}, Linux {kernel}{dim:#}", printable(&name))
}
