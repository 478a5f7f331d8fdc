//! kubestile-cluster
