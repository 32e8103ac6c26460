//! Pods' names, without asking the API: the kubelet makes a folder for the logs of each pod of the node, which is named
//! `NAMESPACE_NAME_UID` (pkg/kubelet/kuberuntime/helpers.go, `BuildPodLogsDirectory`).

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::is_uid;

/// A pod's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name in there.
    pub name: String,
}

/// The pods of this node, by their UIDs.
#[derive(Debug)]
pub struct Pods {
    roots: Vec<PathBuf>,
    known: HashMap<String, Pod>,
    read: Option<Instant>,
}

/// Where the kubelet keeps them unless its configuration says otherwise (`podLogsDir`), and where that is for who is in a container and sees
/// the node's processes.
const ROOTS: [&str; 2] = ["/var/log/pods", "/proc/1/root/var/log/pods"];

/// A node has hundreds of pods; some folders of those that are no more.
const MOST: usize = 16 << 10;

/// The folders are not read more often.
const INTERVAL: Duration = Duration::from_secs(1);

/// What names of Kubernetes are at most (RFC 1123).
const LONGEST_NAMESPACE: usize = 63;
const LONGEST_NAME: usize = 253;

impl Default for Pods {
    /// Of this machine.
    fn default() -> Self {
        Self::at(ROOTS.map(PathBuf::from).to_vec())
    }
}

impl Pods {
    /// Those whose log folders are in one of these folders. One that does not exist has none.
    #[must_use]
    pub fn at(roots: Vec<PathBuf>) -> Self {
        Self { roots, known: HashMap::new(), read: None }
    }

    /// The pod of that UID; none when the node has no log folder of it, or had none within the last second. One that
    /// was known is known until the folders are read again for another.
    pub fn of(&mut self, uid: &str) -> Option<&Pod> {
        if !self.known.contains_key(uid) && is_uid(uid) && self.is_due() {
            self.known = read(&self.roots);
            self.read = Some(Instant::now());
        }
        self.known.get(uid)
    }

    fn is_due(&self) -> bool {
        self.read.is_none_or(|read| read.elapsed() >= INTERVAL)
    }
}

fn read(roots: &[PathBuf]) -> HashMap<String, Pod> {
    let folders = roots.iter().flat_map(fs::read_dir).flatten().flatten();
    let named = folders.take(MOST).filter_map(|folder| parse(folder.file_name().to_str()?));
    named.collect()
}

/// None of the three has an underscore in it.
pub(in crate::target) fn parse(folder: &str) -> Option<(String, Pod)> {
    let mut parts = folder.splitn(3, '_');
    let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let is_right = is_name(namespace, LONGEST_NAMESPACE) && is_name(name, LONGEST_NAME) && is_uid(uid);
    is_right.then(|| (uid.to_owned(), Pod { namespace: namespace.to_owned(), name: name.to_owned() }))
}

fn is_name(text: &str, longest: usize) -> bool {
    let is_one = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    (1..=longest).contains(&text.len()) && text.bytes().all(is_one)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "21f5c3de-7b4c-4a8f-9d2e-0a1b2c3d4e5f";
    const STATIC: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90";

    fn pod(namespace: &str, name: &str) -> Pod {
        Pod { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_pod_is_known_by_the_folder_of_its_logs() {
        let root = tempfile::tempdir().unwrap();
        let make = |name: &str| fs::create_dir(root.path().join(name)).unwrap();
        make(&format!("shop_web-7d4b9c.v1_{UID}"));
        make(&format!("kube-system_kube-apiserver-node_{STATIC}"));
        make("lost+found");
        let mut pods = Pods::at(vec![root.path().join("none"), root.path().to_owned()]);
        assert_eq!(pods.of(UID), Some(&pod("shop", "web-7d4b9c.v1")));
        assert_eq!(pods.of(STATIC), Some(&pod("kube-system", "kube-apiserver-node")));

        // A new one is found, but not by reading the folders for each question.
        let new = UID.replace('2', "3");
        make(&format!("shop_new_{new}"));
        assert_eq!(pods.of(&new), None);
        pods.read = Some(Instant::now().checked_sub(INTERVAL).unwrap());
        assert_eq!(pods.of(&new), Some(&pod("shop", "new")));
        assert_eq!(pods.of("../../etc"), None);
    }

    proptest! {
        #[test]
        fn only_what_the_kubelet_makes_is_a_pod(
            namespace in "[a-z_\\PC]{0,3}", name in "[a-zA-Z0-9._-]{0,4}", uid in "[0-9a-f-]{31,37}",
        ) {
            let folder = format!("{namespace}_{name}_{uid}");
            if let Some((found, pod)) = parse(&folder) {
                prop_assert!(is_uid(&found));
                prop_assert_eq!(format!("{}_{}_{found}", pod.namespace, pod.name), folder);
            }
        }
    }
}
