//! Loads settings from the files and variables of each test. No test changes those of the process.

#[cfg(test)]
mod files;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod problems;
#[cfg(test)]
mod production;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod sections;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod token_keys;
#[cfg(test)]
mod variables;
