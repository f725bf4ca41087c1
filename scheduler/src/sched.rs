//! stub
use std::ptr::NonNull;
use crate::wait::WaitHeader;
pub(crate) unsafe fn ready_header(_: NonNull<WaitHeader>) { todo!() }
/// The event source of the runtime that the current goroutine belongs to; `None` on a plain thread.
pub fn current_event_source() -> Option<&'static dyn crate::event::EventSource> { None }
