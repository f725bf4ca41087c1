//! The error types: texts, questions, conversions.

use std::error::Error;

use marmot_channel::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError,
    SendTimeoutError, TryReadyError, TryRecvError, TrySelectError, TrySendError,
};

fn text(error: impl Error) -> String {
    error.to_string()
}

#[test]
fn texts() {
    let closed = "sending on a disconnected channel";
    assert_eq!(text(SendError(1)), closed);
    assert_eq!(text(TrySendError::Disconnected(1)), closed);
    assert_eq!(text(TrySendError::Full(1)), "sending on a full channel");
    assert_eq!(text(SendTimeoutError::Disconnected(1)), closed);
    assert_eq!(
        text(SendTimeoutError::Timeout(1)),
        "timed out waiting on send operation"
    );
    let closed = "receiving on an empty and disconnected channel";
    assert_eq!(text(RecvError), closed);
    assert_eq!(text(TryRecvError::Disconnected), closed);
    assert_eq!(text(TryRecvError::Empty), "receiving on an empty channel");
    assert_eq!(
        text(RecvTimeoutError::Disconnected),
        "channel is empty and disconnected"
    );
    assert_eq!(
        text(RecvTimeoutError::Timeout),
        "timed out waiting on receive operation"
    );
    assert_eq!(text(TrySelectError), "all operations in select would block");
    assert_eq!(text(SelectTimeoutError), "timed out waiting on select");
}

#[test]
fn the_value_need_not_be_shown() {
    struct Opaque;
    assert_eq!(format!("{:?}", SendError(Opaque)), "SendError(..)");
    assert_eq!(format!("{:?}", TrySendError::Full(Opaque)), "Full(..)");
    assert_eq!(
        format!("{:?}", TrySendError::Disconnected(Opaque)),
        "Disconnected(..)"
    );
    assert_eq!(
        format!("{:?}", SendTimeoutError::Timeout(Opaque)),
        "SendTimeoutError(..)"
    );
    assert_eq!(
        format!("{TryReadyError:?} {ReadyTimeoutError:?}"),
        "TryReadyError ReadyTimeoutError"
    );
}

#[test]
fn questions_and_conversions() {
    assert!(TrySendError::Full(1).is_full() && !TrySendError::Full(1).is_disconnected());
    assert!(TrySendError::from(SendError(1)).is_disconnected());
    assert!(SendTimeoutError::Timeout(1).is_timeout());
    assert!(SendTimeoutError::from(SendError(1)).is_disconnected());
    assert!(TryRecvError::Empty.is_empty() && TryRecvError::from(RecvError).is_disconnected());
    assert!(RecvTimeoutError::Timeout.is_timeout());
    assert!(RecvTimeoutError::from(RecvError).is_disconnected());
    assert_eq!(SendError(1).into_inner(), 1);
    assert_eq!(TrySendError::Full(2).into_inner(), 2);
    assert_eq!(SendTimeoutError::Timeout(3).into_inner(), 3);
}

/// The traits that generic code asks of errors: also of those whose value is not `Debug`.
#[test]
fn traits() {
    struct Opaque;
    fn error<T: Error + Send + Sync + 'static>() {}
    fn plain<T: Copy + Clone + PartialEq + Eq + std::fmt::Debug + std::fmt::Display>() {}
    error::<SendError<Opaque>>();
    error::<TrySendError<Opaque>>();
    error::<SendTimeoutError<Opaque>>();
    error::<RecvError>();
    error::<TryRecvError>();
    error::<RecvTimeoutError>();
    error::<TrySelectError>();
    error::<SelectTimeoutError>();
    plain::<SendError<u8>>();
    plain::<TrySendError<u8>>();
    plain::<SendTimeoutError<u8>>();
    plain::<RecvError>();
    plain::<TryRecvError>();
    plain::<RecvTimeoutError>();
    plain::<TrySelectError>();
    plain::<SelectTimeoutError>();
    fn bare<T: Copy + Clone + PartialEq + Eq + std::fmt::Debug>() {}
    bare::<TryReadyError>();
    bare::<ReadyTimeoutError>();
}

/// `?` turns them into each other where one contains the other, and into boxed errors.
#[test]
fn question_marks() {
    use marmot_channel::{Receiver, Sender, bounded};
    fn boxed(tx: &Sender<u8>, rx: &Receiver<u8>) -> Result<u8, Box<dyn Error + Send + Sync>> {
        tx.send(1)?;
        let n = rx.recv()?;
        tx.try_send(n)?;
        tx.close();
        rx.try_recv()?;
        Ok(rx.recv_timeout(std::time::Duration::ZERO)?)
    }
    fn widened(tx: &Sender<u8>) -> Result<(), TrySendError<u8>> {
        Ok(tx.send(2)?)
    }
    fn timed(tx: &Sender<u8>) -> Result<(), SendTimeoutError<u8>> {
        Ok(tx.send(3)?)
    }
    fn received(rx: &Receiver<u8>) -> Result<u8, RecvTimeoutError> {
        Ok(rx.recv()?)
    }
    fn tried(rx: &Receiver<u8>) -> Result<u8, TryRecvError> {
        Ok(rx.recv()?)
    }
    let (tx, rx) = bounded(2);
    let error = boxed(&tx, &rx).unwrap_err();
    assert!(
        error
            .downcast::<RecvTimeoutError>()
            .unwrap()
            .is_disconnected()
    );
    assert_eq!(widened(&tx), Err(TrySendError::Disconnected(2)));
    assert_eq!(timed(&tx), Err(SendTimeoutError::Disconnected(3)));
    assert_eq!(received(&rx), Err(RecvTimeoutError::Disconnected));
    assert_eq!(tried(&rx), Err(TryRecvError::Disconnected));
}
