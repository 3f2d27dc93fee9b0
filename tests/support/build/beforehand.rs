//! What has to be built beforehand for a machine without a compiler, such as the guests of
//! `cargo xtask vm-test`. A test that asks for something else fails there and names it.

use super::{GoBuild, Linkage, Recipe, Variant};
use crate::matrix;

/// Plugins that `chain_plugins.c` loads. Each function of a plugin takes blocks of a size of its own;
/// the first two are alike in everything that a mapping shows.
pub const CHAIN_PLUGINS: [Variant; 3] = [
    chain_plugin(
        "alpha",
        &[
            "-DPLUGIN=alpha",
            "-DLEFT=24",
            "-DRIGHT=4000",
            "-DBYTES=1001",
        ],
    ),
    chain_plugin(
        "bravo",
        &[
            "-DPLUGIN=bravo",
            "-DLEFT=4000",
            "-DRIGHT=24",
            "-DBYTES=2001",
        ],
    ),
    chain_plugin(
        "gamma",
        &[
            "-DPLUGIN=gamma",
            "-DLEFT=600",
            "-DRIGHT=1200",
            "-DBYTES=3001",
        ],
    ),
];

/// Plugins that `pages_plugins.c` loads: alike but for the name of their function.
pub const PAGES_PLUGINS: [Variant; 2] = [
    Variant {
        name: "pages_alpha",
        source: "pages_plugin",
        options: &["-DSITE=site_alpha"],
    },
    Variant {
        name: "pages_bravo",
        source: "pages_plugin",
        options: &["-DSITE=site_bravo"],
    },
];

/// An allocator that asks libgcc for the stack of each call.
pub const CHAIN_WITNESS: Variant = Variant {
    name: "chain_witness",
    source: "chain_witness",
    options: &[],
};

/// Programs that are in neither list of the matrix.
const OTHERS: &[Recipe] = &[
    Recipe::Program("emulated", Linkage::Dynamic),
    Recipe::Program("endings", Linkage::Dynamic),
    Recipe::Program("endings", Linkage::Static),
    Recipe::Program("grow", Linkage::Dynamic),
    Recipe::Program("exits", Linkage::Dynamic),
    Recipe::Program("crowd", Linkage::Dynamic),
    Recipe::Program("missed", Linkage::Dynamic),
    Recipe::Program("reused", Linkage::Dynamic),
    Recipe::Program("sampled", Linkage::Dynamic),
    Recipe::Program("sampled", Linkage::Musl),
    Recipe::Program("seccomp", Linkage::Dynamic),
    Recipe::Program("pages", Linkage::Dynamic),
    Recipe::Program("pages", Linkage::Static),
    Recipe::Program("pages_again", Linkage::Dynamic),
    Recipe::Program("pages_again", Linkage::Static),
    Recipe::Program("pages_around", Linkage::Dynamic),
    Recipe::Program("pages_huge", Linkage::Dynamic),
    Recipe::Program("pages_lazy", Linkage::Dynamic),
    Recipe::Program("pages_mixed", Linkage::Dynamic),
    Recipe::Program("pages_moved", Linkage::Dynamic),
    Recipe::Program("pages_moved", Linkage::Static),
    Recipe::Program("pages_plugins", Linkage::Dynamic),
    Recipe::Program("pages_swapped", Linkage::Dynamic),
    Recipe::Program("pages_unseen", Linkage::Dynamic),
    Recipe::Go("leaks", GoBuild::Plain),
    Recipe::Go("leaks", GoBuild::Stripped),
    Recipe::Go("leaks", GoBuild::PieStripped),
    Recipe::Go("cgo", GoBuild::Plain),
    Recipe::Go("cgo", GoBuild::PieStripped),
    Recipe::Frameless("preempt", Linkage::Dynamic),
    Recipe::Frameless("chain_plugins", Linkage::Dynamic),
    Recipe::FramelessLibrary(CHAIN_WITNESS),
];

const fn chain_plugin(name: &'static str, options: &'static [&'static str]) -> Variant {
    Variant {
        name,
        source: "chain_plugin",
        options,
    }
}

/// All that a test may ask for in a guest, each once.
pub fn recipes() -> Vec<Recipe> {
    let matrix = matrix::cases().flat_map(|case| [Some(case.recipe()), case.plugin()]);
    let chains = matrix::chains().map(matrix::Case::frameless);
    let plugins = CHAIN_PLUGINS.iter().chain(&PAGES_PLUGINS);
    let plugins = plugins.copied().map(Recipe::FramelessLibrary);
    let mut all = Vec::new();
    let recipes = matrix.flatten().chain(chains).chain(plugins);
    for recipe in recipes.chain(OTHERS.iter().copied()) {
        if !all.contains(&recipe) {
            all.push(recipe);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_recipe_makes_a_file_of_its_own() {
        let recipes = recipes();
        let names: BTreeSet<String> = recipes.iter().map(|recipe| recipe.file_name()).collect();
        assert_eq!(names.len(), recipes.len(), "{names:?}");
    }
}
