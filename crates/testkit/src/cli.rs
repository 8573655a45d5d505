//! Runs the built `xdb` in a temp project with a clean environment, and shows what it did as text for `insta`: exit code,
//! stdout, stderr, with what differs from run to run (paths, times, ports) filtered out.

use regex::Regex;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A temp folder to run `xdb` in, with a home of its own.
#[derive(Debug)]
pub struct Project {
    binary: PathBuf,
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
    filters: Vec<(Regex, String)>,
}

/// What one run did.
#[derive(Debug)]
pub struct Run {
    pub output: Output,
    shown: String,
}

impl Project {
    /// `binary` is `env!("CARGO_BIN_EXE_xdb")`, which only the tests of the crate with the binary have.
    pub fn new(binary: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("xdb-cli-").tempdir().expect("a temp folder");
        std::fs::create_dir_all(dir.path().join("project")).expect("a folder in the temp folder");
        std::fs::create_dir_all(dir.path().join("home")).expect("a folder in the temp folder");
        let standard = [
            // A clock: dbt-style lines start with it.
            (r"(?m)^\d\d:\d\d:\d\d", "[TIME]"),
            (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?", "[TIMESTAMP]"),
            (r"\b\d+(\.\d+)?( ?)(ns|µs|us|ms|s)\b", "[DURATION]"),
            (r"\b127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
            (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "[UUID]"),
            (r"xdb \d+\.\d+\.\d+\S*", "xdb [VERSION]"),
        ];
        let mut project = Self { binary: binary.into(), dir, env: vec![], filters: vec![] };
        // The longest path first; on macOS the temp folder is behind a link, and both spellings appear.
        for (folder, name) in [(project.path(), "[PROJECT]"), (project.home(), "[HOME]"), (project.root(), "[TEMP]")] {
            let real = folder.canonicalize().unwrap_or_else(|_| folder.clone());
            for path in [real, folder] {
                project = project.filter(&regex::escape(&path.to_string_lossy()), name);
            }
        }
        for (pattern, to) in standard {
            project = project.filter(pattern, to);
        }
        project
    }

    fn root(&self) -> PathBuf {
        self.dir.path().to_path_buf()
    }
    /// The folder that `xdb` runs in.
    pub fn path(&self) -> PathBuf {
        self.root().join("project")
    }
    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// Write a file of the project, making its folders.
    pub fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }
    /// As [`Project::file`], later on.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("a folder in the project");
        }
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    pub fn read(&self, path: &str) -> String {
        let path = self.path().join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
    /// Copy a folder of the repository into the project, e.g. the example.
    pub fn copy_from(self, folder: &Path) -> Self {
        copy_tree(folder, &self.path());
        self
    }
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
    /// Replace what matches `pattern` in what is shown. Filters apply in the order they were given.
    pub fn filter(mut self, pattern: &str, to: &str) -> Self {
        self.filters.push((Regex::new(pattern).expect("a filter is a regex"), to.into()));
        self
    }

    /// The command, not started, for tests that feed stdin or send signals.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut c = Command::new(&self.binary);
        c.args(arguments).current_dir(self.path()).env_clear().stdin(std::process::Stdio::null());
        // PATH for what the binary starts; the rest so that loaders and temp files work as for a person.
        for name in ["PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                c.env(name, value);
            }
        }
        c.env("HOME", self.home()).env("LANG", "C.UTF-8").env("TZ", "UTC").env("NO_COLOR", "1").env("COLUMNS", "100");
        c.envs(self.env.iter().map(|(k, v)| (k, v)));
        c
    }
    /// Run to the end.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_command(self.command(arguments))
    }
    /// Run a command to its end: one of [`Project::command`], or another program in its place ([`Project::wrapped`]).
    pub fn run_command(&self, mut command: Command) -> Run {
        let output = command.output();
        let output = output.unwrap_or_else(|e| panic!("cannot start {}: {e}", command.get_program().display()));
        let shown = self.show(&output);
        Run { output, shown }
    }
    /// `program`, in the folder and with the environment that `xdb` would have, and the binary's path as `XDB`.
    pub fn wrapped(&self, program: &str, arguments: &[&str]) -> Command {
        let mut c = Command::new(program);
        c.args(arguments).current_dir(self.path()).env_clear().stdin(std::process::Stdio::null());
        for (name, value) in self.command(&[]).get_envs() {
            if let Some(value) = value {
                c.env(name, value);
            }
        }
        c.env("XDB", &self.binary);
        c
    }
    fn show(&self, output: &Output) -> String {
        let code = match output.status.code() {
            Some(c) => c.to_string(),
            None => "killed by a signal".into(),
        };
        let part = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            // Lines end where their text ends: padding in tables is not what a snapshot is about.
            text.lines().map(|l| format!("{}\n", l.trim_end())).collect::<String>()
        };
        let all = format!(
            "exit code: {code}\n----- stdout -----\n{}----- stderr -----\n{}",
            part(&output.stdout),
            part(&output.stderr)
        );
        self.filters.iter().fold(all, |text, (r, to)| r.replace_all(&text, to.as_str()).into_owned())
    }
}

impl Run {
    pub fn code(&self) -> Option<i32> {
        self.output.status.code()
    }
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
    /// This run, once it has been checked to have gone well.
    pub fn ok(self) -> Self {
        assert_eq!(self.code(), Some(0), "{self}");
        self
    }
}
/// What a snapshot holds.
impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder in the project");
    for entry in std::fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())).flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap_or_else(|e| panic!("{}: {e}", entry.path().display()));
        }
    }
}

/// Compare a [`Run`] with an inline snapshot: `snapshot!(project.run(&["ls"]), @"…")`. `cargo insta` isn't needed:
/// `INSTA_UPDATE=always make test` writes new texts into the source. The calling crate needs `insta` itself.
#[macro_export]
macro_rules! snapshot {
    ($run:expr, @$expected:literal) => {
        insta::assert_snapshot!($run.to_string(), @$expected)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_filtered() {
        let p = Project::new("/bin/sh").file("models/a.sql", "select 1").env("X", "y");
        let script = "echo 14:02:11 took 1.84s in $PWD at $HOME; cat models/a.sql; echo; echo $X $USER 127.0.0.1:5433 >&2; exit 3";
        let run = p.run(&["-c", script]);
        assert_eq!(run.code(), Some(3));
        insta::assert_snapshot!(run.to_string(), @r"
        exit code: 3
        ----- stdout -----
        [TIME] took [DURATION] in [PROJECT] at [HOME]
        select 1
        ----- stderr -----
        y 127.0.0.1:[PORT]
        ");
    }
}
