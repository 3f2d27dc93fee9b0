//! Makes unwind tables, several at a time: a large program takes some hundred milliseconds.

use std::sync::Mutex;

use crate::target::Image;
use crate::unwind::{NoTable, Table};

/// A module's table.
pub struct Built {
    /// Index of the module.
    pub module: usize,
    /// The table, or why there is none.
    pub table: Result<Table, NoTable>,
}

/// Makes the tables of these modules. In any order.
pub fn build(images: Vec<(usize, Image)>) -> Vec<Built> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = workers.min(images.len());
    let images = Mutex::new(images);
    let built = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((module, image)) = next(&images) {
                    let table = Table::of_elf(&image);
                    if let Ok(mut built) = built.lock() {
                        built.push(Built { module, table });
                    }
                }
            });
        }
    });
    built.into_inner().unwrap_or_default()
}

fn next(images: &Mutex<Vec<(usize, Image)>>) -> Option<(usize, Image)> {
    images.lock().ok()?.pop()
}
