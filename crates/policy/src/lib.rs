//! kubestile-policy
