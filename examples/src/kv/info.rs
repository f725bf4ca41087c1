//! The commands that speak of the server and of the connection.

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use super::command::{COMMANDS, Command, Done, Failure, Session, find, wrong_number};
use super::glob;
use super::reply::Replies;
use super::resp::{Arguments, integer};

/// What clients are told that they speak to. They decide by it which commands there are.
const VERSION: &str = "7.0.0";

pub(crate) fn hello(
    session: &mut Session<'_>,
    arguments: Arguments<'_>,
    replies: &mut Replies,
) -> Done {
    let mut rest = arguments.from(1).iter();
    if let Some(version) = rest.next() {
        match integer(version) {
            Some(2) => {}
            Some(_) => return Err("NOPROTO unsupported protocol version".into()),
            None => return Err("ERR Protocol version is not an integer or out of range".into()),
        }
    }
    let mut name = None;
    while let Some(option) = rest.next() {
        if !option.eq_ignore_ascii_case(b"SETNAME") || rest.len() == 0 {
            let shown = String::from_utf8_lossy(&option[..option.len().min(128)]);
            return Err(format!("ERR Syntax error in HELLO option '{shown}'").into());
        }
        name = rest.next();
    }
    if let Some(name) = name {
        set_name(session, name)?;
    }
    replies.array(14);
    replies.bulk(b"server");
    replies.bulk(b"redis");
    replies.bulk(b"version");
    replies.bulk(VERSION.as_bytes());
    replies.bulk(b"proto");
    replies.integer(2);
    replies.bulk(b"id");
    replies.integer(session.id as i64);
    replies.bulk(b"mode");
    replies.bulk(b"standalone");
    replies.bulk(b"role");
    replies.bulk(b"master");
    replies.bulk(b"modules");
    replies.array(0);
    Ok(())
}

fn set_name(session: &mut Session<'_>, name: &[u8]) -> Done {
    if name.len() > 1024 || !name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Err(
            "ERR Client names cannot contain spaces, newlines or special characters.".into(),
        );
    }
    session.name.clear();
    session.name.extend_from_slice(name);
    Ok(())
}

/// The name of a subcommand, and whether there are as many arguments as it takes, both of them named.
fn is(arguments: Arguments<'_>, command: &str, name: &str, count: usize) -> Result<bool, Failure> {
    if !arguments[1].eq_ignore_ascii_case(name.as_bytes()) {
        return Ok(false);
    }
    if arguments.len() != count {
        return Err(wrong_number(&format!(
            "{command}|{}",
            name.to_ascii_lowercase()
        )));
    }
    Ok(true)
}

fn unknown_subcommand(arguments: Arguments<'_>, command: &str) -> Done {
    let name = &arguments[1];
    let shown = String::from_utf8_lossy(&name[..name.len().min(128)]);
    Err(format!("ERR unknown subcommand '{shown}'. Try {command} HELP.").into())
}

pub(crate) fn client(
    session: &mut Session<'_>,
    arguments: Arguments<'_>,
    replies: &mut Replies,
) -> Done {
    if is(arguments, "client", "SETNAME", 3)? {
        set_name(session, &arguments[2])?;
        replies.ok();
    } else if is(arguments, "client", "GETNAME", 2)? {
        if session.name.is_empty() {
            replies.null();
        } else {
            replies.bulk(&session.name);
        }
    } else if is(arguments, "client", "SETINFO", 4)? {
        let known = [b"LIB-NAME".as_slice(), b"LIB-VER"];
        if !known
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&arguments[2]))
        {
            return Err("ERR Unrecognized option for CLIENT SETINFO".into());
        }
        replies.ok();
    } else if is(arguments, "client", "ID", 2)? {
        replies.integer(session.id as i64);
    } else {
        return unknown_subcommand(arguments, "CLIENT");
    }
    Ok(())
}

pub(crate) fn config(
    session: &mut Session<'_>,
    arguments: Arguments<'_>,
    replies: &mut Replies,
) -> Done {
    if !arguments[1].eq_ignore_ascii_case(b"GET") {
        return unknown_subcommand(arguments, "CONFIG");
    }
    if arguments.len() < 3 {
        return Err(wrong_number("config|get"));
    }
    let shared = session.shared;
    let options = shared.server.options();
    let settings = [
        ("appendonly", "no".to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", options.max_connections.to_string()),
        ("maxmemory", shared.store.max_memory().to_string()),
        ("maxmemory-policy", "noeviction".to_owned()),
        ("port", shared.port.to_string()),
        ("proto-max-bulk-len", shared.limits.value.to_string()),
        ("save", String::new()),
        ("timeout", "0".to_owned()),
    ];
    // Patterns that take longer match nothing.
    let mut steps = 100_000;
    let wanted: Vec<_> = settings
        .iter()
        .filter(|(name, _)| {
            let mut patterns = arguments.from(2).iter();
            patterns.any(|pattern| {
                let pattern = pattern.to_ascii_lowercase();
                glob::matches(&pattern, name.as_bytes(), &mut steps) == Ok(true)
            })
        })
        .collect();
    replies.array(2 * wanted.len());
    for (name, value) in wanted {
        replies.bulk(name.as_bytes());
        replies.bulk(value.as_bytes());
    }
    Ok(())
}

pub(crate) fn command(
    _: &mut Session<'_>,
    arguments: Arguments<'_>,
    replies: &mut Replies,
) -> Done {
    let Some(name) = arguments.get(1) else {
        replies.array(COMMANDS.len());
        COMMANDS
            .iter()
            .for_each(|command| describe(command, replies));
        return Ok(());
    };
    if is(arguments, "command", "COUNT", 2)? {
        replies.integer(COMMANDS.len() as i64);
    } else if is(arguments, "command", "LIST", 2)? {
        replies.array(COMMANDS.len());
        for command in &COMMANDS {
            replies.bulk(command.name.as_bytes());
        }
    } else if name.eq_ignore_ascii_case(b"INFO") {
        let names = arguments.from(2).iter();
        replies.array(names.len());
        for name in names {
            match find(name) {
                Some(command) => describe(command, replies),
                None => replies.null(),
            }
        }
    } else if name.eq_ignore_ascii_case(b"DOCS") {
        // There are none; the interactive client asks for them, and goes on without.
        replies.array(0);
    } else {
        return unknown_subcommand(arguments, "COMMAND");
    }
    Ok(())
}

fn describe(command: &Command, replies: &mut Replies) {
    replies.array(6);
    replies.bulk(command.name.as_bytes());
    replies.integer(command.arity);
    replies.array(command.flags.len());
    command.flags.iter().for_each(|flag| replies.simple(flag));
    command.keys.iter().for_each(|key| replies.integer(*key));
}

pub(crate) fn time(_: &mut Session<'_>, _: Arguments<'_>, replies: &mut Replies) -> Done {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    replies.array(2);
    replies.bulk(now.as_secs().to_string().as_bytes());
    replies.bulk(now.subsec_micros().to_string().as_bytes());
    Ok(())
}

pub(crate) fn info(
    session: &mut Session<'_>,
    arguments: Arguments<'_>,
    replies: &mut Replies,
) -> Done {
    let shared = session.shared;
    let (keys, expires) = shared.store.lock_all().count();
    let metrics = [
        (
            "Server",
            format!(
                "redis_version:{VERSION}\r\nserver_name:marmot-kv\r\nmarmot_version:{}\r\n\
                 redis_mode:standalone\r\nprocess_id:{}\r\ntcp_port:{}\r\nuptime_in_seconds:{}\r\n\
                 max_procs:{}\r\ngoroutines:{}\r\n",
                env!("CARGO_PKG_VERSION"),
                std::process::id(),
                shared.port,
                shared.start.elapsed().as_secs(),
                marmot::max_procs(),
                marmot::num_goroutines(),
            ),
        ),
        (
            "Clients",
            format!(
                "connected_clients:{}\r\nmaxclients:{}\r\npubsub_clients:{}\r\n",
                shared.server.open(),
                shared.server.options().max_connections,
                shared.subscribers.load(Ordering::Relaxed),
            ),
        ),
        (
            "Memory",
            format!(
                "used_memory:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:noeviction\r\n",
                shared.store.used(),
                shared.store.max_memory(),
            ),
        ),
        (
            "Stats",
            format!(
                "total_connections_received:{}\r\ntotal_commands_processed:{}\r\n\
                 expired_keys:{}\r\npubsub_channels:{}\r\n",
                shared.server.accepted(),
                shared.commands.load(Ordering::Relaxed),
                shared.store.expired(),
                shared.topics.len(),
            ),
        ),
        (
            "Keyspace",
            match keys {
                0 => String::new(),
                _ => format!("db0:keys={keys},expires={expires},avg_ttl=0\r\n"),
            },
        ),
    ];
    let is_wanted = |section: &str| {
        arguments.len() == 1
            || arguments.from(1).iter().any(|name| {
                ["all", "everything", "default", section]
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
            })
    };
    let mut text = String::new();
    for (section, lines) in metrics {
        if is_wanted(section) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{gap}# {section}\r\n{lines}");
        }
    }
    replies.bulk(text.as_bytes());
    Ok(())
}
