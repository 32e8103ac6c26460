//! Following a running program: its system calls are summed up in the kernel, the slow ones come one by one.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use tracer_ebpf::config::{FileConfig, GoConfig};
use tracer_ebpf::wire::blocking::BRIEF_ENTRIES;

use super::super::kernel_config::go_config;
use super::super::recorder::Recorder;
use super::around::AroundProcess;
use super::capture::Capture;
use super::gc::{self, Collector};
use super::waits::{Plan, Waits};
use crate::capture::RecordedAnswers;
use crate::event::{Decoder, EventKind};
use crate::model::{BinarySymbols, Following, MissingProbe};
use crate::probe::Probe;
use crate::probe::attach::{AttachError, Attached};
use crate::probe::load::{BlockingMaps, LoadError, LoadOptions, Loaded, config_of};
use crate::probe::{Blocking, Gc, Parking, blocking_config, file_config};
use crate::stream::{ProbeLoss, Ring, Tables};
use crate::target::pid_namespace;
use crate::target::process::Process;
use crate::units::{Nanos, boot_clock};

/// Below this a call is summed up without its stack, which costs more than the call.
pub(super) const STACK_FROM: Nanos = Nanos(20_000);

/// Room in the kernel: 600 bytes a sum, 100 a thread, 64 a wait, 1 kB a stack.
const MOST_SUMS: u32 = 1 << 13;
const MOST_THREADS: u32 = 1 << 14;
const MOST_WAITS: u32 = 1 << 16;
const MOST_SAMPLES: u32 = 1 << 13;
const MOST_STACKS: u32 = 1 << 14;

/// How to follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// What takes this long is told by itself.
    pub(super) slow: Duration,
    /// So many times a second it is looked at where the program runs, on every CPU; 0 for never.
    pub(super) frequency: u64,
    /// Whether all fails without that.
    pub(super) must_sample: bool,
    /// Whether addresses and paths are left out.
    pub(super) redact: bool,
    pub(super) ring_bytes: u32,
    pub(super) kernel_log: bool,
}

/// The probes, armed, and what they have told so far.
pub(super) struct Live<'a> {
    process: &'a Process,
    symbols: BinarySymbols<'a>,
    attached: Attached,
    maps: BlockingMaps,
    /// With `--waits` only.
    pub(super) waits: Option<Waits>,
    /// Without `--no-gc`, where it can be had.
    pub(super) collector: Option<Collector<'a>>,
    /// Why it is not, and other things are not.
    pub(super) untold: Vec<MissingProbe>,
    ring: Ring,
    decoder: Decoder,
    /// When the last probe was armed.
    pub(super) since: Nanos,
    /// What events told since the last report.
    pub(super) following: Following,
    /// What takes this long is told by itself.
    pub(super) slow_from: Nanos,
    pub(super) capture: Capture,
    /// How many times a second it is looked where the program runs.
    pub(super) frequency: u64,
    /// The program that the process became.
    pub(super) replaced: Option<String>,
}

/// That it is not looked where the program runs. Told, and not refused, to who did not ask for it.
fn unsampled(reason: &str) -> MissingProbe {
    MissingProbe {
        probe: Probe::OnCpu.name().into(),
        function: "perf_event_open".to_owned(),
        reason: format!("{reason}; where kernel.perf_event_paranoid is above 2 it takes CAP_SYS_ADMIN"),
        is_detail: true,
    }
}

impl<'a> Live<'a> {
    /// Loads the programs and arms them for the process.
    pub(super) fn attach(
        process: &'a Process,
        symbols: BinarySymbols<'a>,
        options: &Options,
        waits: Option<Plan>,
        gc: Option<Result<gc::Plan, MissingProbe>>,
        recorder: Recorder,
    ) -> anyhow::Result<Self> {
        let binary = symbols.binary;
        let own = pid_namespace::current()?;
        let files = file_config().unwrap_or_else(|error| {
            tracing::warn!("what descriptors stand for is not told: the kernel's type information: {error}");
            FileConfig::NONE
        });
        let slow = Nanos(u64::try_from(options.slow.as_nanos()).unwrap_or(u64::MAX));
        let target = process.pid_namespace()?.filter(|target| Some(*target) != own);
        let blocking = Blocking {
            config: blocking_config(binary, target, slow, STACK_FROM.min(slow)),
            files,
            most_sums: MOST_SUMS,
            brief_entries: BRIEF_ENTRIES,
            most_threads: MOST_THREADS,
            most_waits: MOST_WAITS,
            most_samples: MOST_SAMPLES,
            most_stacks: MOST_STACKS,
        };
        let (gc, untold) = match gc {
            None => (None, None),
            Some(Ok(plan)) => (Some(plan), None),
            Some(Err(missing)) => (None, Some(missing)),
        };
        let go = if gc.is_some() { go_config(binary, options.slow) } else { GoConfig::default() };
        let Options { ring_bytes, kernel_log, redact, mut frequency, must_sample, .. } = *options;
        let mut untold: Vec<MissingProbe> = untold.into_iter().collect();
        let parking = waits.as_ref().map_or(Parking::NONE, Plan::room);
        let collector = gc.as_ref().map_or(Gc::NONE, gc::Plan::room);
        let start = LoadOptions::of_start(config_of(process.pid, own));
        let load = LoadOptions { go, blocking, parking, gc: collector, ring_bytes, kernel_log, ..start };
        let mut loaded = Loaded::load(&load)?;
        let (ring, maps) = (Ring::of(&mut loaded, kernel_log)?, loaded.take_blocking()?);
        let parking = waits.map(|plan| Ok::<_, LoadError>((plan, loaded.take_parking()?))).transpose()?;
        let assists = loaded.take_assists()?;
        if frequency > 0
            && let Err(error) = loaded.attach_sampling(frequency)
        {
            let AttachError::Sampling { reason } = &error else { return Err(error.into()) };
            if must_sample {
                return Err(error.into());
            }
            untold.push(unsampled(reason));
            frequency = 0;
        }
        let mut attached = loaded.attach_blocking()?;
        let waits = parking.map(|(plan, maps)| Waits::attach(&mut attached, maps, plan, process, binary));
        let waits = waits.transpose()?;
        let collector = gc.map(|plan| Collector::attach(&mut attached, assists, plan, process, binary));
        let (collector, history) = collector.transpose()?.unzip();
        Ok(Self {
            process,
            symbols,
            attached,
            maps,
            waits,
            collector,
            untold,
            ring,
            decoder: Decoder::default(),
            since: boot_clock(),
            following: Following::new(redact, history),
            slow_from: slow,
            capture: Capture::new(recorder, redact),
            frequency,
            replaced: None,
        })
    }

    /// What is readable when it has been slept ([`Live::rest`]) and something came.
    pub(super) fn woken(&self) -> io::Result<OwnedFd> {
        self.ring.woken()
    }

    /// Whether nothing but records asks for anything. The probes on the scheduler have none, and are to be looked after.
    pub(super) fn may_rest(&self) -> bool {
        self.waits.is_none()
    }

    /// Asks to be woken by the next record. Returns whether there is none yet, and it can be slept until then.
    pub(super) fn rest(&mut self) -> anyhow::Result<bool> {
        self.ring.ask_to_be_woken().context("cannot ask the kernel side to wake gotrace")?;
        Ok(self.drain() == 0)
    }

    /// Takes what the ring holds. Returns how many records.
    pub(super) fn drain(&mut self) -> usize {
        let around = AroundProcess::new(self.process, self.symbols);
        let asked = RecordedAnswers::new(&around);
        let records = self.ring.take();
        for record in &records {
            let Some(event) = self.decoder.decode(record) else { continue };
            self.following.note(&event, &asked);
            if let EventKind::Exec { comm, .. } = event.kind {
                self.replaced = Some(comm);
            }
        }
        self.capture.took(&records, asked.answers());
        records.len()
    }

    /// The sums by now.
    pub(super) fn tables(&self) -> anyhow::Result<Tables> {
        let mut tables = Tables::read(&self.maps).context("cannot read the sums")?;
        if let Some(waits) = &self.waits {
            waits
                .read(&mut tables, &self.maps.stacks)
                .context("cannot read the sums of parked goroutines")?;
        }
        if let Some(collector) = &self.collector {
            collector.read(&mut tables, &self.maps.stacks).context("cannot read the sums of assists")?;
        }
        Ok(tables)
    }

    /// Every probe's account, and how many records were of no known kind.
    pub(super) fn losses(&self) -> anyhow::Result<(Vec<ProbeLoss>, u64)> {
        Ok((self.ring.losses()?, self.decoder.undecodable))
    }

    /// Looks at what the probes on the scheduler cost.
    pub(super) fn govern(&mut self) -> anyhow::Result<()> {
        match &mut self.waits {
            Some(waits) if waits.is_due() => waits.look(&mut self.attached, &self.ring.losses()?),
            _ => Ok(()),
        }
    }

    /// Disarms the probes, which takes that long.
    pub(super) fn detach(self) -> (Capture, Duration) {
        (self.capture, self.attached.detach())
    }
}
