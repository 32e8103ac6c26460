//! `gotrace node manifest`: the agent, for Kubernetes.

use std::io::{self, Write as _};

use anyhow::Context as _;

use super::super::Exit;
use crate::node::manifest::{Image, Manifest, Name};

/// Print what runs the agent on every node of a Kubernetes cluster, as YAML
///
/// A DaemonSet that is not privileged: root without its rights but for four capabilities, on a read-only file system; a
/// ServiceAccount that may do nothing, a Service, a NetworkPolicy. To be applied as it is, or as a base of kustomize.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  gotrace node manifest --image registry.example/gotrace:1 --select namespace=shop | kubectl apply -f -
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
    /// Also a PodMonitor, for the Prometheus operator
    #[arg(long)]
    pod_monitor: bool,
    /// Also the capability SYS_ADMIN, without which kernels before 6.6 take no probe on an instruction
    #[arg(long)]
    sys_admin: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let selection = if args.all {
        vec!["--all".to_owned()]
    } else {
        args.select.iter().map(|what| format!("--select={what}")).collect()
    };
    let manifest = Manifest {
        namespace: args.namespace.clone(),
        image: args.image.clone(),
        selection,
        scraper: args.scraped_from.clone(),
        sys_admin: args.sys_admin,
        pod_monitor: args.pod_monitor,
    };
    match io::stdout().lock().write_all(manifest.yaml().as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        other => other.context("cannot write to standard output").map(|()| Exit::Ok),
    }
}

/// One that `gotrace node run` may understand.
fn selector(text: &str) -> Result<String, String> {
    const KINDS: [&str; 6] = ["exe", "module", "cgroup", "container", "namespace", "pod"];
    match text.split_once('=') {
        Some((kind, what)) if KINDS.contains(&kind) && !what.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("WHAT begins with one of {}, and =", KINDS.join(", "))),
    }
}
