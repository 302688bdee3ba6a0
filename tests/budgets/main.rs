//! Budgets of a cached call in instructions and allocations, counted by valgrind. Unlike times they are the same on a busy
//! machine, so that a regression of a few per cent is found.
//!
//! `cargo build --release -p test-support --bin measured-calls`, then `cargo nextest run --workspace --test budgets`.

use std::path::Path;
use std::process::Command;

use rstest::rstest;

const REPETITIONS: u64 = 1_000;
/// Repetitions in the shorter run of a count by difference: what a run needs once is the same in both.
const FEW: u64 = 100;
/// How far above its last count the work may be: a regression of more fails.
const TOLERANCE_PERCENT: u64 = 5;
/// Allocations of a cached call at the last count. A part of a run's start may fall into either of the two runs, so that one more
/// or less is counted on another machine.
const ALLOCATIONS: u64 = 11;

/// Runs the work under a tool of valgrind and returns the number after `marker` in its output.
fn count(tool: &[&str], work: &str, repetitions: u64, marker: &str) -> u64 {
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/measured-calls");
    let run = Command::new("valgrind").args(tool).arg(&binary).args([work, &repetitions.to_string()]).output();
    let output = run.expect("valgrind is installed");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {text}", binary.display());
    let found = text.lines().find_map(|line| line.split_once(marker));
    let (_, rest) = found.unwrap_or_else(|| panic!("no {marker:?} in {text}"));
    let digits: String = rest.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
    digits.replace(',', "").parse().unwrap_or_else(|_| panic!("no number after {marker:?} in {text}"))
}

/// Counts in the function `measured` and what it calls, so that the start of the run does not matter.
fn instructions(work: &str) -> u64 {
    let tool = ["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*measured_calls*measured*"];
    count(&tool, work, REPETITIONS, "Collected :") / REPETITIONS
}

/// Memcheck counts whole runs: their difference leaves out what a start allocates.
fn allocations(work: &str) -> u64 {
    let [many, few] =
        [REPETITIONS + FEW, FEW].map(|number| count(&["--leak-check=no"], work, number, "total heap usage:"));
    (many - few) / REPETITIONS
}

/// `last` is the count of instructions for each repetition that this test printed when the work was last changed on
/// purpose: after such a change, write the new count here. A bare axum route is counted to compare with.
#[rstest]
#[case::a_token_is_parsed_hashed_and_checked("verdict", 4_798)]
#[case::a_cached_call("call", 22_800)]
#[case::a_cached_call_with_its_log_line("logged-call", 24_400)]
#[case::a_call_with_a_wrong_checksum("refused-call", 17_300)]
#[case::a_bare_axum_route("bare-route", 9_220)]
fn instructions_stay_within_5_percent_of_the_last_count(#[case] work: &str, #[case] last: u64) {
    let counted = instructions(work);
    println!("{work}: {counted} instructions, last {last}");
    let most = last + last * TOLERANCE_PERCENT / 100;
    assert!(counted <= most, "{work}: {counted} instructions, more than {TOLERANCE_PERCENT} % over the last {last}");
}

#[test]
fn a_cached_call_allocates_less_than_a_bare_axum_route() {
    let [call, bare] = ["call", "bare-route"].map(allocations);
    println!("{call} allocations, a bare axum route makes {bare}");
    assert!(call < bare && call <= ALLOCATIONS + 1, "{call} allocations, a bare axum route makes {bare}");
}
