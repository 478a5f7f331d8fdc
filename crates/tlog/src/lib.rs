//! kubestile-tlog
