//! The answers of all workloads.

#[test]
fn every_workload_answers_right() {
    marmot_peer::check_answers(env!("CARGO_BIN_EXE_peer-may").as_ref());
}
