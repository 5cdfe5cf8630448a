//! Every `.slt` file and every query of TPC-H, under every configuration, is one test with a name.

#[path = "support/files.rs"]
mod files;
#[path = "support/servers/mod.rs"]
mod servers;
mod support;
#[path = "support/tpch.rs"]
mod tpch;
#[path = "support/tpch_data.rs"]
mod tpch_data;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use support::{Configuration, all_configurations};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Statements that spill and publish wait for the disk about as long as they compute.
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    arguments.test_threads.get_or_insert(2 * cores);
    let files = files::all();
    let mut trials = vec![];
    for configuration in all_configurations() {
        let named = |name: &str| format!("{}::{name}", configuration.name);
        for file in files.iter().filter(|f| f.runs_under(&configuration.name)) {
            let (file, configuration) = (file.clone(), configuration.clone());
            trials.push(Trial::test(named(&file.name), move || file.run(&configuration)));
        }
        for query in tpch::queries().filter(|_| configuration.tpch) {
            let configuration: Configuration = configuration.clone();
            trials.push(Trial::test(named(&format!("tpch/q{query:02}")), move || {
                tpch::run(query, &configuration)
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
