//! The shared libraries that a program is started with.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::output::stdout_of;
use crate::run;

/// Each C library's name and the dynamic linker that knows where its programs' libraries are. ldd
/// would ask glibc's for all of them, which takes musl's libraries for damaged ones.
const LINKERS: &[(&str, &str)] = &[
    ("libc.so.6", "/lib64/ld-linux-x86-64.so.2"),
    ("libc.so", "/lib/ld-musl-x86_64.so.1"),
];

/// The paths of all libraries that a program or library needs, with the dynamic linker; none for a
/// static program.
pub fn libraries(path: &Path) -> Result<Vec<PathBuf>> {
    let mut readelf = run::program("readelf");
    readelf
        .args(["--dynamic", "--wide"])
        .arg(path)
        .env("LC_ALL", "C");
    let needed = needed(&stdout_of(&mut readelf)?);
    if needed.is_empty() {
        return Ok(Vec::new());
    }
    let linker = LINKERS
        .iter()
        .find(|(libc, _)| needed.iter().any(|name| name == libc));
    let (_, linker) = linker.with_context(|| {
        format!(
            "{} is for no C library that is known here: it needs {}",
            path.display(),
            needed.join(", ")
        )
    })?;
    if needed == ["libc.so"] {
        // That is musl's linker itself. Asked about a library, it complains about what the program
        // would have to define.
        return Ok(vec![linker.into()]);
    }
    let listed = stdout_of(run::program(linker).arg("--list").arg(path))?;
    found(&listed).with_context(|| path.display().to_string())
}

/// From readelf's lines ` 0x1 (NEEDED)  Shared library: [libc.so.6]`.
fn needed(dynamic: &str) -> Vec<String> {
    let name = |line: &str| {
        let (_, name) = line.split_once("(NEEDED)")?.1.split_once('[')?;
        Some(name.split_once(']')?.0.to_owned())
    };
    dynamic.lines().filter_map(name).collect()
}

/// From the linker's lines `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f...)`, which for the
/// linker and the vdso have only one name.
fn found(listed: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for line in listed.lines() {
        let line = line.trim();
        let path = line.split_once(" => ").map_or(line, |(_, path)| path);
        if path == "not found" {
            bail!("a library that it needs is missing on this machine: {line}");
        }
        let path = path.rsplit_once(" (").map_or(path, |(path, _)| path);
        if path.starts_with('/') {
            paths.push(path.into());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_where_the_linker_finds_them() {
        let paths = found(
            "\tlinux-vdso.so.1 (0x00007fff49df5000)\n\
             \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f1f4da8b000)\n\
             \t/lib64/ld-linux-x86-64.so.2 (0x00007f1f4dba9000)\n",
        );
        let expected = [
            "/lib/x86_64-linux-gnu/libm.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(paths.unwrap(), expected.map(PathBuf::from));
        let error = found("\tlibgone.so => not found\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("libgone.so"), "{error}");
    }

    #[test]
    fn needed_names_are_between_brackets() {
        let dynamic = "
Dynamic section at offset 0x2dd0 contains 27 entries:
 0x0000000000000001 (NEEDED)             Shared library: [libgcc_s.so.1]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x000000000000000e (SONAME)             Library soname: [libx.so]
";
        assert_eq!(needed(dynamic), ["libgcc_s.so.1", "libc.so.6"]);
    }

    #[test]
    fn what_is_linked_to_nothing_needs_nothing() {
        let nothing = libraries(Path::new("/lib/ld-musl-x86_64.so.1"));
        assert_eq!(nothing.unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn this_program_needs_its_c_library_and_linker() {
        let this = std::env::current_exe().unwrap();
        let libraries = libraries(&this).unwrap();
        let named = |name: &str| libraries.iter().any(|path| path.ends_with(name));
        assert!(
            named("libc.so.6") && named("ld-linux-x86-64.so.2"),
            "{libraries:?}"
        );
    }
}
