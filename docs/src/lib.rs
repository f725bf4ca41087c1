//! marmot-docs.
