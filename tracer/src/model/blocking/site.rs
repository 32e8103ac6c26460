//! Which line of code a stack stands for: the program's own or a module's, rather than the library's that it calls.

use super::stacks::NOT_GO;
use crate::target::gobin::Frame;

/// Where in the code time is spent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    /// The innermost frame that is neither the runtime's nor the standard library's.
    Own(Place),
    /// There is none: the outermost frame that says something.
    Library(Place),
    /// The stack is not known, only the go statement that made the goroutine.
    MadeAt(Place),
    /// Nothing is known.
    Unknown,
}

/// A line of code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The function.
    pub function: String,
    /// Its file, when it is known.
    pub file: Option<String>,
    /// The line; zero when it is not known.
    pub line: u32,
}

impl Place {
    /// A frame's place.
    #[must_use]
    pub fn of(frame: &Frame) -> Self {
        Self { function: frame.function.clone(), file: frame.file.clone(), line: frame.line }
    }

    /// The place as a frame.
    #[must_use]
    pub fn frame(&self) -> Frame {
        Frame { function: self.function.clone(), file: self.file.clone(), line: self.line, inlined: false }
    }
}

impl Site {
    /// Of a stack, the innermost frame first, and of the go statement that made the goroutine. `module` is the main
    /// module's path, whose packages may be named like the standard library's.
    #[must_use]
    pub fn of(stack: &[Frame], origin: Option<&Frame>, module: Option<&str>) -> Self {
        let is_go = |frame: &&Frame| frame.function != NOT_GO;
        let own = |frame: &&Frame| is_go(frame) && !is_library(&frame.function, module);
        if let Some(own) = stack.iter().find(own) {
            return Self::Own(Place::of(own));
        }
        let telling = |frame: &&Frame| is_go(frame) && !frame.function.starts_with("runtime.");
        if let Some(outermost) = stack.iter().rfind(telling).or(stack.iter().rfind(is_go)) {
            return Self::Library(Place::of(outermost));
        }
        // C code on its own stack: who called it from Go does not show.
        match (origin, stack.last()) {
            (Some(origin), _) => Self::MadeAt(Place::of(origin)),
            (None, Some(outermost)) => Self::Library(Place::of(outermost)),
            (None, None) => Self::Unknown,
        }
    }

    /// The line of code, where one is known.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Own(place) | Self::Library(place) | Self::MadeAt(place) => Some(place),
            Self::Unknown => None,
        }
    }

    /// The name in the NDJSON contract.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Own(_) => "own",
            Self::Library(_) => "library",
            Self::MadeAt(_) => "made_at",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether the function is of Go's own library, or of x/sys, which only makes system calls.
pub(super) fn is_library(function: &str, module: Option<&str>) -> bool {
    let package = package_of(function);
    let is_in =
        |path: &str| package.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if module.is_some_and(is_in) {
        return false;
    }
    is_in("golang.org/x/sys") || STANDARD.binary_search(&package.split('/').next().unwrap_or("")).is_ok()
}

/// The package's path: up to the first dot behind the last slash, type arguments aside.
fn package_of(function: &str) -> &str {
    let path = function.split('[').next().unwrap_or(function);
    let last = path.rfind('/').map_or(0, |slash| slash + 1);
    path[last..].find('.').map_or(path, |dot| &path[..last + dot])
}

/// What the standard library's import paths begin with (the folders of Go's src, up to 1.27), in alphabetical order.
const STANDARD: [&str; 53] = [
    "archive",
    "bufio",
    "builtin",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "simd",
    "slices",
    "sort",
    "strconv",
    "strings",
    "structs",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "unicode",
    "unique",
    "unsafe",
    "uuid",
    "vendor",
    "weak",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(functions: &[&str]) -> Vec<Frame> {
        let frame = |function: &&str| Frame {
            function: (*function).to_owned(),
            file: Some("/src/file.go".to_owned()),
            line: 7,
            inlined: false,
        };
        functions.iter().map(frame).collect()
    }

    fn site(functions: &[&str], module: Option<&str>) -> Site {
        Site::of(&frames(functions), None, module)
    }

    fn function(site: &Site) -> &str {
        &site.place().unwrap().function
    }

    #[test]
    fn the_programs_own_code_comes_before_the_library() {
        let stack = ["syscall.read", "internal/poll.(*FD).Read", "example.com/db.(*Conn).Query", "main.main"];
        let own = site(&stack, None);
        assert_eq!((own.name(), function(&own)), ("own", "example.com/db.(*Conn).Query"));
        let library = site(&["syscall.read", "net/http.(*conn).serve", "runtime.goexit"], None);
        assert_eq!((library.name(), function(&library)), ("library", "net/http.(*conn).serve"));
        let runtime = site(&["runtime.futex", "runtime.mstart"], None);
        assert_eq!(function(&runtime), "runtime.mstart");
        assert_eq!(site(&[], None), Site::Unknown);
        assert_eq!(site(&[NOT_GO], None).name(), "library");
        let origin = frames(&["net/http.(*Server).Serve"]);
        assert_eq!(Site::of(&[], origin.first(), None).name(), "made_at");
    }

    #[test]
    fn a_package_is_the_librarys_by_its_path() {
        assert!(STANDARD.is_sorted());
        for library in ["runtime.main", "net/http.(*conn).serve", "golang.org/x/sys/unix.Flock"] {
            assert!(is_library(library, None), "{library}");
        }
        // What the compiler puts between brackets is no part of the path.
        assert!(is_library("slices.SortFunc[go.shape.*example.com/a.T]", None));
        for own in
            ["main.main", "nets/http.F", "golang.org/x/net/http2.F", "gopkg.in/log.v1.F", "x.F[net.IP]"]
        {
            assert!(!is_library(own, None), "{own}");
        }
        assert!(!is_library("log/app.F", Some("log/app")));
        assert!(is_library("log/apple.F", Some("log/app")));
    }
}
