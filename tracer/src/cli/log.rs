//! gotrace's own messages, and through the `log` crate those of aya and of the kernel side: to standard error.

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sets the messages up, for the whole life of the process.
pub(super) fn init(quiet: bool, verbose: u8) {
    let level = match (quiet, verbose) {
        (true, _) => Level::ERROR,
        (false, 0) => Level::WARN,
        (false, 1) => Level::INFO,
        (false, _) => Level::DEBUG,
    };
    let messages = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::from_level(level))
        .without_time()
        .with_target(verbose >= 2)
        .with_ansi(false)
        // It would tell on standard error that nothing can be told there, and panic.
        .log_internal_errors(false);
    // Fails only when it is called twice.
    let _ = messages.finish().try_init();
}
