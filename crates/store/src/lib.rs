//! kubestile-store
