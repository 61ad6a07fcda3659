//! What a run of the oracle comes to: one row for each fault, in a table that grows while the faults are gone through.

use std::sync::Mutex;
use std::time::Duration;

use crate::ledger::Totals;

/// The rows so far, of this process.
static ROWS: Mutex<Vec<String>> = Mutex::new(Vec::new());

const HEAD: &str = "| fault | cycles | sent | confirmed | delivered | duplicates | lost | seed | seconds |\n\
                    |---|---|---|---|---|---|---|---|---|";

/// Adds a row and prints the table as far as it is.
pub(crate) fn add(fault: &str, cycles: u64, totals: Totals, seed: u64, took: Duration) {
    let Totals { sent, confirmed, delivered, duplicates, missing, .. } = totals;
    let seconds = took.as_secs_f64();
    let row = format!(
        "| {fault} | {cycles} | {sent} | {confirmed} | {delivered} | {duplicates} | {missing} | `{seed:#x}` | {seconds:.1} |"
    );
    // Another fault may have failed while it added its row: the rows are whole all the same.
    let mut rows = ROWS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    rows.push(row);
    println!("\n{HEAD}\n{}\n", rows.join("\n"));
}
