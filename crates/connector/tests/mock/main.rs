//! The mock: contract, responses, fault memory, journal and failures.

#[cfg(test)]
mod failures;
#[cfg(test)]
mod fault_memory;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod responses;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod shared_file;
