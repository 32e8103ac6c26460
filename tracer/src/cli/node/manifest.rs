//! `gotrace node manifest`: the agent, for Kubernetes.

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::Context as _;

use super::super::Exit;
use super::interval;
use crate::node::manifest::{Collector, Image, Manifest, Name};
use crate::node::{Selector, SelectorError};

/// Print what runs the agent on every node of a Kubernetes cluster, as YAML
///
/// A DaemonSet that is not privileged: root without its rights but for four capabilities, on a read-only file system; a
/// ServiceAccount that may do nothing, a Service, a NetworkPolicy. To be applied as it is, or as a base of kustomize.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  gotrace node manifest --image registry.example/gotrace:1 --select namespace=shop | kubectl apply -f -
  gotrace node manifest --all --otlp 'http://$(NODE_IP):4318' --otlp-metrics > base/gotrace.yaml
  gotrace node manifest --all --pod-monitor --namespace tracing > base/gotrace.yaml")]
pub(super) struct Args {
    /// Look at processes that are so: exe=PATH, module=NAME, cgroup=GLOB, container=ID, namespace=NS or pod=NS/NAME.
    /// Repeatable; one that fits is enough
    #[arg(long, value_name = "WHAT", value_parser = selector, required_unless_present = "all")]
    select: Vec<String>,
    /// Look at every Go process of each node
    #[arg(long, conflicts_with = "select")]
    all: bool,
    /// The image, as deploy/Containerfile makes it
    #[arg(long, value_name = "IMAGE", default_value = concat!("gotrace:", env!("CARGO_PKG_VERSION")))]
    image: Image,
    /// The namespace to be in
    #[arg(long, value_name = "NAME", default_value = "gotrace")]
    namespace: Name,
    /// The namespace that Prometheus is in, the only one that may ask for the metrics
    #[arg(long, value_name = "NAME", default_value = "monitoring")]
    scraped_from: Name,
    /// Hold first starts until their probes are in place (node run --gate-new), with the capability SYS_ADMIN
    #[arg(long)]
    gate_new: bool,
    /// Also tell what processes are blocked on, by cause (node run --blocking)
    #[arg(long)]
    blocking: bool,
    /// Also serve profiles, to whoever forwards a port to a pod of it (node run --pprof)
    #[arg(long)]
    pprof: bool,
    /// Also send each start as a trace to an OTLP receiver (node run --otlp). http://$(NODE_IP):4318 is a collector on
    /// each node; headers come from the Secret gotrace-otlp, key headers, if it is there
    #[arg(long, value_name = "URL")]
    otlp: Option<Collector>,
    /// Also send it the metrics, every minute or so often (node run --otlp-metrics)
    #[arg(long, value_name = "INTERVAL", value_parser = interval, requires = "otlp")]
    otlp_metrics: Option<Option<Duration>>,
    /// Also a PodMonitor, for the Prometheus operator
    #[arg(long)]
    pod_monitor: bool,
    /// Also the capability SYS_ADMIN, without which kernels before 6.6 take no probe on an instruction
    #[arg(long)]
    sys_admin: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match io::stdout().lock().write_all(manifest(args).yaml().as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        other => other.context("cannot write to standard output").map(|()| Exit::Ok),
    }
}

fn manifest(args: &Args) -> Manifest {
    let selection = if args.all {
        vec!["--all".to_owned()]
    } else {
        args.select.iter().map(|what| format!("--select={what}")).collect()
    };
    Manifest {
        namespace: args.namespace.clone(),
        image: args.image.clone(),
        selection,
        scraper: args.scraped_from.clone(),
        sys_admin: args.sys_admin,
        gate_new: args.gate_new,
        blocking: args.blocking,
        pprof: args.pprof,
        pod_monitor: args.pod_monitor,
        otlp: args.otlp.clone(),
        otlp_metrics: args.otlp_metrics,
    }
}

/// One that `gotrace node run` understands, as it was written.
fn selector(text: &str) -> Result<String, SelectorError> {
    text.parse::<Selector>().map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::super::{Cli, Verb};
    use super::super::Verb as NodeVerb;
    use super::*;

    /// The arguments of the container in what is printed for that command line.
    fn arguments(command_line: &[&str]) -> Vec<String> {
        let cli = Cli::try_parse_from([&["gotrace", "node", "manifest"], command_line].concat()).unwrap();
        let Verb::Node(super::super::Args { verb: NodeVerb::Manifest(args) }) = cli.verb else {
            panic!("another verb")
        };
        let yaml = manifest(&args).yaml();
        let (_, rest) = yaml.split_once("          args:\n").expect("the container has arguments");
        let within = rest.lines().take_while(|line| line.starts_with("            "));
        let text = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| line.to_owned());
        within.filter_map(|line| line.strip_prefix("            - ")).map(text).collect()
    }

    #[test]
    fn node_run_understands_the_arguments_of_the_daemon_set() {
        for selection in [&["--all"][..], &["--select", "namespace=shop", "--select", "cgroup=/a b/*"]] {
            let arguments = arguments(selection);
            for option in ["--pprof", "--gate-new", "--blocking"] {
                let with = self::arguments(&[selection, &[option]].concat());
                let more: Vec<&String> = with.iter().filter(|one| !arguments.contains(one)).collect();
                assert_eq!(more, [option]);
                let cli = [&["gotrace".to_owned()], &with[..]].concat();
                assert!(Cli::try_parse_from(&cli).is_ok(), "{cli:?}");
            }
            let sending = self::arguments(&[selection, &["--otlp", "http://collector:4318"]].concat());
            assert!(sending.contains(&"--otlp=http://collector:4318".to_owned()), "{sending:?}");
            let cli = [&["gotrace".to_owned()], &sending[..]].concat();
            assert!(Cli::try_parse_from(&cli).is_ok(), "{cli:?}");
            for (given, taken) in [
                (&["--otlp-metrics"][..], "--otlp-metrics"),
                (&["--otlp-metrics", "90s"], "--otlp-metrics=1m 30s"),
            ] {
                let more = [selection, &["--otlp", "http://collector:4318"], given].concat();
                let all = self::arguments(&more);
                assert!(all.contains(&taken.to_owned()), "{all:?}");
                let cli = [&["gotrace".to_owned()], &all[..]].concat();
                assert!(Cli::try_parse_from(&cli).is_ok(), "{cli:?}");
            }
            let cli = Cli::try_parse_from([&["gotrace".to_owned()], &arguments[..]].concat())
                .unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
            let Verb::Node(super::super::Args { verb: NodeVerb::Run(_) }) = cli.verb else {
                panic!("another verb: {arguments:?}")
            };
            let selected = arguments.iter().filter(|argument| argument.starts_with("--select=")).count();
            assert_eq!(selected, selection.len() / 2, "{arguments:?}");
        }
    }

    #[test]
    fn what_node_run_would_refuse_is_refused_here() {
        let of = |more: &[&str]| {
            Cli::try_parse_from([&["gotrace", "node", "manifest", "--all"], more].concat()).is_ok()
        };
        assert!(!of(&["--otlp-metrics"]) && !of(&["--otlp", "http://a", "--otlp-metrics", "1ms"]));
        for what in ["pod=shop", "exe=server", "container=12", "user=root"] {
            assert!(
                Cli::try_parse_from(["gotrace", "node", "manifest", "--select", what]).is_err(),
                "{what}"
            );
        }
    }
}
