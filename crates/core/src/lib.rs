//! kubestile-core
