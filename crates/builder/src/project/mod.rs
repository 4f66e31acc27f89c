//! A project: its `run.toml`, its `run.lock.toml`, and how they become one image.
