//! Who started and who tells, in the words of OpenTelemetry's semantic conventions.

use std::os::unix::fs::MetadataExt as _;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::attributes::{number, text};
use super::start::Start;
use crate::export::printable;
use crate::node::workload::label;
use crate::target::identity::Runtime;

/// What all resources of an agent have in common.
#[derive(Clone, Debug)]
pub(super) struct Common {
    /// What the agent was told, in order.
    told: Vec<(String, String)>,
    /// The machine's name; none when that is not known.
    host: Option<String>,
}

impl Common {
    /// With the attributes that the agent was told.
    pub(super) fn new(told: Vec<(String, String)>) -> Self {
        Self { told, host: host() }
    }

    /// The process that started. What is known of it is stronger than what the agent was told of all, but for its
    /// service's name.
    pub(super) fn resource(&self, start: &Start) -> Resource {
        let subject = &start.program.subject;
        let mut attributes = vec![
            number("process.pid", u64::from(start.pid)),
            text("process.executable.name", label(&start.program.exe)),
            text("process.executable.path", printable(&start.program.path.to_string_lossy())),
            text("process.runtime.name", "go"),
            text("process.runtime.version", label(&subject.go_version)),
        ];
        let mut add = |key: &str, value: Option<&str>| {
            attributes.extend(value.map(|value| text(key, label(value))));
        };
        add("gotrace.module", start.program.module.as_deref());
        add("container.id", start.identity.container.as_deref());
        add("container.runtime", start.identity.runtime.map(Runtime::name));
        add("k8s.pod.uid", start.identity.pod_uid.as_deref());
        add("k8s.pod.name", start.pod.as_ref().map(|pod| &*pod.name));
        add("k8s.namespace.name", start.pod.as_ref().map(|pod| &*pod.namespace));
        // What the SDKs call a service of which nothing is known but its executable has that in front.
        let name = if start.program.exe.is_empty() { "unknown_service" } else { &start.program.exe };
        self.complete(attributes, name)
    }

    /// The agent itself. Its instance is named after its machine, since there is one for each, and stays the same when it
    /// begins anew; after this boot of it where no name is known.
    pub(super) fn agent(&self, boot: &str) -> Resource {
        let mut resource = self.complete(vec![text("service.version", env!("CARGO_PKG_VERSION"))], "gotrace");
        if !has(&resource.attributes, INSTANCE) {
            let of = |key: &str| resource.attributes.iter().find(|attribute| attribute.key == key);
            let machine = of("k8s.node.name").or_else(|| of("host.name"));
            let name = machine.and_then(|attribute| attribute.value.clone());
            let instance = match name {
                Some(_) => KeyValue { key: INSTANCE.to_owned(), value: name, ..KeyValue::default() },
                None => text(INSTANCE, boot.trim_end()),
            };
            resource.attributes.push(instance);
        }
        resource
    }

    /// With what the agent was told, where it is not known, the service's name and the machine's.
    fn complete(&self, mut attributes: Vec<KeyValue>, service: &str) -> Resource {
        for (key, value) in &self.told {
            if !has(&attributes, key) {
                attributes.push(text(key, value.as_str()));
            }
        }
        if !has(&attributes, "service.name") {
            attributes.push(text("service.name", label(service)));
        }
        if let Some(host) = self.host.as_deref().filter(|_| !has(&attributes, "host.name")) {
            attributes.push(text("host.name", host));
        }
        Resource { attributes, ..Resource::default() }
    }
}

/// What tells the agents of several machines apart; in Prometheus it is the label `instance`.
const INSTANCE: &str = "service.instance.id";

fn has(attributes: &[KeyValue], key: &str) -> bool {
    attributes.iter().any(|attribute| attribute.key == key)
}

/// What tells.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "gotrace".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The number of the namespace of names that the machine begins with (`PROC_UTS_INIT_INO`, include/linux/proc_ns.h).
const MACHINES_OWN: u64 = 0xEFFF_FFFE;

/// The machine's name. A container has a name of its own, unless it has the machine's network.
fn host() -> Option<String> {
    if std::fs::metadata("/proc/self/ns/uts").ok()?.ino() != MACHINES_OWN {
        return None;
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(label(name.trim_end())).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;
    use crate::model::StartupTimeline;
    use crate::node::figures::Outcome;
    use crate::node::otlp::start::Whose;
    use crate::node::program::Program;
    use crate::target::identity::{Identity, Pod};

    fn told(common: &Common, exe: &str, identity: Identity, pod: Option<Pod>) -> BTreeMap<String, String> {
        let mut program = Program::of_nothing();
        program.exe = exe.to_owned();
        program.subject.go_version = "go1.26.6".to_owned();
        let whose = Whose { pid: 42, program: Arc::new(program), identity, pod };
        let start = Start::over(whose, Outcome::Main, None, Some(0), None, StartupTimeline::default());
        plain(common.resource(&start))
    }

    fn plain(resource: Resource) -> BTreeMap<String, String> {
        let of = |attribute: KeyValue| {
            let value = match attribute.value.and_then(|value| value.value).unwrap() {
                Value::StringValue(text) => text,
                Value::IntValue(number) => number.to_string(),
                other => panic!("{other:?}"),
            };
            (attribute.key, value)
        };
        let count = resource.attributes.len();
        let all: BTreeMap<_, _> = resource.attributes.into_iter().map(of).collect();
        assert_eq!(all.len(), count, "a key that is there twice");
        all
    }

    #[test]
    fn a_service_has_the_name_that_was_told_else_its_executables() {
        let named = |told: &[(&str, &str)]| {
            let told = told.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            Common { told, host: None }
        };
        let name =
            |common: &Common, exe| told(common, exe, Identity::default(), None)["service.name"].clone();
        assert_eq!(name(&named(&[]), "cart"), "cart");
        assert_eq!(name(&named(&[]), ""), "unknown_service");
        assert_eq!(name(&named(&[("service.name", "all")]), "cart"), "all");
    }

    #[test]
    fn an_agent_is_one_of_its_machine() {
        let agent = |told: &[(&str, &str)], host: Option<&str>| {
            let told = told.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            plain(Common { told, host: host.map(str::to_owned) }.agent("boot\n"))
        };
        let alone = agent(&[], None);
        let version = env!("CARGO_PKG_VERSION");
        let expected = [(INSTANCE, "boot"), ("service.name", "gotrace"), ("service.version", version)];
        assert!(alone.iter().map(|(key, value)| (key.as_str(), value.as_str())).eq(expected), "{alone:?}");
        let named = agent(&[], Some("node-1"));
        assert_eq!((&*named["host.name"], &*named[INSTANCE]), ("node-1", "node-1"));
        let told = [("service.name", "all"), ("service.version", "7"), ("k8s.node.name", "node-2")];
        let known = agent(&told, Some("node-1"));
        assert_eq!((&*known["service.name"], &*known[INSTANCE]), ("all", "node-2"));
        assert_eq!((&*known["service.version"], &*known["k8s.node.name"]), (version, "node-2"));
        assert_eq!(agent(&[(INSTANCE, "x")], Some("node-1"))[INSTANCE], "x");
    }

    #[test]
    fn what_is_known_of_the_process_is_stronger_than_what_is_told_of_all() {
        let words = [("process.pid", "1"), ("host.name", "node-1"), ("deployment.environment.name", "prod")];
        let words = words.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let common = Common { told: words, host: Some("other".to_owned()) };
        let uid = "0a1b2c3d-0000-1111-2222-333344445555";
        let id = "0123456789abcdef".repeat(4);
        let identity = Identity::of_cgroup(&format!("/kubepods/burstable/pod{uid}/{id}"));
        let pod = Pod { namespace: "shop".to_owned(), name: "cart-1".to_owned() };
        let all = told(&common, "cart", identity, Some(pod));
        for (key, value) in [
            ("process.pid", "42"),
            ("process.runtime.name", "go"),
            ("process.runtime.version", "go1.26.6"),
            ("host.name", "node-1"),
            ("deployment.environment.name", "prod"),
            ("k8s.pod.uid", uid),
            ("k8s.pod.name", "cart-1"),
            ("k8s.namespace.name", "shop"),
            ("container.id", &id),
        ] {
            assert_eq!(all[key], value, "{key}");
        }
        // Nothing stands for what is not known.
        let none = told(&common, "cart", Identity::default(), None);
        assert!(
            none.keys().all(|key| !key.starts_with("k8s.") && !key.starts_with("container.")),
            "{none:?}"
        );
    }
}
