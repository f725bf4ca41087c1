//! marmot-examples.
