//! marmot.
