//! A room: a goroutine that owns the list of its members.
//!
//! # Invariants
//! 1. A room receives and never waits for anything else. So whoever sends it an event waits for no
//!    more than the events before.
//! 2. Events of one member come in their order, and so do their lines at each other member, some of
//!    which may be missing if that one is slow.
//! 3. The room ends when nobody holds its sender any more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use marmot::channel::{Receiver, Sender, bounded};
use marmot::sync::Arc;

/// Events that a room has not come to yet; beyond these, those who speak wait.
const EVENTS: usize = 64;

/// A line with its end, shared by all who get it.
pub(crate) type Text = Arc<str>;

/// What a room is told.
#[derive(Debug)]
pub(crate) enum Event {
    Join {
        member: u64,
        nick: String,
        outbox: Outbox,
    },
    Leave {
        member: u64,
    },
    Nick {
        member: u64,
        nick: String,
    },
    Say {
        member: u64,
        text: String,
    },
    /// Who is there: at most so many are named, and all counted, on the channel that comes along.
    Who {
        answer: Sender<(Vec<String>, usize)>,
        most: usize,
    },
}

/// Where a room puts lines for one member.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    lines: Sender<Text>,
    dropped: Arc<AtomicU64>,
}

/// Where they come out.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) lines: Receiver<Text>,
    dropped: Arc<AtomicU64>,
}

/// An outbox for so many lines.
pub(crate) fn outbox(lines: usize) -> (Outbox, Inbox) {
    let (sender, receiver) = bounded(lines);
    let dropped = Arc::new(AtomicU64::new(0));
    let outbox = Outbox {
        lines: sender,
        dropped: dropped.clone(),
    };
    let inbox = Inbox {
        lines: receiver,
        dropped,
    };
    (outbox, inbox)
}

impl Outbox {
    fn put(&self, text: &Text) {
        // Full, or the member is about to go.
        if self.lines.try_send(text.clone()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Inbox {
    /// How many lines were dropped since this was asked last.
    pub(crate) fn take_dropped(&self) -> u64 {
        // Looked at first: it is asked after every write.
        match self.dropped.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.dropped.swap(0, Ordering::Relaxed),
        }
    }
}

/// Starts a room.
pub(crate) fn open() -> Sender<Event> {
    let (sender, events) = bounded(EVENTS);
    marmot::go(move || Room::default().run(&events));
    sender
}

#[derive(Debug, Default)]
struct Room {
    members: BTreeMap<u64, (String, Outbox)>,
}

impl Room {
    fn run(mut self, events: &Receiver<Event>) {
        for event in events {
            match event {
                Event::Join {
                    member,
                    nick,
                    outbox,
                } => {
                    self.tell(member, &format!("* {nick} has come\n"));
                    self.members.insert(member, (nick, outbox));
                }
                Event::Leave { member } => {
                    if let Some((nick, _)) = self.members.remove(&member) {
                        self.tell(member, &format!("* {nick} has left\n"));
                    }
                }
                Event::Nick { member, nick } => {
                    if let Some((old, _)) = self.members.get_mut(&member) {
                        let text = format!("* {old} is now {nick}\n");
                        *old = nick;
                        self.tell(member, &text);
                    }
                }
                Event::Say { member, text } => {
                    if let Some((nick, _)) = self.members.get(&member) {
                        self.tell(member, &format!("{nick}: {text}\n"));
                    }
                }
                Event::Who { answer, most } => {
                    let nicks = self.members.values().map(|(nick, _)| nick.clone());
                    // There is room for one, and it is the first.
                    let _ = answer.try_send((nicks.take(most).collect(), self.members.len()));
                }
            }
        }
    }

    /// Puts a line into the outboxes of all but one.
    fn tell(&self, but: u64, text: &str) {
        let text = Text::from(text);
        for (_, (_, outbox)) in self.members.iter().filter(|(member, _)| **member != but) {
            outbox.put(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let (outbox, inbox) = outbox(2);
        for n in 0..5 {
            outbox.put(&Text::from(n.to_string()));
        }
        assert_eq!(inbox.take_dropped(), 3);
        assert_eq!(inbox.take_dropped(), 0);
        let got: Vec<_> = inbox.lines.try_iter().collect();
        assert_eq!(got, [Text::from("0"), Text::from("1")]);
    }
}
