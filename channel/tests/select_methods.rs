//! Every method of `Select` and `SelectedOperation`, with its panics.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use common::{LONG, SHORT, everywhere, until};
use marmot_channel::{RecvError, Select, SelectedOperation, SendError, bounded, never, unbounded};

fn panics(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    let text = payload.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| (*payload.downcast_ref::<&str>().unwrap()).to_owned())
}

#[test]
fn without_operations() {
    everywhere(|_| {
        for mut sel in [Select::new(), Select::new_biased(), Select::default()] {
            assert!(sel.try_select().is_err() && sel.try_ready().is_err());
            let begin = Instant::now();
            assert!(sel.select_timeout(SHORT).is_err() && sel.ready_timeout(SHORT).is_err());
            assert!(
                begin.elapsed() >= 2 * SHORT,
                "it waits for the time all the same"
            );
            assert!(sel.select_deadline(begin).is_err() && sel.ready_deadline(begin).is_err());
            let text = "no operations have been added to `Select`";
            assert_eq!(panics(|| drop(sel.select())), text);
            assert_eq!(
                panics(|| {
                    sel.ready();
                }),
                text
            );
        }
    });
}

/// All the ways to choose, in each of which the one ready operation is chosen.
fn choose<'a>(sel: &mut Select<'a>, way: usize) -> SelectedOperation<'a> {
    match way {
        0 => sel.select(),
        1 => sel.try_select().unwrap(),
        2 => sel.select_timeout(LONG).unwrap(),
        3 => sel.select_timeout(Duration::ZERO).unwrap(),
        _ => sel.select_deadline(Instant::now() + LONG).unwrap(),
    }
}

#[test]
fn what_is_ready_is_chosen_and_completed() {
    everywhere(|_| {
        for way in 0..5 {
            let (full, _rest) = bounded(0);
            let (tx, rx) = bounded(1);
            let empty = never::<u32>();
            let mut sel = Select::new();
            assert_eq!((sel.send(&full), sel.recv(&empty)), (0, 1));
            assert_eq!((sel.send(&tx), sel.recv(&rx)), (2, 3));
            let oper = choose(&mut sel, way);
            assert_eq!(oper.index(), 2);
            assert_eq!(format!("{oper:?}"), "SelectedOperation { .. }");
            assert!(tx.is_full(), "the place is set aside");
            assert_eq!(oper.send(&tx, 5), Ok(()));
            let oper = choose(&mut sel, way);
            assert_eq!(oper.index(), 3);
            assert_eq!(oper.recv(&rx), Ok(5));
            // The same select goes on, and a clone of it has the same operations.
            let mut clone = sel.clone();
            assert_eq!(format!("{clone:?}"), "Select { .. }");
            assert_eq!(choose(&mut clone, way).send(&tx, 6), Ok(()));
            assert_eq!(choose(&mut sel, way).recv(&rx), Ok(6));
            full.try_send(0).unwrap_err();
        }
    });
}

#[test]
fn closed_channels_are_ready() {
    everywhere(|_| {
        for way in 0..5 {
            let (tx, rx) = bounded::<u32>(1);
            tx.send(1).unwrap();
            let mut sel = Select::new();
            sel.send(&tx);
            assert!(sel.try_select().is_err());
            tx.close();
            assert_eq!(choose(&mut sel, way).send(&tx, 2), Err(SendError(2)));
            let mut sel = Select::new();
            sel.recv(&rx);
            assert_eq!(choose(&mut sel, way).recv(&rx), Ok(1));
            assert_eq!(choose(&mut sel, way).recv(&rx), Err(RecvError));
        }
    });
}

#[test]
fn what_becomes_ready_is_chosen() {
    everywhere(|tasks| {
        for way in [0, 2, 4] {
            let (tx, rx) = bounded(0);
            let (tx2, rx2) = bounded(0);
            let partner = tasks.spawn(move || {
                marmot_channel::never::<()>()
                    .recv_timeout(Duration::from_micros(200))
                    .unwrap_err();
                tx.send(1).unwrap();
                rx2.recv().unwrap()
            });
            let mut sel = Select::new();
            sel.recv(&rx);
            assert_eq!(choose(&mut sel, way).recv(&rx), Ok(1));
            let mut sel = Select::new();
            sel.send(&tx2);
            assert_eq!(choose(&mut sel, way).send(&tx2, 2), Ok(()));
            assert_eq!(partner.join(), 2);
        }
    });
}

#[test]
fn ready_names_what_is_ready() {
    everywhere(|tasks| {
        let (tx, rx) = unbounded();
        let (full, _rest) = bounded::<u32>(0);
        let mut sel = Select::new();
        sel.send(&full);
        let index = sel.recv(&rx);
        assert!(sel.try_ready().is_err());
        assert!(sel.ready_timeout(Duration::ZERO).is_err());
        assert!(sel.ready_deadline(Instant::now()).is_err());
        tx.send(1).unwrap();
        assert_eq!(sel.try_ready(), Ok(index));
        assert_eq!(sel.ready_timeout(Duration::ZERO), Ok(index));
        assert_eq!(sel.ready_deadline(Instant::now()), Ok(index));
        assert_eq!(sel.ready(), index);
        assert_eq!(rx.try_recv(), Ok(1), "nothing was taken");
        for way in 0..3 {
            let sender = {
                let tx = tx.clone();
                tasks.spawn(move || tx.send(way).unwrap())
            };
            let named = match way {
                0 => sel.ready(),
                1 => sel.ready_timeout(LONG).unwrap(),
                _ => sel.ready_deadline(Instant::now() + LONG).unwrap(),
            };
            assert_eq!(named, index);
            assert_eq!(rx.try_recv(), Ok(way));
            sender.join();
        }
    });
}

#[test]
fn remove_keeps_the_other_indices() {
    everywhere(|_| {
        let channels: Vec<_> = (0..4).map(|_| unbounded::<usize>()).collect();
        for biased in [false, true] {
            let mut sel = if biased {
                Select::new_biased()
            } else {
                Select::new()
            };
            for (n, (tx, rx)) in channels.iter().enumerate() {
                assert_eq!(sel.recv(rx), n);
                tx.send(n).unwrap();
            }
            sel.remove(1);
            sel.remove(0);
            // Indices are not used again.
            assert_eq!(sel.recv(&channels[0].1), 4);
            let mut seen = Vec::new();
            for _ in 0..3 {
                let oper = sel.select();
                let index = oper.index();
                seen.push(index);
                let rx = &channels[index % 4].1;
                assert_eq!(oper.recv(rx), Ok(index % 4));
            }
            if !biased {
                seen.sort_unstable();
            }
            assert_eq!(seen, [2, 3, 4]);
            assert_eq!(channels[1].1.try_recv(), Ok(1));
            assert_eq!(panics(|| sel.remove(5)), "index out of bounds; 5 >= 5");
            assert_eq!(panics(|| sel.remove(1)), "no operation with this index");
        }
    });
}

#[test]
fn the_wrong_handle_is_a_panic() {
    everywhere(|_| {
        let (tx, rx) = unbounded();
        let (tx2, rx2) = (tx.clone(), rx.clone());
        let mut sel = Select::new();
        sel.send(&tx);
        let oper = sel.select();
        let text = panics(|| oper.send(&tx2, 1).unwrap());
        assert_eq!(text, "passed a sender that wasn't selected");
        tx.send(2).unwrap();
        let mut sel = Select::new();
        sel.recv(&rx);
        let oper = sel.select();
        let text = panics(|| assert_eq!(oper.recv(&rx2), Ok(0)));
        assert_eq!(text, "passed a receiver that wasn't selected");
        assert_eq!(
            rx.try_recv().ok(),
            None,
            "the value went with the operation"
        );
    });
}

#[test]
fn an_operation_must_be_completed() {
    everywhere(|tasks| {
        let (tx, rx) = bounded(0);
        let text = "dropped `SelectedOperation` without completing the operation";
        let sender = {
            let tx = tx.clone();
            tasks.spawn(move || tx.send(1))
        };
        let mut sel = Select::new();
        sel.recv(&rx);
        assert_eq!(panics(|| drop(sel.select())), text);
        assert_eq!(sender.join(), Ok(()), "it was received, and lost");
        let receiver = tasks.spawn(move || rx.recv());
        let mut sel = Select::new();
        sel.send(&tx);
        assert_eq!(panics(|| drop(sel.select())), text);
        // The receiver has not noticed.
        assert_eq!(tx.send(2), Ok(()));
        assert_eq!(receiver.join(), Ok(2));
    });
}

#[test]
fn biased_means_the_first() {
    everywhere(|_| {
        let channels: Vec<_> = (0..5).map(|_| unbounded()).collect();
        for (tx, _) in &channels[2..] {
            (0..50).for_each(|n| tx.send(n).unwrap());
        }
        let mut sel = Select::new_biased();
        for (_, rx) in &channels {
            sel.recv(rx);
        }
        for n in 0..50 {
            assert_eq!(sel.ready(), 2);
            let oper = sel.select();
            assert_eq!(oper.index(), 2);
            assert_eq!(oper.recv(&channels[2].1), Ok(n));
        }
        assert_eq!(sel.try_ready(), Ok(3));
    });
}

/// A select may be built here and used there.
#[test]
fn a_select_can_be_moved_to_another_task() {
    everywhere(|tasks| {
        let channels: &'static _ = Box::leak(Box::new((bounded::<u32>(1), bounded::<u32>(1))));
        let mut sel = Select::new();
        sel.recv(&channels.0.1);
        sel.recv(&channels.1.1);
        let mut clone = sel.clone();
        let there = tasks.spawn(move || clone.ready());
        channels.1.0.send(4).unwrap();
        assert_eq!(there.join(), 1);
        assert_eq!(sel.select().recv(&channels.1.1), Ok(4));
        until(|| channels.1.1.is_empty());
    });
}
