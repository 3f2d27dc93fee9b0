//! Whether a process may load code while it runs, and take it away again.

use object::{Object as _, ObjectSymbol as _};

use super::Modules;

/// The functions by which a program does that itself. What the C library loads by itself, it keeps.
const LOADING: [&str; 2] = ["dlopen", "dlmopen"];

/// Whether the process may load plugins: a module wants the function for that from another one. Also where that cannot
/// be known: in static programs, and before the C library has been mapped.
pub fn may_load(modules: &Modules) -> bool {
    let (mut imported, mut exported) = (false, false);
    for module in modules.all() {
        let Ok(Some(bytes)) = module.bytes() else {
            continue;
        };
        let Ok(file) = object::File::parse(&*bytes) else {
            continue;
        };
        for symbol in file.dynamic_symbols() {
            if symbol.name().is_ok_and(|name| LOADING.contains(&name)) {
                exported |= symbol.is_definition();
                imported |= symbol.is_undefined();
            }
        }
    }
    imported || !exported
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Of a program that waits for its input to end, when it does; or before its C library has been mapped.
    fn of(program: &str, arguments: &[&str]) -> (bool, bool) {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut modules = Modules::of(child.id(), None);
        let before = may_load(&modules);
        while !modules.all().iter().any(|it| it.path.contains("/libc.so")) {
            modules.refresh(Vec::new).unwrap();
        }
        let after = may_load(&modules);
        drop(child.stdin.take());
        child.wait().unwrap();
        (before, after)
    }

    #[test]
    fn who_asks_for_dlopen_may_load() {
        assert_eq!(of("cat", &[]), (true, false));
        // For its builtin `enable -f`.
        assert_eq!(of("bash", &["-c", "read -r line"]), (true, true));
    }
}
