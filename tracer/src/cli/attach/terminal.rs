//! The terminal while a program is followed: one screen, drawn anew; what was on it before comes back at the end.

use std::io::{self, IsTerminal as _, Write as _};

use crate::units::Nanos;

/// ECMA-48's and xterm's control sequences.
const OTHER_SCREEN: &str = "\x1b[?1049h\x1b[?25l";
const FIRST_SCREEN: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_BELOW: &str = "\x1b[J";
const CLEAR_LINE: &str = "\x1b[K";

/// The terminal's other screen; dropping it shows the first again.
pub(super) struct Terminal {
    size: (usize, usize),
}

impl Terminal {
    /// When standard output is a terminal that can do more than print.
    pub(super) fn open() -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if is_dumb || !io::stdout().is_terminal() {
            return None;
        }
        let size = size()?;
        print(OTHER_SCREEN).ok()?;
        Some(Self { size })
    }

    /// How many lines there are now, and how many characters each has.
    pub(super) fn size(&mut self) -> (usize, usize) {
        self.size = size().unwrap_or(self.size);
        self.size
    }

    /// Shows these lines, and nothing else.
    pub(super) fn show(&self, lines: &str) -> io::Result<()> {
        let mut text = HOME.to_owned();
        for line in lines.lines() {
            text += line;
            text += CLEAR_LINE;
            text += "\r\n";
        }
        print(&(text + CLEAR_BELOW))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs no screen.
        let _ = print(FIRST_SCREEN);
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// `TIOCGWINSZ` (ioctl_tty(2)).
fn size() -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is writable.
    let result = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_row > 0 && size.ws_col > 0).then(|| (size.ws_row.into(), size.ws_col.into()))
}

/// The CPU time that gotrace has taken so far.
pub(super) fn own_cpu_time() -> Nanos {
    crate::units::clock_time(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or_default()
}
