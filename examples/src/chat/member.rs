//! A connection: one goroutine that reads its lines, one that writes to it.

use std::io::{self, Read};
use std::net::Shutdown;
use std::time::Instant;

use marmot::channel::{Receiver, Sender, bounded, never};
use marmot::select;

use super::hall::Hall;
use super::lines::{Line, Lines, MAX_LINE};
use super::room::{Event, Inbox, outbox};
use crate::server::Connection;

/// Replies that may wait for the writer. Beyond these, the member's next command does.
const REPLIES: usize = 16;
/// Lines are gathered up to so many bytes before they are written.
const BATCH: usize = 16 * 1024;
const MAX_NAME: usize = 24;
/// How many rooms or members are named in one reply.
const MAX_LIST: usize = 100;

const HELP: &str = "\
    * /join ROOM  go to a room\n\
    * /leave      leave it\n\
    * /nick NAME  take another name\n\
    * /rooms      the rooms there are\n\
    * /who        who is in this one\n\
    * /quit       good-bye\n\
    * anything else is said to the room\n";

/// What the reader tells the writer.
#[derive(Debug)]
enum Reply {
    Text(String),
    /// Lines of this room from now on; `None`: of none.
    Room(Option<Inbox>),
}

/// Serves one connection until its end.
pub(crate) fn serve(connection: &Connection, hall: &Hall) -> io::Result<()> {
    let (replies, to_write) = bounded(REPLIES);
    marmot::scope(|s| {
        s.go(|| {
            if let Err(error) = write(connection, to_write) {
                tracing::debug!(%error, "a member does not take its lines");
                // Its reader waits for commands that nobody could answer. It may have ended.
                let _ = connection.stream().shutdown(Shutdown::Both);
            }
        });
        let mut member = Member {
            hall,
            number: connection.number(),
            nick: hall.guest(connection.number() + 1),
            room: None,
            replies,
        };
        member.read(connection)
        // Here the member is dropped: it leaves, and its writer ends.
    })
}

/// Writes replies and the room's lines until there are no more replies to come.
fn write(connection: &Connection, replies: Receiver<Reply>) -> io::Result<()> {
    let mut stopping = connection.state().stopping().clone();
    let mut room: Option<Inbox> = None;
    let mut batch = String::new();
    loop {
        let lines = room.as_ref().map_or(never(), |room| room.lines.clone());
        select! {
            recv(replies) -> reply => match reply {
                Ok(Reply::Text(text)) => batch.push_str(&text),
                Ok(Reply::Room(next)) => room = next,
                Err(_) => return Ok(()),
            },
            recv(lines) -> line => match line {
                Ok(line) => batch.push_str(&line),
                // The room is gone, because its last member, this one, is leaving.
                Err(_) => room = None,
            },
            recv(stopping) -> _ => {
                batch.push_str("* the server stops\n");
                stopping = never();
            }
        }
        if let Some(room) = &room {
            while batch.len() < BATCH
                && let Ok(line) = room.lines.try_recv()
            {
                batch.push_str(&line);
            }
        }
        if !batch.is_empty() {
            connection.write_all(batch.as_bytes())?;
            batch.clear();
        }
        if let Some(room) = &room {
            // While it was written there was no room for these.
            let dropped = room.take_dropped();
            if dropped > 0 {
                let notice = format!("* you read too slowly: {dropped} lines were dropped\n");
                connection.write_all(notice.as_bytes())?;
            }
        }
    }
}

/// What the reader knows of its connection. Dropping it leaves.
#[derive(Debug)]
struct Member<'a> {
    hall: &'a Hall,
    number: u64,
    nick: String,
    room: Option<(String, Sender<Event>)>,
    replies: Sender<Reply>,
}

/// What comes after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    GoOn,
    End,
}

impl Member<'_> {
    fn read(&mut self, connection: &Connection) -> io::Result<()> {
        let mut lines = Lines::new();
        let mut begun = false;
        self.reply(&format!(
            "* welcome, {}; /help says what you can do\n",
            self.nick
        ));
        loop {
            while let Some(line) = lines.next() {
                if std::mem::take(&mut begun) {
                    connection.set_read_deadline(None)?;
                }
                let step = match line {
                    Line::Text(text) => self.obey(&text),
                    Line::TooLong => {
                        self.reply(&format!("* a line has at most {MAX_LINE} bytes\n"))
                    }
                };
                if step == Step::End {
                    return Ok(());
                }
                connection.stay();
            }
            if lines.is_within_line() && !begun {
                begun = true;
                connection.set_read_deadline(Some(Instant::now() + connection.timeout()))?;
            }
            match connection.stream().read(lines.room())? {
                0 => return Ok(()),
                n => lines.filled(n),
            }
        }
    }

    fn obey(&mut self, line: &str) -> Step {
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        let argument = argument.trim();
        match command {
            "" => Step::GoOn,
            "/join" => self.join(argument),
            "/leave" => match self.leave() {
                Some(room) => self.reply(&format!("* you have left {room}\n")),
                None => self.reply("* you are in no room\n"),
            },
            "/nick" => self.rename(argument),
            "/rooms" => self.rooms(),
            "/who" => self.who(),
            "/help" => self.reply(HELP),
            "/quit" => Step::End,
            _ if command.starts_with('/') => self.reply(&format!(
                "* there is no {command}; /help says what there is\n"
            )),
            _ => match &self.room {
                Some((_, room)) => {
                    let text = line.to_owned();
                    let member = self.number;
                    // A room ends after its members.
                    let _ = room.send(Event::Say { member, text });
                    Step::GoOn
                }
                None => self.reply("* you are in no room; /join one\n"),
            },
        }
    }

    /// Tells the writer. If that has ended, so does the connection.
    fn reply(&self, text: &str) -> Step {
        self.tell_writer(Reply::Text(text.to_owned()))
    }

    fn tell_writer(&self, reply: Reply) -> Step {
        match self.replies.send(reply) {
            Ok(()) => Step::GoOn,
            Err(_) => Step::End,
        }
    }

    fn join(&mut self, room: &str) -> Step {
        if !is_name(room) {
            return self.bad_name();
        }
        self.leave();
        let events = self.hall.enter(room);
        let (outbox, inbox) = outbox(self.hall.outbox);
        let join = Event::Join {
            member: self.number,
            nick: self.nick.clone(),
            outbox,
        };
        // A room ends after its members.
        let _ = events.send(join);
        self.room = Some((room.to_owned(), events));
        // First the reply, then the room's lines.
        match self.reply(&format!("* you are in {room}\n")) {
            Step::GoOn => self.tell_writer(Reply::Room(Some(inbox))),
            Step::End => Step::End,
        }
    }

    /// Leaves the room, if there is one, and gives its name.
    fn leave(&mut self) -> Option<String> {
        let (room, events) = self.room.take()?;
        self.hall.leave(&room);
        let member = self.number;
        let _ = events.send(Event::Leave { member });
        // From here on nothing of that room is written. If the writer has ended, nothing is anyway.
        let _ = self.replies.send(Reply::Room(None));
        Some(room)
    }

    fn rename(&mut self, nick: &str) -> Step {
        if !is_name(nick) {
            return self.bad_name();
        }
        if !self.hall.take_nick(nick) {
            return self.reply(&format!("* {nick} is taken\n"));
        }
        self.hall.give_nick_back(&self.nick);
        self.nick = nick.to_owned();
        if let Some((_, room)) = &self.room {
            let (member, nick) = (self.number, nick.to_owned());
            let _ = room.send(Event::Nick { member, nick });
        }
        self.reply(&format!("* you are now {nick}\n"))
    }

    fn rooms(&self) -> Step {
        let (rooms, total) = self.hall.rooms(MAX_LIST);
        let mut text = String::new();
        for (room, members) in &rooms {
            text.push_str(&format!("* {room}: {members}\n"));
        }
        let more = total - rooms.len();
        match more {
            0 => text.push_str("* that is all\n"),
            _ => text.push_str(&format!("* and {more} more\n")),
        }
        self.reply(&text)
    }

    fn who(&self) -> Step {
        let Some((name, room)) = &self.room else {
            return self.reply("* you are in no room\n");
        };
        // The room answers on a channel that is sent along.
        let (answer, nicks) = bounded(1);
        let most = MAX_LIST;
        let _ = room.send(Event::Who { answer, most });
        let (nicks, total) = nicks.recv().unwrap_or_default();
        let more = match total - nicks.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        self.reply(&format!("* in {name}: {}{more}\n", nicks.join(" ")))
    }

    fn bad_name(&self) -> Step {
        self.reply(&format!(
            "* a name has 1 to {MAX_NAME} letters, digits, - or _\n"
        ))
    }
}

fn is_name(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=MAX_NAME).contains(&text.len()) && text.chars().all(is_fine)
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.leave();
        self.hall.give_nick_back(&self.nick);
    }
}
