//! The agent as what Kubernetes runs on every node: plain YAML, to be applied as it is or as a base of kustomize.

mod collector;
mod name;

use std::fmt::Write as _;
use std::time::Duration;

pub use self::collector::Collector;
pub use self::name::{Image, Name, NameError};
use crate::target::capabilities::Capability;

/// Where the agent answers, as `gotrace node run` does by default.
const PORT: u16 = 9464;

/// What differs between two installations.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The namespace that all of it is in.
    pub namespace: Name,
    /// The image of the agent.
    pub image: Image,
    /// What the agent looks at, as arguments of `gotrace node run`.
    pub selection: Vec<String>,
    /// The namespace that metrics are asked for from.
    pub scraper: Name,
    /// Whether the nodes' kernels take probes with `CAP_SYS_ADMIN` only: those before 6.6.
    pub sys_admin: bool,
    /// Whether first starts are held until their probes are in place.
    pub gate_new: bool,
    /// Whether it is told what processes are blocked on.
    pub blocking: bool,
    /// Whether profiles are served to whoever forwards a port to the pod.
    pub pprof: bool,
    /// Whether there is a `PodMonitor`, for the Prometheus operator.
    pub pod_monitor: bool,
    /// Where starts are sent as traces, if they are.
    pub otlp: Option<Collector>,
    /// Whether metrics are sent there too, and how often if that is said.
    pub otlp_metrics: Option<Option<Duration>>,
}

impl Manifest {
    /// All resources, one YAML document each.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut documents = vec![
            include_str!("namespace.yaml"),
            include_str!("service_account.yaml"),
            include_str!("daemon_set.yaml"),
            include_str!("service.yaml"),
            include_str!("network_policy.yaml"),
        ];
        if self.pod_monitor {
            documents.push(include_str!("pod_monitor.yaml"));
        }
        // What people gave comes last, so that nothing in it is taken for a place to fill in.
        documents
            .join("---\n")
            .replace("{{port}}", &PORT.to_string())
            .replace("{{capabilities}}", &self.capabilities())
            .replace(
                "{{environment}}",
                if self.otlp.is_some() { include_str!("environment.yaml") } else { "" },
            )
            .replace("{{goes-out}}", if self.otlp.is_some() { "what is sent by OTLP" } else { "nothing" })
            .replace("{{egress}}", &self.egress())
            .replace("{{namespace}}", self.namespace.quoted())
            .replace("{{scraper}}", self.scraper.quoted())
            .replace("{{image}}", self.image.quoted())
            .replace("{{selection}}", &self.arguments())
    }

    fn arguments(&self) -> String {
        let mut lines: Vec<String> =
            self.selection.iter().map(|argument| format!("            - {}", quoted(argument))).collect();
        if self.gate_new {
            lines.push("            - --gate-new".to_owned());
        }
        if self.blocking {
            lines.push("            - --blocking".to_owned());
        }
        if self.pprof {
            lines.push(
                "            # To whoever may `kubectl port-forward` to the pod, and to nobody else."
                    .to_owned(),
            );
            lines.push("            - --pprof".to_owned());
        }
        lines.extend(
            self.otlp
                .iter()
                .map(|collector| format!("            - {}", quoted(&format!("--otlp={collector}")))),
        );
        if let Some(interval) = self.otlp_metrics {
            let often = interval.map(|often| format!("={}", humantime::format_duration(often)));
            let option = format!("--otlp-metrics{}", often.unwrap_or_default());
            lines.push(format!("            - {}", quoted(&option)));
        }
        lines.join("\n")
    }

    /// A policy knows no names, and a Service's address is not its pods': so it is the port that counts.
    fn egress(&self) -> String {
        let Some(collector) = &self.otlp else { return " []".to_owned() };
        include_str!("egress.yaml").trim_end().replace("{{port}}", &collector.port().to_string())
    }

    fn capabilities(&self) -> String {
        let mut out = String::new();
        for capability in Capability::NEEDED {
            let _ = writeln!(
                out,
                "                # {}\n                - {}",
                why(capability),
                capability.name()
            );
        }
        if self.sys_admin || self.gate_new {
            if self.gate_new {
                out.push_str(
                    "                # To be asked before a file is executed (fanotify): --gate-new.\n",
                );
            }
            if self.sys_admin {
                let _ = writeln!(out, "                # {}", why(Capability::SysAdmin));
            }
            let _ = writeln!(out, "                - {}", Capability::SysAdmin.name());
        } else {
            out.push_str(
                "                # Not SYS_ADMIN: only kernels before 6.6 ask for it (--sys-admin).\n",
            );
        }
        out.trim_end().to_owned()
    }
}

/// What a capability is for, in a line.
const fn why(capability: Capability) -> &'static str {
    match capability {
        Capability::Bpf => "To load programs and make maps.",
        Capability::Perfmon => "To look at the kernel and at others' processes with them.",
        Capability::SysPtrace => "To look at other users' processes in /proc.",
        Capability::DacReadSearch => "To read their memory, and binaries that not everybody may read.",
        Capability::SysAdmin => {
            "To take probes on instructions one at a time, which kernels before 6.6 ask for (perf_uprobe_event_init)."
        }
    }
}

/// JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(selection: &[&str]) -> Manifest {
        Manifest {
            namespace: "tracing".parse().unwrap(),
            image: "registry.example:5000/gotrace:1".parse().unwrap(),
            selection: selection.iter().map(ToString::to_string).collect(),
            scraper: "monitoring".parse().unwrap(),
            sys_admin: false,
            gate_new: false,
            blocking: false,
            pprof: false,
            pod_monitor: true,
            otlp: None,
            otlp_metrics: None,
        }
    }

    #[test]
    fn every_place_is_filled_and_every_resource_there() {
        let yaml = manifest(&["--all"]).yaml();
        assert!(!yaml.contains("{{"), "{yaml}");
        let kinds: Vec<&str> = yaml.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
        assert_eq!(
            kinds,
            ["Namespace", "ServiceAccount", "DaemonSet", "Service", "NetworkPolicy", "PodMonitor"]
        );
        let without = Manifest { pod_monitor: false, ..manifest(&["--all"]) };
        assert!(!without.yaml().contains("PodMonitor"));
    }

    #[test]
    fn what_is_sent_may_go_out_by_its_port_and_nothing_else_may() {
        let without = manifest(&["--all"]).yaml();
        assert!(without.contains("  egress: []\n") && !without.contains("env:"), "{without}");
        let otlp = Some("http://$(NODE_IP):4318".parse().unwrap());
        let yaml = Manifest { otlp, ..manifest(&["--all"]) }.yaml();
        assert!(yaml.contains("            - \"--otlp=http://$(NODE_IP):4318\"\n"), "{yaml}");
        let (_, egress) = yaml.split_once("  egress:\n").unwrap();
        let ports: Vec<&str> = egress.lines().filter_map(|line| line.trim().strip_prefix("port: ")).collect();
        assert_eq!(ports[..3], ["4318", "53", "53"]);
        assert!(yaml.contains("            - name: NODE_IP\n") && !yaml.contains("{{"), "{yaml}");
    }

    #[test]
    fn it_asks_for_what_gotrace_needs_and_no_more() {
        let added = |yaml: &str| -> Vec<String> {
            let from = yaml.split("add:\n").nth(1).unwrap().split("seccompProfile").next().unwrap();
            let lines = from.lines().filter_map(|line| line.trim().strip_prefix("- "));
            lines.map(str::to_owned).collect()
        };
        let four = ["BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH"];
        assert_eq!(added(&manifest(&["--all"]).yaml()), four);
        let older = Manifest { sys_admin: true, ..manifest(&["--all"]) };
        let holds = Manifest { gate_new: true, ..manifest(&["--all"]) };
        for more in [&older, &holds, &Manifest { gate_new: true, ..older.clone() }] {
            assert_eq!(added(&more.yaml()), [&four[..], &["SYS_ADMIN"]].concat());
        }
    }

    #[test]
    fn a_hostile_selector_stays_an_argument() {
        let yaml = manifest(&["--select", "cgroup=*\"\n  privileged: true\n{{image}}"]).yaml();
        assert!(yaml.contains(r#"            - "cgroup=*\"\n  privileged: true\n{{image}}""#), "{yaml}");
        assert!(!yaml.lines().any(|line| line.trim() == "privileged: true"));
    }
}
