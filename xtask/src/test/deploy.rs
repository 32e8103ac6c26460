//! What runs the agent in a cluster is read by what it is written for: manifests are held against Kubernetes's own schemas,
//! alerts are tried by Prometheus's promtool, which also parses the dashboard's expressions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::VOICE;
use super::suite::Part;
use crate::{cache, exec, fixtures};

/// PyPI's package with the schemas, and an old and a new version of Kubernetes that it has.
const VALIDATOR: &str = "kubernetes-validate==1.37.0";
const KUBERNETES: [&str; 2] = ["1.30", "1.37"];

/// Whether the manifests of `gotrace` are ones that Kubernetes takes.
pub(super) fn manifests(gotrace: &Path, part: &mut Part) -> Result<()> {
    let validator = validator()?;
    let folder = tempfile::tempdir().context("making a folder for the manifests")?;
    let selections: [&[&str]; 3] = [
        &["--all"],
        &["--select", "namespace=shop", "--sys-admin"],
        &["--all", "--otlp", "http://$(NODE_IP):4318", "--otlp-metrics", "15s"],
    ];
    for (number, selection) in selections.iter().enumerate() {
        let yaml = exec::text(Command::new(gotrace).args(["node", "manifest"]).args(*selection))?;
        for version in KUBERNETES {
            let file = folder.path().join(format!("{number}.yaml"));
            validate(&validator, version, &file, &yaml)?;
            part.pass(&format!("Kubernetes {version} takes what {} gives", selection.join(" ")));
            // What it would not take.
            let broken = yaml.replace("hostPID: true", "hostPID: perhaps");
            ensure!(validate(&validator, version, &file, &broken).is_err(), "the validator takes everything");
            let unknown = yaml.replace("readOnlyRootFilesystem", "readOnlyRoot");
            ensure!(
                validate(&validator, version, &file, &unknown).is_err(),
                "the validator takes every field"
            );
        }
    }
    Ok(())
}

fn validate(validator: &Path, version: &str, file: &Path, yaml: &str) -> Result<()> {
    fs::write(file, yaml).with_context(|| format!("writing {}", file.display()))?;
    let mut command = fixtures::python()?;
    command.args(["-m", "kubernetes_validate", "--strict", "-k", version]).arg(file);
    exec::text(command.env("PYTHONPATH", validator)).map(drop)
}

fn validator() -> Result<PathBuf> {
    let folder = cache::folder("tools")?.join(VALIDATOR.replace("==", "-"));
    cache::once(&folder, |folder| {
        let mut pip = fixtures::python()?;
        pip.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target"])
            .arg(folder)
            .arg(VALIDATOR);
        VOICE.quiet("downloading the schemas of Kubernetes", &mut pip)
    })?;
    Ok(folder)
}

/// Whether the alerts fire when they should, and the dashboard asks what Prometheus understands.
pub(super) fn alerts(part: &mut Part) -> Result<()> {
    let promtool = promtool()?;
    let rules = exec::workspace().join("deploy/prometheus");
    exec::text(Command::new(&promtool).args(["check", "rules"]).arg(rules.join("gotrace.rules.yml")))?;
    part.pass("promtool takes the alert rules");
    exec::text(Command::new(&promtool).args(["test", "rules"]).arg(rules.join("gotrace.test.yml")))?;
    part.pass("each alert fires when it should");

    let expressions = expressions(&exec::workspace().join("deploy/grafana/gotrace.json"))?;
    let folder = tempfile::tempdir().context("making a folder for the dashboard's expressions")?;
    let file = folder.path().join("expressions.json");
    let check = |expressions: &[String]| {
        let rule =
            |(number, expr): (usize, &String)| json!({"record": format!("panel:{number}"), "expr": expr});
        let rules: Vec<Value> = expressions.iter().enumerate().map(rule).collect();
        // JSON is YAML.
        fs::write(&file, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string())?;
        exec::text(Command::new(&promtool).args(["check", "rules"]).arg(&file)).map(drop)
    };
    check(&expressions)?;
    ensure!(check(&["sum by (".to_owned()]).is_err(), "promtool takes everything");
    part.pass(&format!("Prometheus understands the {} expressions of the dashboard", expressions.len()));
    Ok(())
}

/// What the dashboard asks, with its variables filled in.
fn expressions(dashboard: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(dashboard).with_context(|| format!("reading {}", dashboard.display()))?;
    let dashboard: Value = serde_json::from_str(&text).context("reading the dashboard")?;
    let panels = dashboard["panels"].as_array().context("the dashboard has no panels")?;
    let mut found = Vec::new();
    for panel in panels {
        let targets = panel["targets"].as_array().context("a panel asks nothing")?;
        for target in targets {
            let expression = target["expr"].as_str().context("a target has no expression")?;
            found.push(
                expression
                    .replace("$__rate_interval", "5m")
                    .replace("$namespace", ".*")
                    .replace("$exe", ".*"),
            );
        }
    }
    if let Some(expression) = found.iter().find(|expression| expression.contains('$')) {
        bail!("an unknown variable in {expression}");
    }
    ensure!(!found.is_empty(), "the dashboard asks nothing");
    Ok(found)
}

/// Debian's, unpacked and not installed.
fn promtool() -> Result<PathBuf> {
    let folder = cache::folder("tools")?.join("prometheus");
    cache::once(&folder, |folder| fixtures::debian("prometheus", &[], folder))?;
    Ok(folder.join("usr/bin/promtool"))
}
