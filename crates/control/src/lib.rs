//! kubestile-control
