//! The protocols: how requests are made, and answers checked.

mod echo;
mod http;
mod kv;

pub(crate) use echo::Echo;
pub(crate) use http::Http;
pub(crate) use kv::{Kv, prepare};

/// Requests and answers of one kind of server. All requests have the same length.
///
/// A worker has one of these for all its connections, and a `State` for each. Neither allocates, unless
/// an answer is wrong or comes in pieces.
pub(crate) trait Protocol {
    /// What is known of an answer of which a part has come.
    type State: Default;

    /// Bytes of one request.
    fn request_len(&self) -> usize;

    /// The requests `first .. first + count` of connection `id`.
    fn requests(&mut self, id: u64, first: u64, count: usize) -> &[u8];

    /// Checks what connection `id` has received, after `answered` answers and what `state` knows of the
    /// next one. Gives the number of answers that are now complete, or says what is wrong.
    fn check(
        &mut self,
        state: &mut Self::State,
        id: u64,
        answered: u64,
        bytes: &[u8],
    ) -> Result<u64, String>;

    /// Whether a part of an answer has come.
    fn is_partial(&self, state: &Self::State) -> bool;
}

/// Some bytes, readable and not too many, for a message.
fn excerpt(bytes: &[u8]) -> String {
    let part = &bytes[..bytes.len().min(60)];
    let more = if part.len() < bytes.len() { "..." } else { "" };
    format!("\"{}\"{more}", part.escape_ascii())
}
