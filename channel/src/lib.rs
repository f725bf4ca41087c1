//! marmot-channel.
