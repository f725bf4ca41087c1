//! The macro for what turns a socket type into descriptors and std's type, and back.

/// Everything that turns a socket type into descriptors and std's type and back; and `Debug`.
macro_rules! conversions {
    ($name:ident, $std:ty) => {
        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.get().as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.0.get().as_raw_fd()
            }
        }

        impl From<$std> for $name {
            /// Makes the socket non-blocking, for the kernel and so for its duplicates outside;
            /// its own mode and timeouts are kept.
            fn from(socket: $std) -> Self {
                Self(socket::adopt(socket.into()))
            }
        }

        impl From<$name> for $std {
            /// The socket is blocking again, unless it was set non-blocking.
            ///
            /// # Panics
            /// If there are clones, and no descriptor is left for a duplicate.
            fn from(socket: $name) -> Self {
                socket::release(socket.0).into()
            }
        }

        impl From<OwnedFd> for $name {
            fn from(fd: OwnedFd) -> Self {
                Self(socket::adopt(fd.into()))
            }
        }

        impl From<$name> for OwnedFd {
            /// The socket is blocking again, unless it was set non-blocking.
            ///
            /// # Panics
            /// If there are clones, and no descriptor is left for a duplicate.
            fn from(socket: $name) -> Self {
                socket::release(socket.0)
            }
        }

        impl std::fmt::Debug for $name {
            /// In std's form.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&*socket::view::<$std>(&self.0), f)
            }
        }

        impl FromRawFd for $name {
            unsafe fn from_raw_fd(fd: RawFd) -> Self {
                // SAFETY: the caller's promise: an open descriptor that is given away.
                Self::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }

        impl IntoRawFd for $name {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }
    };
}
pub(crate) use conversions;
