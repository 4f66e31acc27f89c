//! OCI registries: pull, push, tags, credentials (OCI Distribution Specification 1.1).
