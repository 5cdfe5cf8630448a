//! What SQL tests cannot say.

mod buckets;
mod canaries;
mod catalog_text;
mod cli;
mod commits;
mod credentials;
mod dataframe;
mod faults;
mod faulty;
mod functions;
mod guards;
mod joins;
mod layers;
mod memory;
mod partitions;
mod program;
mod random_queries;
mod reading;
mod stores;

/// Configurations and rows as text, shared with the tests of queries.
#[path = "../support/mod.rs"]
mod support;

/// Object stores on loopback.
#[path = "../support/servers/mod.rs"]
mod servers;
