//! marmot-netpoll.
