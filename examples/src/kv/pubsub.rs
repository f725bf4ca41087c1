//! Topics and who listens to them.
//!
//! A subscriber has an outbox: a channel from which a goroutine of its own writes to its socket. So
//! a publisher never waits for anybody's network. The channel itself has no bound; the *bytes* in it
//! have, for a thousand short messages are nothing and a thousand long ones are too many. Who lets
//! more than that pile up is disconnected.
//!
//! # Invariants
//! 1. `Topics::lists` is locked for writing by whoever subscribes or unsubscribes, and for reading
//!    by publishers; a list is locked by one publisher at a time. So all subscribers of a topic see
//!    its messages in the same order.
//! 2. What confirms a subscription is sent before the topic's first message, and what confirms its
//!    end after the last, because both are sent under the lock for writing.
//! 3. A topic without subscribers is not in the map.
//! 4. Nothing waits for a socket or for room under these locks.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::net::Shutdown;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use marmot::channel::{Receiver, Sender, unbounded};
use marmot::net::TcpStream;
use marmot::sync::{Arc, Mutex, RwLock};

use super::reply::Replies;

/// What a queued message costs beside its bytes, about.
const OVERHEAD: usize = 64;

/// Bytes on their way to one or more subscribers.
pub(crate) type Message = Arc<[u8]>;

/// The sending side of an outbox.
#[derive(Debug)]
pub(crate) struct Subscriber {
    outbox: Sender<Message>,
    /// Bytes in the outbox, about. Publishers add, the one who writes them out takes off.
    queued: AtomicUsize,
    limit: usize,
    /// Set by the first who finds the outbox full.
    cut: AtomicBool,
    /// To be shut down then.
    stream: TcpStream,
}

impl Subscriber {
    /// One that is disconnected when more than `limit` bytes wait, and where they come out.
    pub(crate) fn new(stream: TcpStream, limit: usize) -> (Subscriber, Receiver<Message>) {
        let (outbox, messages) = unbounded();
        let subscriber = Subscriber {
            outbox,
            queued: AtomicUsize::new(0),
            limit,
            cut: AtomicBool::new(false),
            stream,
        };
        (subscriber, messages)
    }

    /// Whether it was taken. Does not wait.
    pub(crate) fn send(&self, message: Message) -> bool {
        let cost = message.len() + OVERHEAD;
        let queued = self.queued.fetch_add(cost, Ordering::Relaxed) + cost;
        if queued <= self.limit && self.outbox.send(message).is_ok() {
            return true;
        }
        self.queued.fetch_sub(cost, Ordering::Relaxed);
        if !self.cut.swap(true, Ordering::Relaxed) {
            tracing::warn!(queued, "a subscriber is too slow, and is disconnected");
            self.disconnect();
        }
        false
    }

    /// To be called for each message that has been written.
    pub(crate) fn written(&self, message: &Message) {
        self.queued
            .fetch_sub(message.len() + OVERHEAD, Ordering::Relaxed);
    }

    /// No more messages; those that are there can still be received.
    pub(crate) fn close(&self) {
        self.outbox.close();
    }

    /// Ends what reads and writes its connection.
    pub(crate) fn disconnect(&self) {
        // Best effort: it fails if the connection has ended anyway.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

type List = Mutex<Vec<Arc<Subscriber>>>;

/// All topics that somebody listens to.
#[derive(Debug)]
pub(crate) struct Topics {
    lists: RwLock<HashMap<Box<[u8]>, List, RandomState>>,
}

impl Topics {
    pub(crate) fn new() -> Topics {
        Topics {
            lists: RwLock::new(HashMap::new()),
        }
    }

    /// Adds a subscriber to a topic, and sends it `confirmation`.
    pub(crate) fn subscribe(
        &self,
        topic: &[u8],
        subscriber: &Arc<Subscriber>,
        confirmation: Message,
    ) {
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        subscriber.send(confirmation);
        let list = lists.entry(topic.into()).or_default();
        let list = list.get_mut().unwrap_or_else(PoisonError::into_inner);
        list.push(subscriber.clone());
    }

    /// Takes it off, and sends it `confirmation`.
    pub(crate) fn unsubscribe(
        &self,
        topic: &[u8],
        subscriber: &Arc<Subscriber>,
        confirmation: Message,
    ) {
        self.take_off(topic, subscriber, || {
            subscriber.send(confirmation);
        });
    }

    /// Takes it off without a word.
    pub(crate) fn leave(&self, topic: &[u8], subscriber: &Arc<Subscriber>) {
        self.take_off(topic, subscriber, || ());
    }

    /// `then` runs under the lock.
    fn take_off(&self, topic: &[u8], subscriber: &Arc<Subscriber>, then: impl FnOnce()) {
        let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = lists.entry(topic.into()) {
            let list = entry
                .get_mut()
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            list.retain(|other| !Arc::ptr_eq(other, subscriber));
            if list.is_empty() {
                entry.remove();
            }
        }
        then();
    }

    /// Sends a message to all who listen to the topic, and gives their number.
    pub(crate) fn publish(&self, topic: &[u8], payload: &[u8]) -> usize {
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        let Some(list) = lists.get(topic) else {
            return 0;
        };
        let message = message(b"message", topic, |replies| replies.bulk(payload));
        let list = list.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter()
            .filter(|subscriber| subscriber.send(message.clone()))
            .count()
    }

    /// How many topics there are.
    pub(crate) fn len(&self) -> usize {
        self.lists
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

/// What subscribers get: an array of a kind, a topic and something more.
pub(crate) fn message(kind: &[u8], topic: &[u8], last: impl FnOnce(&mut Replies)) -> Message {
    let mut replies = Replies::new();
    replies.array(3);
    replies.bulk(kind);
    replies.bulk(topic);
    last(&mut replies);
    Arc::from(replies.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use marmot::net::TcpListener;

    fn subscriber(limit: usize) -> (Arc<Subscriber>, Receiver<Message>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (subscriber, messages) = Subscriber::new(stream, limit);
        (Arc::new(subscriber), messages)
    }

    fn text(text: &str) -> Message {
        Arc::from(text.as_bytes())
    }

    #[test]
    fn messages_reach_those_who_listen_between_their_confirmations() {
        let topics = Topics::new();
        let (a, to_a) = subscriber(10_000);
        let (b, to_b) = subscriber(10_000);
        assert_eq!(topics.publish(b"t", b"early"), 0);
        topics.subscribe(b"t", &a, text("begin"));
        topics.subscribe(b"t", &b, text("begin"));
        assert_eq!(topics.publish(b"t", b"hello"), 2);
        topics.unsubscribe(b"t", &a, text("end"));
        assert_eq!(topics.publish(b"t", b"more"), 1);
        assert_eq!(topics.publish(b"u", b"elsewhere"), 0);
        topics.unsubscribe(b"t", &b, text("end"));
        assert_eq!(topics.len(), 0);
        let hello = message(b"message", b"t", |r| r.bulk(b"hello"));
        let more = message(b"message", b"t", |r| r.bulk(b"more"));
        let got: Vec<_> = to_a.try_iter().collect();
        assert_eq!(got, [text("begin"), hello.clone(), text("end")]);
        let got: Vec<_> = to_b.try_iter().collect();
        assert_eq!(got, [text("begin"), hello, more, text("end")]);
    }

    #[test]
    fn who_lets_too_much_pile_up_is_cut_off() {
        let topics = Topics::new();
        let (slow, to_slow) = subscriber(1000);
        let (quick, to_quick) = subscriber(1000);
        topics.subscribe(b"t", &slow, text(""));
        topics.subscribe(b"t", &quick, text(""));
        let mut counts = Vec::new();
        for _ in 0..20 {
            counts.push(topics.publish(b"t", &[b'x'; 100]));
            for message in to_quick.try_iter() {
                quick.written(&message);
            }
        }
        assert_eq!((counts[0], counts[19]), (2, 1));
        assert!(slow.cut.load(Ordering::Relaxed) && !quick.cut.load(Ordering::Relaxed));
        let left: usize = to_slow.try_iter().map(|m| m.len()).sum();
        assert!(left <= 1000, "{left}");
    }
}
