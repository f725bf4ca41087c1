//! marmot-benches.
