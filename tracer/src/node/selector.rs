//! Which processes of the machine are looked at.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use regex::Regex;
use thiserror::Error;

use crate::target::identity::{Identity, Pod};

/// A condition that a process meets or not.
#[derive(Clone, Debug)]
pub enum Selector {
    /// It runs the executable of that path, as its own mount namespace has it.
    Exe(PathBuf),
    /// Its program's main module, or main package, has that path.
    Module(String),
    /// Its control group's path is like that.
    Cgroup(Regex),
    /// The id of its container begins so.
    Container(String),
    /// Its pod is in that namespace.
    Namespace(String),
    /// Its pod is that one.
    Pod(Pod),
}

/// What was meant as a condition, and is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}; one of exe=PATH, module=NAME, cgroup=GLOB, container=ID, namespace=NS, pod=NS/NAME is needed")]
pub struct SelectorError(String);

/// The fewest digits of a container's id.
const SHORTEST_ID: usize = 12;

/// What is known of a process before its executable is read.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The path of its executable, as its own mount namespace has it.
    pub exe: &'a Path,
    /// What its control group tells.
    pub identity: &'a Identity,
    /// Its pod, when it is known.
    pub pod: Option<&'a Pod>,
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let refuse = |why: String| Err(SelectorError(why));
        let Some((kind, value)) = text.split_once('=') else {
            return refuse(format!("{text:?} has no ="));
        };
        if value.is_empty() {
            return refuse(format!("{text:?} selects nothing"));
        }
        Ok(match kind {
            "exe" if value.starts_with('/') => Self::Exe(value.into()),
            "exe" => return refuse(format!("{value:?} is no absolute path")),
            "module" => Self::Module(value.to_owned()),
            "cgroup" => Self::Cgroup(like(value).map_err(|error| SelectorError(error.to_string()))?),
            "container"
                if value.len() < SHORTEST_ID || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                return refuse(format!("{value:?} is not {SHORTEST_ID} or more hexadecimal digits"));
            }
            "container" => Self::Container(value.to_ascii_lowercase()),
            "namespace" => Self::Namespace(value.to_owned()),
            "pod" => match value.split_once('/') {
                Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                    Self::Pod(Pod { namespace: namespace.to_owned(), name: name.to_owned() })
                }
                _ => return refuse(format!("{value:?} is no pod's NAMESPACE/NAME")),
            },
            _ => return refuse(format!("{kind:?} is no condition")),
        })
    }
}

/// `*` stands for any characters, slashes too, and `?` for one. The engine takes time in proportion to the path.
fn like(glob: &str) -> Result<Regex, regex::Error> {
    let pattern = regex::escape(glob).replace(r"\*", ".*").replace(r"\?", ".");
    Regex::new(&format!("(?s)^{pattern}$"))
}

impl Selector {
    /// Whether a process of a program of that module meets it.
    fn takes(&self, facts: Facts<'_>, module: Option<&str>) -> bool {
        match self {
            Self::Exe(path) => facts.exe == path,
            Self::Module(path) => module == Some(path),
            Self::Cgroup(pattern) => pattern.is_match(&facts.identity.cgroup),
            Self::Container(id) => {
                facts.identity.container.as_ref().is_some_and(|container| container.starts_with(id))
            }
            Self::Namespace(namespace) => facts.pod.is_some_and(|pod| pod.namespace == *namespace),
            Self::Pod(wanted) => facts.pod == Some(wanted),
        }
    }
}

/// Which processes: all, or those that meet one of several conditions.
#[derive(Clone, Debug)]
pub enum Selection {
    /// Every Go process.
    All,
    /// Those that meet one of these.
    Any(Vec<Selector>),
}

impl Selection {
    /// Whether a process of a program of that module is looked at.
    #[must_use]
    pub fn takes(&self, facts: Facts<'_>, module: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Any(selectors) => selectors.iter().any(|selector| selector.takes(facts, module)),
        }
    }

    /// Whether it may be, as far as is known before its executable is read.
    #[must_use]
    pub fn may_take(&self, facts: Facts<'_>) -> bool {
        let by_module = |selector: &Selector| matches!(selector, Selector::Module(_));
        let needs_module = matches!(self, Self::Any(selectors) if selectors.iter().any(by_module));
        needs_module || self.takes(facts, None)
    }

    /// Whether nothing but the program counts, whoever runs it and where.
    #[must_use]
    pub fn is_of_programs(&self) -> bool {
        let of_program = |selector: &Selector| matches!(selector, Selector::Exe(_) | Selector::Module(_));
        matches!(self, Self::Any(selectors) if selectors.iter().all(of_program))
    }

    /// The executables that are named by their path.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let selectors = if let Self::Any(selectors) = self { selectors.as_slice() } else { &[] };
        selectors.iter().filter_map(|selector| match selector {
            Selector::Exe(path) => Some(path.as_path()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(selector: &str, cgroup: &str, module: Option<&str>) -> bool {
        let identity = Identity::of_cgroup(cgroup);
        let pod = Pod { namespace: "shop".to_owned(), name: "cart-1".to_owned() };
        let facts = Facts { exe: Path::new("/app/server"), identity: &identity, pod: Some(&pod) };
        Selection::Any(vec![selector.parse().unwrap()]).takes(facts, module)
    }

    #[test]
    fn each_condition_takes_what_it_names_and_nothing_else() {
        let id = "0123456789abcdef".repeat(4);
        let group = format!("/kubepods.slice/cri-containerd-{id}.scope");
        for (selector, taken) in [
            ("exe=/app/server", true),
            ("exe=/app/serve", false),
            ("module=example.com/shop", true),
            ("module=example.com", false),
            ("cgroup=/kubepods*", true),
            ("cgroup=*.slice/cri-????????rd-*", true),
            ("cgroup=/kubepods.slice", false),
            ("cgroup=/kubepodsXslice/*", false),
            ("container=0123456789ab", true),
            ("container=123456789abc", false),
            ("namespace=shop", true),
            ("namespace=sho", false),
            ("pod=shop/cart-1", true),
            ("pod=shop/cart", false),
        ] {
            assert_eq!(takes(selector, &group, Some("example.com/shop")), taken, "{selector}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_a_reason() {
        for (text, why) in [
            ("server", "has no ="),
            ("exe=", "selects nothing"),
            ("exe=server", "no absolute path"),
            ("label=x", "is no condition"),
            ("pod=cart", "NAMESPACE/NAME"),
            ("pod=/cart", "NAMESPACE/NAME"),
            ("container=xyz", "hexadecimal"),
        ] {
            let error = text.parse::<Selector>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_module_is_known_only_when_the_executable_was_read() {
        let identity = Identity::default();
        let facts = Facts { exe: Path::new("/app/server"), identity: &identity, pod: None };
        let by = |selector: &str| Selection::Any(vec![selector.parse().unwrap()]);
        assert!(by("module=m").may_take(facts) && !by("module=m").takes(facts, None));
        assert!(!by("exe=/other").may_take(facts));
        assert!(Selection::All.may_take(facts) && Selection::All.takes(facts, None));
        assert_eq!(by("exe=/other").paths().collect::<Vec<_>>(), [Path::new("/other")]);
    }
}
