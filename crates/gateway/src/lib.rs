//! kubestile-gateway
