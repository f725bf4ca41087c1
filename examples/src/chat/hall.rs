//! Which rooms and which nicknames there are.
//!
//! # Invariants
//! 1. A room is in the map exactly while it has members. Who comes is counted before its room is
//!    told, who goes is counted off before: so nobody enters a room that has been left to end.
//! 2. A nickname is in the set exactly while a connection has it.
//! 3. Nothing waits under the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use marmot::channel::Sender;
use marmot::sync::{Mutex, MutexGuard};

use super::room::{self, Event};

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Hall {
    /// Lines that may wait for one member.
    pub(crate) outbox: usize,
    lists: Mutex<Lists>,
}

#[derive(Debug, Default)]
struct Lists {
    rooms: BTreeMap<String, Entry>,
    nicks: BTreeSet<String>,
}

#[derive(Debug)]
struct Entry {
    events: Sender<Event>,
    members: usize,
}

impl Hall {
    pub(crate) fn new(outbox: usize) -> Hall {
        Hall {
            outbox,
            lists: Mutex::default(),
        }
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one member more, and gives the way to tell the room, which is opened if need be.
    pub(crate) fn enter(&self, room: &str) -> Sender<Event> {
        let mut lists = self.lists();
        let entry = lists.rooms.entry(room.to_owned()).or_insert_with(|| Entry {
            events: room::open(),
            members: 0,
        });
        entry.members += 1;
        entry.events.clone()
    }

    /// Counts one member less.
    pub(crate) fn leave(&self, room: &str) {
        let mut lists = self.lists();
        let Some(entry) = lists.rooms.get_mut(room) else {
            return;
        };
        entry.members -= 1;
        if entry.members == 0 {
            lists.rooms.remove(room);
        }
    }

    /// The first `most` rooms, with how many are in each; and how many rooms there are.
    pub(crate) fn rooms(&self, most: usize) -> (Vec<(String, usize)>, usize) {
        let lists = self.lists();
        let rooms = lists.rooms.iter().take(most);
        let rooms = rooms.map(|(name, entry)| (name.clone(), entry.members));
        (rooms.collect(), lists.rooms.len())
    }

    /// Takes a nickname, if nobody has it.
    pub(crate) fn take_nick(&self, nick: &str) -> bool {
        self.lists().nicks.insert(nick.to_owned())
    }

    /// A nickname for a newcomer: `guest` and a number.
    pub(crate) fn guest(&self, number: u64) -> String {
        // Somebody may have chosen such a name: there are fewer of them than numbers.
        (number..)
            .map(|n| format!("guest{n}"))
            .find(|nick| self.take_nick(nick))
            .unwrap_or_default()
    }

    pub(crate) fn give_nick_back(&self, nick: &str) {
        self.lists().nicks.remove(nick);
    }
}
