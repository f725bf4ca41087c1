//! What the HTTP server counts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Status;

/// Answers by their status. All are relaxed: they order nothing.
#[derive(Debug, Default)]
pub struct Counts {
    answers: [AtomicU64; Status::ALL.len()],
}

impl Counts {
    /// Counts an answer.
    pub fn add(&self, status: Status) {
        self.answers[status as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many answers had this status.
    ///
    /// ```
    /// use marmot_examples::http::{Counts, Status};
    ///
    /// let counts = Counts::default();
    /// counts.add(Status::NotFound);
    /// assert_eq!(counts.of(Status::NotFound), 1);
    /// ```
    pub fn of(&self, status: Status) -> u64 {
        self.answers[status as usize].load(Ordering::Relaxed)
    }
}
