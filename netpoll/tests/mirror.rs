//! The socket types do what std's do: one and the same body, compiled against both.

#![allow(clippy::duplicate_mod)] // that is the idea

mod common;

/// What std does.
#[path = "mirror"]
mod on_std {
    pub(super) use std::net;
    pub(super) use std::os::unix::net as unix;
    pub(super) use std::thread::{JoinHandle as Task, spawn};

    pub(super) fn join<T>(task: Task<T>) -> T {
        task.join().unwrap()
    }

    pub(super) fn everywhere(body: impl Fn() + Send + Sync) {
        body();
    }

    #[path = "body.rs"]
    mod body;
}

/// What ours do, on threads and on goroutines.
#[path = "mirror"]
mod on_ours {
    pub(super) use super::common::{Task, everywhere, spawn};
    pub(super) use marmot_netpoll as net;
    pub(super) use marmot_netpoll::unix;

    pub(super) fn join<T>(task: Task<T>) -> T {
        task.join()
    }

    #[path = "body.rs"]
    mod body;
}
