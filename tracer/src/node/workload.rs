//! What starts are counted by.

use prometheus_client::encoding::EncodeLabelSet;
use serde::Serialize;

use crate::export::printable;
use crate::target::identity::{Identity, Pod};

/// A program in a container: the labels of all that is told of it. Empty where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet, Serialize)]
pub struct Workload {
    /// The last part of the executable's path.
    pub exe: String,
    /// The program's main module.
    pub module: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name; its UID where only that is known.
    pub pod: String,
    /// The first digits of the container's id, as `docker ps` shows it.
    pub container_id: String,
}

/// So many characters of a name, whoever chose it.
const LONGEST_LABEL: usize = 128;

/// How much of a container's id.
const SHORT_ID: usize = 12;

impl Workload {
    /// Of a program there.
    #[must_use]
    pub fn new(exe: &str, module: Option<&str>, identity: &Identity, pod: Option<&Pod>) -> Self {
        let uid = || identity.pod_uid.as_deref().unwrap_or_default();
        Self {
            exe: label(exe),
            module: label(module.unwrap_or_default()),
            namespace: label(pod.map_or("", |pod| &pod.namespace)),
            pod: label(pod.map_or_else(uid, |pod| &pod.name)),
            container_id: identity.container.iter().flat_map(|id| id.chars()).take(SHORT_ID).collect(),
        }
    }

    /// Those that are too many to be told apart.
    #[must_use]
    pub fn others() -> Self {
        Self { exe: "(others)".to_owned(), ..Self::default() }
    }
}

/// A value that cannot steer a terminal, and is not long; the format escapes quotes and line ends.
#[must_use]
pub(super) fn label(name: &str) -> String {
    let short: String = name.chars().take(LONGEST_LABEL).collect();
    printable(&short).chars().take(LONGEST_LABEL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_steer_nothing() {
        let hostile = format!("a\u{1b}[2J\"}} 1\n{}", "x".repeat(1 << 20));
        let label = label(&hostile);
        assert_eq!(label.chars().count(), LONGEST_LABEL);
        assert!(label.starts_with(r#"a\u{1b}[2J"} 1\u{a}xx"#), "{label}");
    }

    #[test]
    fn a_pod_without_a_name_has_its_uid() {
        let group = "/kubepods.slice/kubepods-pod0a1b2c3d_0000_1111_2222_333344445555.slice/cri-containerd-";
        let identity = Identity::of_cgroup(&format!("{group}{}.scope", "0123456789abcdef".repeat(4)));
        let workload = Workload::new("server", None, &identity, None);
        assert_eq!(workload.pod, "0a1b2c3d-0000-1111-2222-333344445555");
        assert_eq!(workload.container_id, "0123456789ab");
        let pod = Pod { namespace: "shop".to_owned(), name: "cart-1".to_owned() };
        let workload = Workload::new("server", Some("m"), &identity, Some(&pod));
        assert_eq!((workload.namespace.as_str(), workload.pod.as_str()), ("shop", "cart-1"));
    }
}
