//! What `gotrace list` found, for people and for programs.

use std::io::{self, Write};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::printable;
use crate::target::gobin::Linking;
use crate::target::identity::Runtime;
use crate::target::processes::{GoProcess, Processes};

/// So much of a container's id is shown, as container tools do.
const SHORT_ID: usize = 12;

/// A line of list --json.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(rename = "ListLine")]
enum Line<'a> {
    /// A Go program that runs.
    GoProcess {
        pid: u32,
        exe: String,
        exe_deleted: bool,
        go_version: Option<&'a str>,
        module: Option<&'a str>,
        linking: Option<&'a Linking>,
        /// The container's id, 64 hexadecimal digits.
        container: Option<&'a str>,
        /// What made the container.
        container_runtime: Option<Runtime>,
        /// The Kubernetes pod's UID.
        pod_uid: Option<&'a str>,
        /// The pod's namespace and name, where the node's own files have them.
        pod_namespace: Option<&'a str>,
        pod_name: Option<&'a str>,
        /// The control group's path.
        cgroup: &'a str,
        other_pid_namespace: bool,
        traceable: bool,
        refusal: Option<&'a str>,
    },
}

/// The schema of its lines.
pub(in crate::export) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Line<'static>>()
}

/// One JSON object a line.
///
/// # Errors
/// Only those of the writer.
pub fn write_ndjson(processes: &Processes, out: &mut dyn Write) -> io::Result<()> {
    for process in &processes.found {
        let program = &process.program;
        let line = Line::GoProcess {
            pid: process.pid,
            exe: process.exe.display().to_string(),
            exe_deleted: process.deleted,
            go_version: program.version.as_deref(),
            module: program.module.as_deref(),
            linking: program.linking.as_ref(),
            container: process.identity.container.as_deref(),
            container_runtime: process.identity.runtime,
            pod_uid: process.identity.pod_uid.as_deref(),
            pod_namespace: process.pod.as_ref().map(|pod| pod.namespace.as_str()),
            pod_name: process.pod.as_ref().map(|pod| pod.name.as_str()),
            cgroup: &process.identity.cgroup,
            other_pid_namespace: process.foreign_pids,
            traceable: process.refusal.is_none(),
            refusal: process.refusal.as_deref(),
        };
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// A table for people.
///
/// # Errors
/// Only those of the writer.
pub fn write_text(processes: &Processes, out: &mut dyn Write) -> io::Result<()> {
    if processes.found.is_empty() {
        let which = if processes.denied > 0 { " that may be looked at" } else { "" };
        return writeln!(out, "no Go program runs here{which}");
    }
    let rows: Vec<[String; 5]> = processes.found.iter().map(columns).collect();
    let heads = ["pid", "go", "linking", "container", "program"].map(str::to_owned);
    let width =
        |column: usize| rows.iter().chain([&heads]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    for (row, process) in
        [(&heads, None)].into_iter().chain(rows.iter().zip(processes.found.iter().map(Some)))
    {
        let [pid, go, linking, container, program] = row;
        writeln!(
            out,
            "{pid:>w0$}  {go:w1$}  {linking:w2$}  {container:w3$}  {program}",
            w0 = widths[0],
            w1 = widths[1],
            w2 = widths[2],
            w3 = widths[3],
        )?;
        if let Some(refusal) = process.and_then(|process| process.refusal.as_deref()) {
            writeln!(out, "{:w0$}  cannot be traced: {}", "", printable(refusal), w0 = widths[0])?;
        }
    }
    Ok(())
}

fn columns(process: &GoProcess) -> [String; 5] {
    let program = &process.program;
    let container = place(process);
    let module = program.module.as_deref().map(|module| format!(" ({module})")).unwrap_or_default();
    [
        process.pid.to_string(),
        program.version.as_deref().map_or_else(|| "?".to_owned(), printable),
        program.linking.as_ref().map_or_else(|| "?".to_owned(), linking),
        container,
        printable(&format!("{}{module}", process.exe.display())),
    ]
}

/// The pod, else the container, else that its numbers are its own.
fn place(process: &GoProcess) -> String {
    let identity = &process.identity;
    let short = |id: &str| id.chars().take(SHORT_ID).collect::<String>();
    match (&process.pod, &identity.pod_uid, &identity.container) {
        (Some(pod), _, _) => printable(&format!("{}/{}", pod.namespace, pod.name)),
        (None, Some(uid), _) => format!("pod {}", short(uid)),
        (None, None, Some(id)) => match identity.runtime {
            Some(runtime) => format!("{runtime} {}", short(id)),
            None => short(id),
        },
        (None, None, None) if process.foreign_pids => "own pids".to_owned(),
        (None, None, None) => "-".to_owned(),
    }
}

fn linking(linking: &Linking) -> String {
    let mut words = vec![if linking.interpreter.is_some() { "dynamic" } else { "static" }];
    let more = [(linking.pie, "pie"), (linking.cgo, "cgo"), (linking.stripped, "stripped")];
    words.extend(more.iter().filter(|(is, _)| *is).map(|(_, word)| *word));
    words.join(" ")
}
