//! In-memory backends: the reference reading of each contract.
