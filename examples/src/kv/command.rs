//! The commands: how they are called, and what they do.

use std::borrow::Cow;

use super::glob;
use super::info;
use super::reply::{Decimal, Replies};
use super::resp::{Arguments, integer};
use super::shared::Shared;
use super::store::{Deadline, Locked, Millis, OutOfMemory};

/// The state of one connection that commands see.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) id: u64,
    /// As set by `CLIENT SETNAME`.
    pub(crate) name: Vec<u8>,
}

/// Why a command failed: its reply, with the code in front.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Cow<'static, str>);

impl From<&'static str> for Failure {
    fn from(text: &'static str) -> Failure {
        Failure(Cow::Borrowed(text))
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure(Cow::Owned(text))
    }
}

impl From<OutOfMemory> for Failure {
    fn from(_: OutOfMemory) -> Failure {
        "OOM command not allowed when used memory > 'maxmemory'.".into()
    }
}

pub(crate) type Done = Result<(), Failure>;

const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// What one `KEYS` may take, about half a second: meanwhile everybody waits.
const KEYS_STEPS: u64 = 100_000_000;
const SYNTAX: &str = "ERR syntax error";

/// What a command does to the connection, beside its reply.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// Nothing: the function writes the reply.
    Run(fn(&mut Session<'_>, Arguments<'_>, &mut Replies) -> Done),
    /// The connection is served by `subscription.rs` from here on.
    Subscribe,
    Unsubscribe,
    Reset,
    /// It ends.
    Quit,
}

/// A command as `COMMAND` shows it.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// How many arguments, the name included; negative: at least so many.
    pub(crate) arity: i64,
    pub(crate) flags: &'static [&'static str],
    /// The first key, the last one, and the step between them.
    pub(crate) keys: [i64; 3],
    pub(crate) action: Action,
}

const fn command(
    name: &'static str,
    arity: i64,
    flags: &'static [&'static str],
    keys: [i64; 3],
    action: Action,
) -> Command {
    Command {
        name,
        arity,
        flags,
        keys,
        action,
    }
}

const NO_KEYS: [i64; 3] = [0, 0, 0];
const ONE_KEY: [i64; 3] = [1, 1, 1];
const ALL_KEYS: [i64; 3] = [1, -1, 1];
const READ: &[&str] = &["readonly", "fast"];
const READ_SLOW: &[&str] = &["readonly"];
const WRITE: &[&str] = &["write", "fast"];
const WRITE_MORE: &[&str] = &["write", "denyoom"];
const CONNECTION: &[&str] = &["loading", "stale", "fast"];
const PUBSUB: &[&str] = &["pubsub", "loading", "stale"];
const ADMIN: &[&str] = &["admin", "loading", "stale"];

/// All of them; those in frequent use first.
pub(crate) static COMMANDS: [Command; 35] = [
    command("get", 2, READ, ONE_KEY, Action::Run(get)),
    command("set", -3, WRITE_MORE, ONE_KEY, Action::Run(set)),
    command("incr", 2, WRITE_MORE, ONE_KEY, Action::Run(incr)),
    command("ping", -1, CONNECTION, NO_KEYS, Action::Run(ping)),
    command("mget", -2, READ, ALL_KEYS, Action::Run(mget)),
    command("mset", -3, WRITE_MORE, [1, -1, 2], Action::Run(mset)),
    command("del", -2, WRITE, ALL_KEYS, Action::Run(del)),
    command("exists", -2, READ, ALL_KEYS, Action::Run(exists)),
    command("publish", 3, PUBSUB, NO_KEYS, Action::Run(publish)),
    command("incrby", 3, WRITE_MORE, ONE_KEY, Action::Run(incrby)),
    command("decr", 2, WRITE_MORE, ONE_KEY, Action::Run(decr)),
    command("decrby", 3, WRITE_MORE, ONE_KEY, Action::Run(decrby)),
    command("expire", 3, WRITE, ONE_KEY, Action::Run(expire)),
    command("pexpire", 3, WRITE, ONE_KEY, Action::Run(pexpire)),
    command("ttl", 2, READ, ONE_KEY, Action::Run(ttl)),
    command("pttl", 2, READ, ONE_KEY, Action::Run(pttl)),
    command("persist", 2, WRITE, ONE_KEY, Action::Run(persist)),
    command("strlen", 2, READ, ONE_KEY, Action::Run(strlen)),
    command("type", 2, READ, ONE_KEY, Action::Run(kind)),
    command("keys", 2, READ_SLOW, NO_KEYS, Action::Run(keys)),
    command("dbsize", 1, READ, NO_KEYS, Action::Run(dbsize)),
    command("flushall", -1, WRITE, NO_KEYS, Action::Run(flush)),
    command("flushdb", -1, WRITE, NO_KEYS, Action::Run(flush)),
    command("echo", 2, CONNECTION, NO_KEYS, Action::Run(echo)),
    command("select", 2, CONNECTION, NO_KEYS, Action::Run(select)),
    command("hello", -1, CONNECTION, NO_KEYS, Action::Run(info::hello)),
    command("client", -2, CONNECTION, NO_KEYS, Action::Run(info::client)),
    command("info", -1, ADMIN, NO_KEYS, Action::Run(info::info)),
    command("command", -1, ADMIN, NO_KEYS, Action::Run(info::command)),
    command("config", -2, ADMIN, NO_KEYS, Action::Run(info::config)),
    command("quit", -1, CONNECTION, NO_KEYS, Action::Quit),
    command("reset", 1, CONNECTION, NO_KEYS, Action::Reset),
    command("subscribe", -2, PUBSUB, NO_KEYS, Action::Subscribe),
    command("unsubscribe", -1, PUBSUB, NO_KEYS, Action::Unsubscribe),
    command("time", 1, CONNECTION, NO_KEYS, Action::Run(info::time)),
];

/// The command of that name, in whatever case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    COMMANDS
        .iter()
        .find(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

/// The command that these arguments call, if they are as many as it takes.
pub(crate) fn look_up(arguments: Arguments<'_>) -> Result<&'static Command, Failure> {
    let command = find(&arguments[0]).ok_or_else(|| unknown(arguments))?;
    let count = arguments.len() as i64;
    if count == command.arity || (command.arity < 0 && count >= -command.arity) {
        Ok(command)
    } else {
        Err(wrong_number(command.name))
    }
}

/// In Redis's words: the beginning of what was sent.
fn unknown(arguments: Arguments<'_>) -> Failure {
    let shown = |bytes: &[u8], limit: usize| {
        String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]).into_owned()
    };
    let mut text = format!(
        "ERR unknown command '{}', with args beginning with: ",
        shown(&arguments[0], 128)
    );
    let mut room: usize = 128;
    for argument in arguments.from(1).iter() {
        let word = format!("'{}' ", shown(argument, room));
        text.push_str(&word);
        room = room.saturating_sub(word.len());
        if room == 0 {
            break;
        }
    }
    text.into()
}

pub(crate) fn wrong_number(name: &str) -> Failure {
    format!("ERR wrong number of arguments for '{name}' command").into()
}

fn number(text: &[u8]) -> Result<i64, Failure> {
    integer(text).ok_or(Failure::from(NOT_AN_INTEGER))
}

fn ping(_: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    match arguments.len() {
        1 => replies.simple("PONG"),
        2 => replies.bulk(&arguments[1]),
        _ => return Err(wrong_number("ping")),
    }
    Ok(())
}

fn echo(_: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    replies.bulk(&arguments[1]);
    Ok(())
}

fn select(_: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    if number(&arguments[1])? != 0 {
        return Err("ERR DB index is out of range".into());
    }
    replies.ok();
    Ok(())
}

fn value_or_null(locked: &mut Locked<'_>, key: &[u8], replies: &mut Replies) {
    match locked.get(key) {
        Some(entry) => replies.bulk(entry.value()),
        None => replies.null(),
    }
}

fn get(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    let key = &arguments[1];
    value_or_null(&mut session.shared.store.lock(key), key, replies);
    Ok(())
}

fn strlen(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    let key = &arguments[1];
    let mut locked = session.shared.store.lock(key);
    let length = locked.get(key).map_or(0, |entry| entry.value().len());
    replies.integer(length as i64);
    Ok(())
}

fn kind(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    let key = &arguments[1];
    let is_there = session.shared.store.lock(key).get(key).is_some();
    replies.simple(if is_there { "string" } else { "none" });
    Ok(())
}

/// The options of `SET`.
#[derive(Debug)]
struct SetOptions {
    deadline: Deadline,
    only_new: bool,
    only_old: bool,
    give_old: bool,
}

fn set_options(session: &Session<'_>, options: Arguments<'_>) -> Result<SetOptions, Failure> {
    let mut found = SetOptions {
        deadline: Deadline::Never,
        only_new: false,
        only_old: false,
        give_old: false,
    };
    let mut time = None;
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        let unset = found.deadline == Deadline::Never && time.is_none();
        if is("NX") && !found.only_old {
            found.only_new = true;
        } else if is("XX") && !found.only_new {
            found.only_old = true;
        } else if is("GET") {
            found.give_old = true;
        } else if is("KEEPTTL") && time.is_none() {
            found.deadline = Deadline::Keep;
        } else if is("EX") && unset {
            time = Some((1000, rest.next().ok_or(SYNTAX)?));
        } else if is("PX") && unset {
            time = Some((1, rest.next().ok_or(SYNTAX)?));
        } else {
            return Err(SYNTAX.into());
        }
    }
    // Only now, as in Redis: a syntax error behind it comes first.
    if let Some((unit, text)) = time {
        let at = number(text)?
            .checked_mul(unit)
            .filter(|millis| *millis > 0)
            .and_then(|millis| session.shared.store.after(millis))
            .ok_or("ERR invalid expire time in 'set' command")?;
        found.deadline = Deadline::At(at);
    }
    Ok(found)
}

fn set(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    let (key, value) = (&arguments[1], &arguments[2]);
    if arguments.len() == 3 {
        session
            .shared
            .store
            .lock(key)
            .set(key, value, Deadline::Never)?;
        replies.ok();
        return Ok(());
    }
    let options = set_options(session, arguments.from(3))?;
    let mut locked = session.shared.store.lock(key);
    let is_there = locked.get(key).is_some();
    if options.give_old {
        value_or_null(&mut locked, key, replies);
    }
    if (options.only_new && is_there) || (options.only_old && !is_there) {
        if !options.give_old {
            replies.null();
        }
        return Ok(());
    }
    locked.set(key, value, options.deadline)?;
    if !options.give_old {
        replies.ok();
    }
    Ok(())
}

/// The reply's length is known before it is written: a client may name one large value many times.
fn mget(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    let keys = arguments.from(1).iter();
    let mut locked = session.shared.store.lock_keys(keys.clone());
    let length = keys.clone().fold(0_usize, |length, key| {
        length.saturating_add(locked.get(key).map_or(5, |entry| entry.value().len() + 16))
    });
    session.shared.check_reply(length)?;
    replies.array(keys.len());
    for key in keys {
        value_or_null(&mut locked, key, replies);
    }
    Ok(())
}

fn mset(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    if arguments.len().is_multiple_of(2) {
        return Err(wrong_number("mset"));
    }
    let pairs = |start| arguments.from(start).iter().step_by(2);
    let store = &session.shared.store;
    let mut locked = store.lock_keys(pairs(1));
    // All or nothing.
    let bytes: usize = arguments.from(1).iter().map(|text| text.len() + 64).sum();
    store.has_room(bytes)?;
    for (key, value) in pairs(1).zip(pairs(2)) {
        locked.put(key, value, Deadline::Never);
    }
    replies.ok();
    Ok(())
}

fn del(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    let keys = arguments.from(1).iter();
    let mut locked = session.shared.store.lock_keys(keys.clone());
    let removed = keys.filter(|key| locked.remove(key)).count();
    replies.integer(removed as i64);
    Ok(())
}

fn exists(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    let keys = arguments.from(1).iter();
    let mut locked = session.shared.store.lock_keys(keys.clone());
    let found = keys.filter(|key| locked.get(key).is_some()).count();
    replies.integer(found as i64);
    Ok(())
}

fn add(session: &Session<'_>, key: &[u8], more: i64, replies: &mut Replies) -> Done {
    let mut locked = session.shared.store.lock(key);
    let before = match locked.get(key) {
        Some(entry) => number(entry.value())?,
        None => 0,
    };
    let sum = before
        .checked_add(more)
        .ok_or("ERR increment or decrement would overflow")?;
    locked.set(key, Decimal::new(sum).digits(), Deadline::Keep)?;
    replies.integer(sum);
    Ok(())
}

fn incr(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    add(session, &arguments[1], 1, replies)
}

fn decr(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    add(session, &arguments[1], -1, replies)
}

fn incrby(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    add(session, &arguments[1], number(&arguments[2])?, replies)
}

fn decrby(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    let less = number(&arguments[2])?;
    let more = less.checked_neg().ok_or("ERR decrement would overflow")?;
    add(session, &arguments[1], more, replies)
}

fn expire(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    expire_in(session, arguments, 1000, replies)
}

fn pexpire(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    expire_in(session, arguments, 1, replies)
}

fn expire_in(
    session: &Session<'_>,
    arguments: Arguments<'_>,
    unit: i64,
    replies: &mut Replies,
) -> Done {
    let key = &arguments[1];
    let millis = number(&arguments[2])?.checked_mul(unit);
    let at: Option<Millis> = match millis {
        Some(millis) if millis <= 0 => None,
        millis => Some(
            millis
                .and_then(|millis| session.shared.store.after(millis))
                .ok_or_else(|| {
                    let name = if unit == 1 { "pexpire" } else { "expire" };
                    format!("ERR invalid expire time in '{name}' command")
                })?,
        ),
    };
    let mut locked = session.shared.store.lock(key);
    let is_there = locked.get(key).is_some();
    if is_there {
        match at {
            Some(_) => locked.set_deadline(key, at),
            None => locked.remove(key),
        };
    }
    replies.integer(i64::from(is_there));
    Ok(())
}

fn ttl(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    replies.integer(match time_to_live(session, &arguments[1]) {
        Ok(millis) => (millis + 500) / 1000,
        Err(code) => code,
    });
    Ok(())
}

fn pttl(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    replies.integer(time_to_live(session, &arguments[1]).unwrap_or_else(|code| code));
    Ok(())
}

/// Milliseconds; or -1 for a key that stays, -2 for one that is not there.
fn time_to_live(session: &Session<'_>, key: &[u8]) -> Result<i64, i64> {
    let store = &session.shared.store;
    let mut locked = store.lock(key);
    let at = locked.get(key).ok_or(-2)?.deadline().ok_or(-1)?;
    Ok(at.saturating_sub(store.now()).min(i64::MAX as u64 - 500) as i64)
}

fn persist(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    let key = &arguments[1];
    let mut locked = session.shared.store.lock(key);
    let has_deadline = locked
        .get(key)
        .is_some_and(|entry| entry.deadline().is_some());
    if has_deadline {
        locked.set_deadline(key, None);
    }
    replies.integer(i64::from(has_deadline));
    Ok(())
}

fn keys(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    let mut found = Replies::new();
    let mut count = 0;
    let shared = session.shared;
    let mut steps = KEYS_STEPS;
    let mut failed = None;
    shared.store.lock_all().for_each_key(|key| {
        match glob::matches(&arguments[1], key, &mut steps) {
            Ok(true) => {
                count += 1;
                found.bulk(key);
                failed = shared.check_reply(found.bytes().len()).err();
            }
            Ok(false) => {}
            Err(glob::TooLong) => failed = Some("ERR the pattern takes too long".into()),
        }
        failed.is_none()
    });
    if let Some(failure) = failed {
        return Err(failure);
    }
    replies.array(count);
    replies.append(&found);
    Ok(())
}

fn dbsize(session: &mut Session<'_>, _: Arguments<'_>, replies: &mut Replies) -> Done {
    replies.integer(session.shared.store.lock_all().count().0 as i64);
    Ok(())
}

fn flush(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    let is_how =
        |how: &[u8]| how.eq_ignore_ascii_case(b"SYNC") || how.eq_ignore_ascii_case(b"ASYNC");
    if arguments.len() > 2 || !arguments.from(1).iter().all(is_how) {
        return Err(SYNTAX.into());
    }
    session.shared.store.lock_all().clear();
    replies.ok();
    Ok(())
}

fn publish(session: &mut Session<'_>, arguments: Arguments<'_>, replies: &mut Replies) -> Done {
    let receivers = session.shared.topics.publish(&arguments[1], &arguments[2]);
    replies.integer(receivers as i64);
    Ok(())
}
