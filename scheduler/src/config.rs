//! What a scheduler is built with, and what the environment may say about it.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;

use crate::arena::{DEFAULT_STACK_SIZE, MAX_STACK_SIZE, MIN_STACK_SIZE};
use crate::debug::{self, Debug};
use crate::hooks::{Hooks, SwitchHooks};
use crate::limits::Limits;
use crate::random;

/// The most processors there can be.
pub const MAX_PROCS: usize = 65_536;
/// The stack size of the goroutine that `run` starts, in bytes of address space.
pub const DEFAULT_MAIN_STACK_SIZE: usize = 8 << 20;
/// The most threads that run goroutines, unless set.
pub const DEFAULT_MAX_MACHINES: usize = 10_000;

/// The settings of a scheduler.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many goroutines run at once.
    pub(crate) max_procs: usize,
    /// Whether that number was set by hand. If not, it follows the limits of the process.
    pub(crate) max_procs_is_set: bool,
    /// Usable bytes of a goroutine's stack.
    pub(crate) stack_size: usize,
    /// The same for the goroutine that `run` starts.
    pub(crate) main_stack_size: usize,
    /// The most threads that run goroutines.
    pub(crate) max_machines: usize,
    /// The name of the machines' threads.
    pub(crate) name: String,
    pub(crate) debug: Debug,
    pub(crate) hooks: Option<Hooks>,
}

impl Config {
    /// The defaults, as changed by the environment: `MARMOT_MAXPROCS` (1 to 65,536),
    /// `MARMOT_STACK_SIZE` (64 KiB to 1 GiB, in bytes or as `256K`, `1M`, `1G`) and `MARMOT_DEBUG`
    /// (a comma list of `schedtrace=MS`, `scheddetail` and `chaos=SEED`). An empty variable counts
    /// as unset.
    /// The defaults, as changed by the environment. By default as many goroutines run at once as
    /// this process may use processors: the least of its affinity mask and the CPU quotas, rounded
    /// up, of its control group and all groups above (versions 1 and 2). The variables are `MARMOT_MAXPROCS` (1 to 65,536) and
    /// `MARMOT_STACK_SIZE` (64 KiB to 1 GiB, in bytes or as `256K`, `1M`, `1G`). An empty variable
    /// counts as unset.
    ///
    /// # Errors
    /// `InvalidInput` for a variable that cannot be read or is out of range; the message names the
    /// variable, its text and the accepted range.
    pub fn from_env() -> io::Result<Config> {
        Config::from_vars(|name| std::env::var_os(name))
    }

    fn from_vars(var: impl Fn(&str) -> Option<OsString>) -> io::Result<Config> {
        let var = |name: &'static str| var(name).filter(|text| !text.is_empty());
        let max_procs = match var(MAXPROCS) {
            None => default_max_procs(),
            Some(text) => parse(&text, |t| t.parse().ok())
                .filter(|n| (1..=MAX_PROCS).contains(n))
                .ok_or_else(|| bad_variable(MAXPROCS, &text, "a whole number from 1 to 65536"))?,
        };
        let stack_size = match var(STACK_SIZE) {
            None => DEFAULT_STACK_SIZE,
            Some(text) => parse(&text, parse_size)
                .filter(|n| (MIN_STACK_SIZE..=MAX_STACK_SIZE).contains(n))
                .ok_or_else(|| {
                    let range = "a number of bytes from 64K to 1G, such as 262144, 256K or 1M";
                    bad_variable(STACK_SIZE, &text, range)
                })?,
        };
        let debug = match var(DEBUG) {
            None => Debug::default(),
            Some(text) => parse(&text, Debug::parse)
                .ok_or_else(|| bad_variable(DEBUG, &text, debug::ACCEPTED))?,
        };
        Ok(Config {
            max_procs,
            max_procs_is_set: var(MAXPROCS).is_some(),
            stack_size,
            main_stack_size: DEFAULT_MAIN_STACK_SIZE,
            max_machines: DEFAULT_MAX_MACHINES,
            name: "marmot".to_owned(),
            debug,
            hooks: None,
        })
    }

    /// Sets how many goroutines run at once.
    ///
    /// # Errors
    /// `InvalidInput` outside 1 to 65,536.
    pub fn max_procs(mut self, n: usize) -> io::Result<Config> {
        if !(1..=MAX_PROCS).contains(&n) {
            return Err(invalid(format!(
                "max_procs is {n}; it must be from 1 to {MAX_PROCS}"
            )));
        }
        self.max_procs = n;
        self.max_procs_is_set = true;
        Ok(self)
    }

    /// Sets the usable bytes of a goroutine's stack. At least that many: less than 64 KiB is rounded
    /// up to that, and stack and guard (64 KiB) together to the next power of two. So 64, 192, 448
    /// and 960 KiB are what fits exactly, and for 300 KiB a goroutine gets 448. What is rounded up
    /// is address space; memory is used as the stack grows into it.
    ///
    /// # Errors
    /// `InvalidInput` above 1 GiB.
    pub fn stack_size(mut self, bytes: usize) -> io::Result<Config> {
        self.stack_size = checked_stack("stack_size", bytes)?;
        Ok(self)
    }

    /// Sets the usable bytes of the stack of the goroutine that `run` starts. At least that many, as
    /// for [`stack_size`](Self::stack_size).
    ///
    /// # Errors
    /// `InvalidInput` above 1 GiB.
    pub fn main_stack_size(mut self, bytes: usize) -> io::Result<Config> {
        self.main_stack_size = checked_stack("main_stack_size", bytes)?;
        Ok(self)
    }

    /// Sets the most threads that run goroutines, those that block among them.
    ///
    /// # Errors
    /// `InvalidInput` for 0.
    pub fn max_machines(mut self, n: usize) -> io::Result<Config> {
        if n == 0 {
            return Err(invalid(
                "max_machines is 0; it must be at least 1".to_owned(),
            ));
        }
        self.max_machines = n;
        Ok(self)
    }

    /// Schedules as unusually as the rules allow, as `MARMOT_DEBUG=chaos=SEED` does: goroutines that
    /// are readied run anywhere, in any order; calls that may let others run do; `park` returns for no
    /// reason. For tests: what a program gets wrong shows soon. The variable wins.
    pub fn chaos(mut self, seed: u64) -> Config {
        self.debug.chaos.get_or_insert(seed);
        self
    }

    /// Has `hooks` called whenever a goroutine is resumed, suspended or over.
    pub fn switch_hooks(mut self, hooks: Arc<dyn SwitchHooks>) -> Config {
        self.hooks = Some(Hooks(hooks));
        self
    }

    /// The seed of a processor's random numbers: told by `chaos=SEED`, else anything.
    pub(crate) fn seed_of(&self, processor: u32) -> u64 {
        match self.debug.chaos {
            Some(seed) => seed.wrapping_add(u64::from(processor) << 32),
            None => random::seed(),
        }
    }

    /// Sets the name of the threads that run goroutines.
    ///
    /// # Errors
    /// `InvalidInput` for a name that contains a zero byte.
    pub fn name(mut self, name: String) -> io::Result<Config> {
        if name.contains('\0') {
            return Err(invalid("the name contains a zero byte".to_owned()));
        }
        self.name = name;
        Ok(self)
    }
}

const MAXPROCS: &str = "MARMOT_MAXPROCS";
const STACK_SIZE: &str = "MARMOT_STACK_SIZE";
const DEBUG: &str = "MARMOT_DEBUG";

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn bad_variable(name: &str, text: &OsString, range: &str) -> io::Error {
    invalid(format!("{name} is {text:?}; it must be {range}"))
}

fn parse<T>(text: &OsString, f: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    f(text.to_str()?.trim())
}

fn parse_size(text: &str) -> Option<usize> {
    let (digits, unit) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 1 << 10),
        (at, 'm' | 'M') => (&text[..at], 1 << 20),
        (at, 'g' | 'G') => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

pub(crate) fn checked_stack(what: &str, bytes: usize) -> io::Result<usize> {
    if bytes > MAX_STACK_SIZE {
        return Err(invalid(format!(
            "{what} is {bytes}; it must be at most {MAX_STACK_SIZE} (1 GiB)"
        )));
    }
    Ok(bytes.max(MIN_STACK_SIZE))
}

/// As many as the machine offers this process.
fn default_max_procs() -> usize {
    Limits::of_process().read()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, text: &str) -> io::Result<Config> {
        Config::from_vars(|n| (n == name).then(|| text.into()))
    }

    #[test]
    fn variables_are_read() {
        assert_eq!(config(MAXPROCS, "7").unwrap().max_procs, 7);
        assert_eq!(config(MAXPROCS, "65536").unwrap().max_procs, 65_536);
        assert_eq!(config(STACK_SIZE, "256K").unwrap().stack_size, 256 << 10);
        assert_eq!(config(STACK_SIZE, "1m").unwrap().stack_size, 1 << 20);
        assert_eq!(config(STACK_SIZE, "65536").unwrap().stack_size, 65_536);
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(config(MAXPROCS, "").unwrap().max_procs, default_max_procs());
    }

    #[test]
    fn errors_name_variable_text_and_range() {
        for text in ["0", "-1", "65537", "two", "1.5", "99999999999999999999"] {
            let error = config(MAXPROCS, text).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let message = error.to_string();
            assert!(message.contains("MARMOT_MAXPROCS"), "{message}");
            assert!(message.contains(&format!("{text:?}")), "{message}");
            assert!(message.contains("1 to 65536"), "{message}");
        }
        for text in ["1", "63K", "2G", "K", "12Q", "99999999999G"] {
            let message = config(STACK_SIZE, text).unwrap_err().to_string();
            assert!(message.contains("MARMOT_STACK_SIZE"), "{message}");
            assert!(message.contains("64K to 1G"), "{message}");
        }
    }

    #[test]
    fn debug_is_read_or_refused() {
        assert_eq!(config(DEBUG, "chaos=3").unwrap().debug.chaos, Some(3));
        let message = config(DEBUG, "chaos").unwrap_err().to_string();
        assert!(message.contains("MARMOT_DEBUG is \"chaos\""), "{message}");
        assert!(message.contains("schedtrace=MS"), "{message}");
    }

    #[test]
    fn setters_check_their_ranges() {
        let config = Config::from_vars(|_| None).unwrap();
        assert!(config.clone().max_procs(0).is_err());
        assert!(config.clone().max_procs(65_537).is_err());
        assert!(config.clone().stack_size((1 << 30) + 1).is_err());
        assert_eq!(config.stack_size(1).unwrap().stack_size, MIN_STACK_SIZE);
    }
}
