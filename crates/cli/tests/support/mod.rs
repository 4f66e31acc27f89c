//! The program in a folder of its own.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder that is also its user's home, and nothing of this machine's user.
pub struct Shell(TempDir);

impl Shell {
    pub fn with(files: &[(&str, &[u8])]) -> Shell {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        Shell(folder)
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, words: &[&str]) -> Command {
        self.by(env!("CARGO_BIN_EXE_run-wasm"), words)
    }

    /// Another program, in the same folder and with the same environment.
    pub fn by(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).current_dir(self.0.path()).env("HOME", self.0.path());
        for name in ["SOURCE_DATE_EPOCH", "XDG_CACHE_HOME", "DOCKER_CONFIG", "COSIGN_PASSWORD"] {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// stdout of a command that succeeds.
    pub fn ok(&self, words: &[&str]) -> String {
        printed(&mut self.command(words))
    }

    /// stderr of a command that fails: its last line is the sentence.
    pub fn fails(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{text}");
        assert!(text.lines().last().unwrap().starts_with("error: "), "{text}");
        text
    }

    /// The sentence of a command that fails, which may have told of its progress before.
    pub fn refused(&self, words: &[&str]) -> String {
        self.fails(words).lines().last().unwrap().to_owned()
    }

    /// The sentence of a command that fails and says nothing else.
    pub fn refused_at_once(&self, words: &[&str]) -> String {
        let sentence = self.fails(words);
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
        sentence
    }
}

/// stdout of anybody's command that succeeds.
pub fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
