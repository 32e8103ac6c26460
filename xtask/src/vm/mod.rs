//! `cargo xtask vm`: another kernel, in QEMU, with gotrace and its fixtures in it.

mod boot;
mod image;
mod kernel;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

pub(crate) use self::boot::{Clock, Outcome};
use self::image::Image;
pub(crate) use self::kernel::Kernel;
use crate::exec::Voice;
use crate::fixtures::{self, Selection};
use crate::{apt, build, cache, test};

const VOICE: Voice = Voice("vm");

/// Boots a Debian kernel in QEMU and runs a command there, or a shell.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which of Debian's kernels
    #[arg(long, value_enum, default_value = "6.12")]
    kernel: Kernel,
    /// End it after this many seconds
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Runs those of the privileged tests whose names have this in them, instead of a command
    #[arg(long, value_name = "FILTER", conflicts_with = "command")]
    tests: Vec<String>,
    /// The command; `gotrace` and the fixtures' programs are on its PATH. Without one, a shell
    #[arg(last = true)]
    command: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !args.tests.is_empty() {
        return test::chosen(args.kernel, &args.tests.join(" "), None);
    }
    let mut guest = Guest::new(args.kernel)?;
    guest.program(&build::gotrace()?, "/usr/bin/gotrace")?;
    let folder = fixtures::folder()?;
    guest.fixtures(&folder, |_| true).or_else(|_| {
        fixtures::ensure(&Selection::Quick)?;
        guest.fixtures(&folder, |_| true)
    })?;
    if args.command.is_empty() {
        return guest.shell();
    }
    let script = args.command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ");
    let outcome = guest.run(&script, Duration::from_secs(args.timeout), |line| println!("{line}"))?;
    for line in &outcome.kernel_complaints {
        VOICE.say(format_args!("the guest's kernel log says: {line}"));
    }
    Ok(ExitCode::from(outcome.exit_code))
}

/// A machine to be: a kernel, and the files that it will find.
pub(crate) struct Guest {
    kernel: Kernel,
    image: Image,
    path: Vec<String>,
    variables: Vec<(String, String)>,
    clock: Clock,
    gives_way: bool,
}

impl Guest {
    /// A guest with a shell and nothing else. Fetches the kernel, QEMU and busybox when they are not there.
    pub(crate) fn new(kernel: Kernel) -> Result<Self> {
        boot::prepare()?;
        kernel.fetch()?;
        let mut image = Image::new();
        let busybox = cache::root()?.join("busybox");
        cache::once(&busybox, |folder| apt::unpack(VOICE, "busybox-static", folder))?;
        image.file(&busybox.join("bin/busybox"), "/bin/busybox")?;
        // Busybox's own leaves its child behind when it is killed.
        image
            .program(&which::which("unshare").context("finding unshare (util-linux)")?, "/usr/bin/unshare")?;
        image.file(&kernel.unix_diag()?, "/lib/unix_diag.ko")?;
        image.text("/init", include_str!("init.sh"), 0o755);
        image.text(
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:guest:/tmp:/bin/sh\n",
            0o644,
        );
        image.text("/etc/group", "root:x:0:\nguest:x:1000:\n", 0o644);
        image.text("/etc/services", "http 80/tcp\nhttps 443/tcp\n", 0o644);
        Ok(Self {
            kernel,
            image,
            path: Vec::new(),
            variables: Vec::new(),
            clock: Clock::Real,
            gives_way: false,
        })
    }

    /// Puts a program there, with the libraries that it is linked to.
    pub(crate) fn program(&mut self, from: &Path, to: &str) -> Result<()> {
        self.image.program(from, to).with_context(|| format!("putting {} into the guest", from.display()))
    }

    /// Chooses how its time passes.
    pub(crate) fn clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Lets it run only while nothing else here wants a processor.
    pub(crate) fn give_way(&mut self) {
        self.gives_way = true;
    }

    /// Sets a variable for the command.
    pub(crate) fn variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Puts the chosen fixtures there, under the same paths as here, and a manifest of just these.
    pub(crate) fn fixtures(
        &mut self,
        folder: &Path,
        chosen: impl Fn(&fixtures::Fixture) -> bool,
    ) -> Result<()> {
        // What Debian packed has more libraries than the guest has room for, and is tried natively.
        let packed = |fixture: &fixtures::Fixture| {
            Path::new(&fixture.path).starts_with(folder.join(&fixture.name).join("usr"))
        };
        let mut fixtures = fixtures::read(folder)?;
        fixtures.retain(|fixture| !packed(fixture) && chosen(fixture));
        for fixture in &fixtures {
            self.program(Path::new(&fixture.path), &fixture.path)?;
            if let Some((folder, _)) = fixture.path.rsplit_once('/') {
                self.path.push(folder.to_owned());
            }
        }
        let manifest = folder.join("fixtures.json");
        let text = serde_json::to_string_pretty(&fixtures)?;
        self.image.text(manifest.to_str().context("the cache's path is not UTF-8")?, &text, 0o644);
        Ok(())
    }

    /// Runs a shell script as root, and hands over what it prints, line by line.
    pub(crate) fn run(
        &mut self,
        script: &str,
        timeout: Duration,
        on_line: impl FnMut(&str),
    ) -> Result<Outcome> {
        if !std::io::stdout().is_terminal() {
            // The guest's console is a terminal; what its output goes to here is not.
            self.variable("NO_COLOR", "1");
        }
        self.image.text("/command", &format!("{}{script}\n", self.exports()), 0o755);
        let image = self.write()?;
        let kernel = self.kernel.image()?;
        let name = kernel.file_name().unwrap_or_default().display();
        VOICE.say(format_args!("booting {name} ({} s at most)", timeout.as_secs()));
        let outcome = boot::run(boot::qemu(&kernel, &image, self.clock, self.gives_way), timeout, on_line);
        drop(std::fs::remove_file(&image));
        outcome.with_context(|| format!("running a command on Debian's {} kernel in QEMU", self.kernel))
    }

    /// A shell for a person.
    pub(crate) fn shell(mut self) -> Result<ExitCode> {
        self.image.text("/etc/profile", &self.exports(), 0o644);
        let image = self.write()?;
        VOICE.say("a shell as root; `exit` ends the machine, Ctrl-A X kills it");
        let ended = boot::interactive(boot::qemu(&self.kernel.image()?, &image, self.clock, self.gives_way));
        drop(std::fs::remove_file(&image));
        ended
    }

    fn exports(&self) -> String {
        let mut text = format!("export PATH={}:$PATH\n", self.path.join(":"));
        for (name, value) in &self.variables {
            text += &format!("export {name}={}\n", shell_word(value));
        }
        text
    }

    fn write(&self) -> Result<PathBuf> {
        let path = cache::folder("vm")?.join(format!("{}-{}.cpio", self.kernel, std::process::id()));
        self.image.write(&path)?;
        Ok(path)
    }
}

/// A word that the shell takes as it is.
pub(crate) fn shell_word(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
