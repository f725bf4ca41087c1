//! What the example programs share. The programs themselves are in `src/bin`, one file each, and
//! say in their first lines how to run them.

pub mod chat;
pub mod http;
pub mod kv;
mod open_files;
pub mod server;

pub use open_files::raise_open_file_limit;
