//! The life of a connection that is subscribed to topics.
//!
//! From its first subscription to the end of its last one a connection has two goroutines: one reads
//! requests, the other writes what comes out of the outbox. Replies go through the outbox too, so
//! nothing is written in the middle of something else, and all is in order.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;

use marmot::channel::Receiver;
use marmot::sync::Arc;

use super::command::{self, Action, Session, wrong_number};
use super::connection::{Ended, Wire};
use super::pubsub::{Message, Subscriber, message};
use super::reply::Replies;
use super::resp::Arguments;
use crate::server::Connection;

/// Messages are gathered up to so many bytes before they are written.
const BATCH: usize = 16 * 1024;
/// The most bytes of the names of all topics that a connection is subscribed to.
const MAX_NAMES: usize = 1024 * 1024;

/// Serves the connection while it is subscribed, beginning with the request of that length. Whether
/// it goes on after that.
pub(crate) fn serve(
    wire: &mut Wire<'_>,
    session: &mut Session<'_>,
    length: usize,
) -> Result<bool, Ended> {
    let connection = wire.connection;
    let stream = connection.stream().try_clone()?;
    let (subscriber, messages) = Subscriber::new(stream, session.shared.max_backlog);
    let mut subscription = Subscription {
        session,
        subscriber: Arc::new(subscriber),
        topics: BTreeSet::new(),
        names: 0,
    };
    let subscribers = &subscription.session.shared.subscribers;
    subscribers.fetch_add(1, Ordering::Relaxed);
    let subscriber = subscription.subscriber.clone();
    marmot::scope(|s| {
        s.go(|| {
            if let Err(error) = write(connection, &subscriber, &messages) {
                tracing::debug!(%error, "a subscriber does not take its messages");
                // Its reader waits for requests that nobody could answer.
                subscriber.disconnect();
            }
        });
        let goes_on = subscription.requests(wire, length);
        // The writer ends when it has written what is left.
        drop(subscription);
        goes_on
    })
}

/// Writes messages until the outbox is closed, or the connection breaks.
fn write(
    connection: &Connection,
    subscriber: &Subscriber,
    messages: &Receiver<Message>,
) -> io::Result<()> {
    let mut batch = Vec::new();
    while let Ok(first) = messages.recv() {
        subscriber.written(&first);
        if first.len() >= BATCH {
            connection.write_all(&first)?;
            continue;
        }
        batch.extend_from_slice(&first);
        while batch.len() < BATCH
            && let Ok(message) = messages.try_recv()
        {
            subscriber.written(&message);
            batch.extend_from_slice(&message);
        }
        connection.write_all(&batch)?;
        connection.stay();
        batch.clear();
        batch.shrink_to(2 * BATCH);
    }
    Ok(())
}

/// The reply to `UNSUBSCRIBE` of a connection that is not subscribed.
pub(crate) fn unsubscribe_from_nothing(arguments: Arguments<'_>, replies: &mut Replies) {
    let mut reply = |topic: Option<&[u8]>| {
        replies.array(3);
        replies.bulk(b"unsubscribe");
        match topic {
            Some(topic) => replies.bulk(topic),
            None => replies.null(),
        }
        replies.integer(0);
    };
    if arguments.len() == 1 {
        reply(None);
    }
    arguments
        .from(1)
        .iter()
        .for_each(|topic| reply(Some(topic)));
}

/// The topics of one connection. Dropping it ends all subscriptions.
#[derive(Debug)]
struct Subscription<'a, 's> {
    session: &'a mut Session<'s>,
    subscriber: Arc<Subscriber>,
    topics: BTreeSet<Box<[u8]>>,
    /// Bytes of their names.
    names: usize,
}

/// What comes after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    Quit,
}

impl Subscription<'_, '_> {
    /// Runs requests until there is no subscription left, or no request.
    fn requests(&mut self, wire: &mut Wire<'_>, first: usize) -> Result<bool, Ended> {
        let mut length = first;
        loop {
            let (arguments, replies) = wire.request(length);
            let step = self.execute(arguments, replies);
            wire.consume(length);
            // Everything that is written goes through the outbox.
            if !wire.replies.bytes().is_empty() {
                self.subscriber.send(Arc::from(wire.replies.bytes()));
                wire.replies.clear(BATCH);
            }
            if step == Step::Quit {
                return Ok(false);
            }
            if self.topics.is_empty() {
                return Ok(true);
            }
            match wire.next()? {
                Some(next) => length = next,
                None => return Ok(false),
            }
        }
    }

    fn execute(&mut self, arguments: Arguments<'_>, replies: &mut Replies) -> Step {
        if arguments.len() == 0 {
            return Step::Done;
        }
        let command = match command::look_up(arguments) {
            Ok(command) => command,
            Err(failure) => {
                replies.error(&failure.0);
                return Step::Done;
            }
        };
        match command.action {
            Action::Subscribe => self.subscribe(arguments, replies),
            Action::Unsubscribe => self.unsubscribe(arguments),
            Action::Reset => {
                self.end_all();
                self.session.name.clear();
                replies.simple("RESET");
            }
            Action::Quit => {
                replies.ok();
                return Step::Quit;
            }
            Action::Run(_) if command.name == "ping" => {
                if arguments.len() > 2 {
                    replies.error(&wrong_number("ping").0);
                    return Step::Done;
                }
                replies.array(2);
                replies.bulk(b"pong");
                replies.bulk(arguments.get(1).unwrap_or_default());
            }
            Action::Run(_) => replies.error(&format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context",
                command.name
            )),
        }
        Step::Done
    }

    fn subscribe(&mut self, arguments: Arguments<'_>, replies: &mut Replies) {
        for topic in arguments.from(1).iter() {
            let is_new = !self.topics.contains(topic);
            if is_new && self.names + topic.len() + 64 > MAX_NAMES {
                replies.error("ERR too many subscriptions");
                return;
            }
            let count = self.topics.len() + usize::from(is_new);
            let confirmation = message(b"subscribe", topic, |r| r.integer(count as i64));
            if is_new {
                self.names += topic.len() + 64;
                self.topics.insert(topic.into());
                let topics = &self.session.shared.topics;
                topics.subscribe(topic, &self.subscriber, confirmation);
            } else {
                self.subscriber.send(confirmation);
            }
        }
    }

    fn unsubscribe(&mut self, arguments: Arguments<'_>) {
        if arguments.len() == 1 {
            while let Some(topic) = self.topics.first().cloned() {
                self.unsubscribe_from(&topic);
            }
        }
        for topic in arguments.from(1).iter() {
            self.unsubscribe_from(topic);
        }
    }

    fn unsubscribe_from(&mut self, topic: &[u8]) {
        if self.topics.remove(topic) {
            self.names -= topic.len() + 64;
        }
        let count = self.topics.len() as i64;
        let confirmation = message(b"unsubscribe", topic, |r| r.integer(count));
        let topics = &self.session.shared.topics;
        topics.unsubscribe(topic, &self.subscriber, confirmation);
    }

    /// Ends all subscriptions without a word.
    fn end_all(&mut self) {
        for topic in std::mem::take(&mut self.topics) {
            self.session.shared.topics.leave(&topic, &self.subscriber);
        }
        self.names = 0;
    }
}

impl Drop for Subscription<'_, '_> {
    fn drop(&mut self) {
        self.end_all();
        self.subscriber.close();
        self.session
            .shared
            .subscribers
            .fetch_sub(1, Ordering::Relaxed);
    }
}
