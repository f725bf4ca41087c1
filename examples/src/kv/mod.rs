//! A store of keys and values that speaks the Redis protocol (RESP2), and passes messages between
//! those who publish and those who subscribe.
//!
//! A connection is a goroutine with a loop that can be read from top to bottom (`connection.rs`): take
//! a request out of the buffer, run it, gather the reply; when there is no further request, write all
//! replies in one call and read again. So a pipeline of many requests costs one read and one write.
//! Nothing is allocated on the way for a request of the usual size: requests are parsed in place,
//! replies are written into a buffer that is used again, and a value that is stored over another
//! takes its memory.
//!
//! | file | holds |
//! |------|-------|
//! | `resp.rs`, `reply.rs` | the protocol: requests in, replies out |
//! | `store.rs` | the keys, in shards under locks that park; timers that remove what has expired |
//! | `command.rs`, `info.rs`, `glob.rs` | the commands |
//! | `connection.rs` | the life of a connection |
//! | `pubsub.rs`, `subscription.rs` | topics, and the life of a connection that subscribes |
//!
//! # What is bounded
//!
//! An argument has at most `--max-value` bytes, a request and a reply a mebibyte more. A connection
//! holds one of each at a time. Messages that wait for a subscriber have at most `--max-backlog`
//! bytes. All keys and values together have `--max-memory` bytes. A request that has begun must be
//! complete after `--timeout` seconds, and a reply be taken; a connection without a request may stay.
//!
//! ```
//! use std::io::{Read, Write};
//! use clap::Parser;
//! use marmot_examples::kv::Settings;
//!
//! let settings = Settings::parse_from(["kv", "--addr", "127.0.0.1:0", "--max-value", "1024"]);
//! assert_eq!(settings.max_value, 1024);
//! ```

mod command;
mod connection;
mod glob;
mod info;
mod pubsub;
mod reply;
mod resp;
mod shared;
mod store;
mod subscription;

pub use shared::{Settings, run};
