//! The mock passes the contract of all connectors, remembers, and misbehaves when told to.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod shared_file;
