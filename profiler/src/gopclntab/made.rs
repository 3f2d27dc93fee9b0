//! Programs for the tests, as Go's compiler makes them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The least that is a program.
pub const PLAIN: &str = "package main\nfunc main() { println(len(\"text\")) }\n";

/// One that is linked by the C compiler.
pub const WITH_C: &str = "package main\n// static int one(void) { return 1; }\nimport \"C\"\nfunc main() { println(C.one()) }\n";

/// A compiled program.
pub struct Program {
    path: PathBuf,
    _directory: TempDir,
}

impl Program {
    /// Of this source, with these arguments for `go build`.
    pub fn built(arguments: &[&str], source: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (file, path) = (directory.path().join("it.go"), directory.path().join("it"));
        std::fs::write(&file, source).unwrap();
        let output = Command::new("go")
            .arg("build")
            .args(arguments)
            .arg("-o")
            .args([&path, &file])
            // Not a module, so that nothing is looked for elsewhere.
            .env("GO111MODULE", "off")
            // Go compiles its own library once for each way of building.
            .env("GOCACHE", std::env::temp_dir().join("unfreed-go-build"))
            .output()
            .expect("Go's compiler is there: apt-get install golang-go, or cargo xtask setup");
        assert!(output.status.success(), "{output:?}");
        Self {
            path,
            _directory: directory,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its content.
    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }
}
