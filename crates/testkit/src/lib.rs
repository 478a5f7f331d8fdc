//! kubestile-testkit
