//! The signals that end what goes on until then.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// What is true from the first such signal on. The second one ends gotrace at once; the kernel then removes the probes.
pub(super) fn ended() -> io::Result<Arc<AtomicBool>> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&ended))?;
        flag::register(signal, Arc::clone(&ended))?;
    }
    Ok(ended)
}
