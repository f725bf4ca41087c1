//! `MARMOT_DEBUG`: what a scheduler is to show of itself, and how it is to be tried.
//!
//! A comma list. `schedtrace=MS` prints a line on the scheduler's state every so many milliseconds,
//! `scheddetail` adds a line for each processor, machine and goroutine, `chaos=SEED` schedules as
//! unusually as the rules allow (`chaos.rs`).

/// What the variable accepts, for the error.
pub(crate) const ACCEPTED: &str = "a comma list of schedtrace=MS (1 to 3600000), scheddetail and \
                                   chaos=SEED (0 to 18446744073709551615)";

/// The longest interval of `schedtrace`, in milliseconds.
const MAX_TRACE: u32 = 3_600_000;
/// The interval when `scheddetail` stands alone.
const DEFAULT_TRACE: u32 = 1000;

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Debug {
    /// Milliseconds between two lines.
    pub(crate) trace: Option<u32>,
    pub(crate) detail: bool,
    /// The seed of the disorder.
    pub(crate) chaos: Option<u64>,
}

impl Debug {
    /// `None` for a text that says something else.
    pub(crate) fn parse(text: &str) -> Option<Debug> {
        let mut debug = Debug::default();
        for item in text.split(',').map(str::trim).filter(|i| !i.is_empty()) {
            match item.split_once('=') {
                Some(("schedtrace", ms)) => {
                    let ms = ms.parse().ok().filter(|ms| (1..=MAX_TRACE).contains(ms))?;
                    debug.trace = Some(ms);
                }
                Some(("chaos", seed)) => debug.chaos = Some(seed.parse().ok()?),
                None if item == "scheddetail" => debug.detail = true,
                _ => return None,
            }
        }
        if debug.detail {
            debug.trace.get_or_insert(DEFAULT_TRACE);
        }
        Some(debug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        let debug = Debug::parse("schedtrace=100, scheddetail,chaos=7").unwrap();
        assert_eq!(debug.trace, Some(100));
        assert!(debug.detail);
        assert_eq!(debug.chaos, Some(7));
        assert_eq!(Debug::parse(" ,").unwrap(), Debug::default());
        assert_eq!(Debug::parse("scheddetail").unwrap().trace, Some(1000));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "schedtrace",
            "schedtrace=0",
            "schedtrace=x",
            "chaos",
            "chaos=-1",
            "gctrace=1",
        ] {
            assert_eq!(Debug::parse(text), None, "{text}");
        }
    }
}
