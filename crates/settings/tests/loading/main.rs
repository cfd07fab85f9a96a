//! Loads settings from files and variables of the test's own; none touches the process.

#[cfg(test)]
mod files;
#[cfg(test)]
mod problems;
#[cfg(test)]
mod production;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod token_keys;
#[cfg(test)]
mod variables;
