//! kubestile-authn
