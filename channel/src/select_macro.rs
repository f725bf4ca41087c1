//! The `select!` macro.
//!
//! It works in three stages, each an internal rule of `__select`:
//!
//! 1. `@head` takes one case off the input and `@body` its body, until nothing is left. Each case
//!    gets a name and a number from a list on the way. What cannot be parsed ends in `@error`.
//! 2. `@emit` turns the list of cases into code, by repetition, not by recursion: so 32 cases fit
//!    into the default recursion limit.
//! 3. `@finish` completes the chosen operation. Only here is the message of a send evaluated.

/// Waits until one of several channel operations is possible, and does it.
///
/// ```text
/// select! {
///     recv(receiver) -> result => body,          // result: Result<T, RecvError>
///     send(sender, message) -> result => body,   // result: Result<(), SendError<T>>
///     default => body,                           // if nothing is ready now
///     default(timeout) => body,                  // if nothing is ready for that time
/// }
/// ```
///
/// There may be up to 32 `send` and `recv` cases, in any order, and one `default` or none. A body is
/// a block, or an expression followed by a comma; it may `return`, `break` and so on. The value of
/// the body that was run is the value of the `select!`.
///
/// An operation is ready if it would not wait; that is also so if it would fail because the channel
/// is closed. If several are ready one is chosen at random (see [`select_biased!`](crate::select_biased!) for another
/// rule), and the others have no effect at all. While it waits, a goroutine is parked and a thread
/// sleeps.
///
/// Channels are given by value, by reference, or by an expression that gives either; the
/// expressions are evaluated once, in order, before anything else. The *message* of a send is
/// evaluated only when that case has been chosen. A channel may be in several cases, even with both
/// sides; an operation never meets one of the same `select!`.
///
/// # Panics
/// Only if one of the expressions does. If the message of a chosen send panics, that send is
/// undone.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use marmot_channel::{bounded, select, unbounded};
///
/// let (tx1, rx1) = unbounded::<i32>();
/// let (tx2, rx2) = bounded(1);
///
/// // One case is ready: there is room in the second channel.
/// select! {
///     recv(rx1) -> _ => unreachable!("nobody has sent"),
///     send(tx2, "hello") -> sent => assert_eq!(sent, Ok(())),
/// }
///
/// // A value of the whole, and a case for when nothing is ready.
/// let n = select! {
///     recv(rx1) -> n => n.unwrap(),
///     send(tx2, "full") -> _ => 1,
///     default => 2,
/// };
/// assert_eq!(n, 2);
///
/// // A timeout.
/// select! {
///     recv(rx1) -> _ => unreachable!(),
///     default(Duration::from_millis(5)) => {}
/// }
/// # drop((tx1, rx2));
/// ```
///
/// Mistakes are reported in its own terms:
///
/// ```compile_fail
/// # let (tx, rx) = marmot_channel::unbounded::<i32>();
/// marmot_channel::select! {
///     recv(rx) => {} // expected `->` after `recv(..)`
/// }
/// ```
///
/// ```compile_fail
/// # let (tx, rx) = marmot_channel::unbounded::<i32>();
/// marmot_channel::select! {
///     recv(rx) -> _ => {}
///     default => {}
///     default => {} // there can be only one `default` case
/// }
/// ```
#[macro_export]
macro_rules! select {
    ($($input:tt)*) => {
        $crate::__select!(@begin false; $($input)*)
    };
}

/// As [`select!`](crate::select!), but of several ready operations always takes the first in the list.
///
/// # Examples
///
/// ```
/// let (tx, rx) = marmot_channel::unbounded();
/// let (tx2, rx2) = marmot_channel::unbounded();
/// tx.send("urgent").unwrap();
/// tx2.send("not urgent").unwrap();
/// let first = marmot_channel::select_biased! {
///     recv(rx) -> m => m,
///     recv(rx2) -> m => m,
/// };
/// assert_eq!(first, Ok("urgent"));
/// ```
#[macro_export]
macro_rules! select_biased {
    ($($input:tt)*) => {
        $crate::__select!(@begin true; $($input)*)
    };
}

/// The name under which crossbeam-channel's own test suite reaches the engine of `select!`, with a
/// constant `_IS_BIASED` in scope. Kept so that the suite runs against this crate as it is.
#[doc(hidden)]
#[macro_export]
macro_rules! crossbeam_channel_internal {
    ($($input:tt)*) => {
        $crate::__select!(@begin _IS_BIASED; $($input)*)
    };
}

/// See the module's documentation.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    (@begin $biased:tt;) => {
        $crate::__select!(@error "empty `select!` block")
    };
    (@begin $biased:tt; $($input:tt)*) => {
        $crate::__select!(@head $biased
            [
                (c0 0usize) (c1 1usize) (c2 2usize) (c3 3usize)
                (c4 4usize) (c5 5usize) (c6 6usize) (c7 7usize)
                (c8 8usize) (c9 9usize) (c10 10usize) (c11 11usize)
                (c12 12usize) (c13 13usize) (c14 14usize) (c15 15usize)
                (c16 16usize) (c17 17usize) (c18 18usize) (c19 19usize)
                (c20 20usize) (c21 21usize) (c22 22usize) (c23 23usize)
                (c24 24usize) (c25 25usize) (c26 26usize) (c27 27usize)
                (c28 28usize) (c29 29usize) (c30 30usize) (c31 31usize)
            ]
            [] []
            $($input)*
        )
    };

    // ---- one case: everything up to its `=>` -------------------------------------------------

    // @head biased [free names] [cases] [default] input...
    (@head $biased:tt $names:tt $cases:tt $default:tt) => {
        $crate::__select!(@emit $biased $cases $default)
    };
    (@head $biased:tt [] $cases:tt $default:tt recv $($rest:tt)*) => {
        $crate::__select!(@error "too many operations in a `select!` block: the limit is 32")
    };
    (@head $biased:tt [] $cases:tt $default:tt send $($rest:tt)*) => {
        $crate::__select!(@error "too many operations in a `select!` block: the limit is 32")
    };
    (@head $biased:tt [($name:ident $index:tt) $($names:tt)*] $cases:tt $default:tt
        recv($channel:expr $(,)?) -> $result:pat => $($rest:tt)*
    ) => {
        $crate::__select!(@body $biased [$($names)*] $cases $default
            [recv $name $index ($channel) () $result] $($rest)*)
    };
    (@head $biased:tt [($name:ident $index:tt) $($names:tt)*] $cases:tt $default:tt
        send($channel:expr, $message:expr $(,)?) -> $result:pat => $($rest:tt)*
    ) => {
        $crate::__select!(@body $biased [$($names)*] $cases $default
            [send $name $index ($channel) ($message) $result] $($rest)*)
    };
    (@head $biased:tt $names:tt $cases:tt [] default => $($rest:tt)*) => {
        $crate::__select!(@body $biased $names $cases [] [default ()] $($rest)*)
    };
    (@head $biased:tt $names:tt $cases:tt [] default() => $($rest:tt)*) => {
        $crate::__select!(@body $biased $names $cases [] [default ()] $($rest)*)
    };
    (@head $biased:tt $names:tt $cases:tt [] default($timeout:expr $(,)?) => $($rest:tt)*) => {
        $crate::__select!(@body $biased $names $cases [] [default ($timeout)] $($rest)*)
    };

    // What is wrong with it?
    (@head $biased:tt $names:tt $cases:tt [$($some:tt)+] default $($rest:tt)*) => {
        $crate::__select!(@error "there can be only one `default` case in a `select!` block")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt default -> $($rest:tt)*) => {
        $crate::__select!(@error "expected `=>` after `default` case, found `->`")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt default($($args:tt)*) -> $($rest:tt)*) => {
        $crate::__select!(@error "expected `=>` after `default` case, found `->`")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt default($($args:tt)*) => $($rest:tt)*) => {
        $crate::__select!(@error "`default` takes one argument, the timeout, or none")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt default $($rest:tt)*) => {
        $crate::__select!(@error "expected `=>` or a timeout in parentheses after `default`")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt recv($($args:tt)*) => $($rest:tt)*) => {
        $crate::__select!(@error "expected `->` after `recv(..)`, found `=>`")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt send($($args:tt)*) => $($rest:tt)*) => {
        $crate::__select!(@error "expected `->` after `send(..)`, found `=>`")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt
        recv($($args:tt)*) -> $result:pat => $($rest:tt)*
    ) => {
        $crate::__select!(@error "`recv` takes one argument, the receiver")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt
        send($($args:tt)*) -> $result:pat => $($rest:tt)*
    ) => {
        $crate::__select!(@error "`send` takes two arguments, the sender and the message")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt recv($($args:tt)*) -> => $($rest:tt)*) => {
        $crate::__select!(@error "expected a pattern after `->`")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt send($($args:tt)*) -> => $($rest:tt)*) => {
        $crate::__select!(@error "expected a pattern after `->`")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt recv $($rest:tt)*) => {
        $crate::__select!(@error "a `recv` case reads `recv(receiver) -> pattern => body`")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt send $($rest:tt)*) => {
        $crate::__select!(@error "a `send` case reads `send(sender, message) -> pattern => body`")
    };
    (@head $biased:tt $names:tt $cases:tt $default:tt $other:tt $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected one of `recv`, `send`, or `default`, found `",
            ::core::stringify!($other),
            "`",
        ))
    };

    // ---- one case: its body ------------------------------------------------------------------

    (@body $biased:tt $names:tt $cases:tt $default:tt $case:tt { $($body:tt)* } ; $($rest:tt)*) => {
        $crate::__select!(@error "did you mean to put a comma instead of the semicolon after `}`?")
    };
    (@body $biased:tt $names:tt $cases:tt $default:tt $case:tt { $($body:tt)* } , $($rest:tt)*) => {
        $crate::__select!(@add $biased $names $cases $default $case { $($body)* } $($rest)*)
    };
    (@body $biased:tt $names:tt $cases:tt $default:tt $case:tt { $($body:tt)* } $($rest:tt)*) => {
        $crate::__select!(@add $biased $names $cases $default $case { $($body)* } $($rest)*)
    };
    (@body $biased:tt $names:tt $cases:tt $default:tt $case:tt $body:expr) => {
        $crate::__select!(@add $biased $names $cases $default $case { $body })
    };
    (@body $biased:tt $names:tt $cases:tt $default:tt $case:tt $body:expr, $($rest:tt)*) => {
        $crate::__select!(@add $biased $names $cases $default $case { $body } $($rest)*)
    };
    (@body $biased:tt $names:tt $cases:tt $default:tt $case:tt $body:expr; $($rest:tt)*) => {
        $crate::__select!(@error "the body of a case ends with a comma, not with a semicolon")
    };
    (@body $biased:tt $names:tt $cases:tt $default:tt $case:tt) => {
        $crate::__select!(@error "expected an expression after `=>`")
    };
    (@body $biased:tt $names:tt $cases:tt $default:tt $case:tt $($rest:tt)*) => {
        $crate::__select!(@error "expected a comma after the body of a case")
    };

    (@add $biased:tt $names:tt $cases:tt [] [default $timeout:tt] $body:tt $($rest:tt)*) => {
        $crate::__select!(@head $biased $names $cases [$timeout $body] $($rest)*)
    };
    (@add $biased:tt $names:tt [$($cases:tt)*] $default:tt [$($case:tt)*] $body:tt $($rest:tt)*) => {
        $crate::__select!(@head $biased $names [$($cases)* ($($case)* $body)] $default $($rest)*)
    };

    // ---- the code ----------------------------------------------------------------------------

    // A single receive needs no select.
    (@emit $biased:tt [(recv $name:ident $index:tt ($channel:expr) () $result:tt $body:tt)] []) => {
        match &$channel {
            channel => {
                let channel: &$crate::Receiver<_> = channel;
                let received = channel.recv();
                let $result = received;
                $body
            }
        }
    };
    (@emit $biased:tt
        [(recv $name:ident $index:tt ($channel:expr) () $result:tt $body:tt)]
        [() $otherwise:tt]
    ) => {
        match &$channel {
            channel => {
                let channel: &$crate::Receiver<_> = channel;
                match channel.try_recv() {
                    ::core::result::Result::Err($crate::TryRecvError::Empty) => $otherwise,
                    received => {
                        let received = received.map_err(|_| $crate::RecvError);
                        let $result = received;
                        $body
                    }
                }
            }
        }
    };
    (@emit $biased:tt
        [(recv $name:ident $index:tt ($channel:expr) () $result:tt $body:tt)]
        [($timeout:expr) $otherwise:tt]
    ) => {
        match &$channel {
            channel => {
                let channel: &$crate::Receiver<_> = channel;
                match channel.recv_timeout($timeout) {
                    ::core::result::Result::Err($crate::RecvTimeoutError::Timeout) => $otherwise,
                    received => {
                        let received = received.map_err(|_| $crate::RecvError);
                        let $result = received;
                        $body
                    }
                }
            }
        }
    };

    // The channels stay borrowed, and the temporaries in their expressions alive, as long as the
    // `match` on them.
    (@emit $biased:tt
        [$(($kind:ident $name:ident $index:tt ($channel:expr) $message:tt $result:tt $body:tt))*]
        []
    ) => {
        match ($(&$channel,)*) {
            ($($name,)*) => {
                $(let $name: $crate::__select!(@type $kind) = $name;)*
                let mut landing = $crate::internal::Landing::new();
                let mut look = $crate::internal::Look::new();
                $(look.$kind($index, $name);)*
                let chosen = match $crate::__select!(@try look landing $biased $($kind $name $index)*) {
                    ::core::option::Option::Some(chosen) => chosen,
                    ::core::option::Option::None => {
                        let mut cases = [$($crate::internal::Case::$kind($name)),*];
                        $crate::internal::select(
                            &mut cases, &mut landing, $biased, look.is_in_vain(),
                        )
                    }
                };
                match chosen {
                    $($index => {
                        let result = $crate::__select!(@finish $kind landing $name $message);
                        let $result = result;
                        $body
                    })*
                    _ => ::core::unreachable!("a select chooses one of its cases"),
                }
            }
        }
    };
    (@emit $biased:tt
        [$(($kind:ident $name:ident $index:tt ($channel:expr) $message:tt $result:tt $body:tt))*]
        [($($timeout:expr)?) $otherwise:tt]
    ) => {
        match ($(&$channel,)*) {
            ($($name,)*) => {
                $(let $name: $crate::__select!(@type $kind) = $name;)*
                #[allow(unused_mut)]
                let mut landing = $crate::internal::Landing::new();
                let chosen = $crate::__select!(
                    @within ($($timeout)?) landing $biased $($kind $name $index)*
                );
                match chosen {
                    ::core::option::Option::None => $otherwise,
                    #[allow(unused_variables)]
                    ::core::option::Option::Some(chosen) => match chosen {
                        $($index => {
                            let result = $crate::__select!(@finish $kind landing $name $message);
                            let $result = result;
                            $body
                        })*
                        _ => ::core::unreachable!("a select chooses one of its cases"),
                    }
                }
            }
        }
    };

    (@type recv) => { &$crate::Receiver<_> };
    (@type send) => { &$crate::Sender<_> };

    // One of those that a look has found ready is begun, if it is still ready.
    (@try $look:ident $landing:ident $biased:tt $($kind:ident $name:ident $index:tt)*) => {
        match $look.choose($biased) {
            $(::core::option::Option::Some($index)
                if $crate::__select!(@choose $kind $name $landing) =>
            {
                ::core::option::Option::Some($index)
            })*
            _ => ::core::option::Option::None,
        }
    };

    (@choose recv $name:ident $landing:ident) => {
        $crate::internal::begin_recv($name, &mut $landing)
    };
    (@choose send $name:ident $landing:ident) => {
        $crate::internal::begin_send($name, &mut $landing)
    };

    (@within () $landing:ident $biased:tt $($kind:ident $name:ident $index:tt)*) => {{
        #[allow(unused_mut)]
        let mut look = $crate::internal::Look::last();
        $(look.$kind($index, $name);)*
        match $crate::__select!(@try look $landing $biased $($kind $name $index)*) {
            ::core::option::Option::None if !look.is_in_vain() => {
                // Somebody was quicker.
                let mut cases = [$($crate::internal::Case::$kind($name)),*];
                $crate::internal::try_select(&mut cases, &mut $landing, $biased)
            }
            chosen => chosen,
        }
    }};
    (@within ($timeout:expr) $landing:ident $biased:tt $($kind:ident $name:ident $index:tt)*) => {{
        let timeout = $timeout;
        #[allow(unused_mut)]
        let mut look = $crate::internal::Look::new();
        $(look.$kind($index, $name);)*
        match $crate::__select!(@try look $landing $biased $($kind $name $index)*) {
            ::core::option::Option::Some(chosen) => ::core::option::Option::Some(chosen),
            ::core::option::Option::None => {
                let mut cases: [$crate::internal::Case<'_>; _] =
                    [$($crate::internal::Case::$kind($name)),*];
                $crate::internal::select_timeout(
                    &mut cases, &mut $landing, timeout, $biased, look.is_in_vain(),
                )
            }
        }
    }};

    (@finish recv $landing:ident $name:ident ()) => {
        $crate::internal::complete_recv($name, &mut $landing)
    };
    (@finish send $landing:ident $name:ident ($message:expr)) => {{
        let chosen = $crate::internal::ChosenSend::new($name, &mut $landing);
        chosen.send($message)
    }};

    (@error $message:literal) => {
        ::core::compile_error!($message)
    };
}
