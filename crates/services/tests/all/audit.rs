pub(crate) mod concealment;
pub(crate) mod pruning;
pub(crate) mod sealing;
