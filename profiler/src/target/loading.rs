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
