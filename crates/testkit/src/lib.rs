//! What tests share: the servers that `make test` started, and the connector conformance suite.

pub mod services;
