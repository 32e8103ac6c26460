//! gotrace's own messages, and through the `log` crate those of aya and of the kernel side: to standard error.

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;

/// Sets the messages up, for the whole life of the process.
pub(super) fn init(quiet: bool, verbose: u8) {
    let level = match (quiet, verbose) {
        (true, _) => Level::ERROR,
        (false, 0) => Level::WARN,
        (false, 1) => Level::INFO,
        (false, _) => Level::DEBUG,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(LevelFilter::from_level(level))
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .finish();
    // Both fail only when they are called twice.
    let _ = tracing::subscriber::set_global_default(subscriber);
    let _ = tracing_log::LogTracer::init();
}
