//! The inits that the linker lined up: read from the file, without running anything.
//!
//! From Go 1.21 on they are a list (cmd/link/internal/ld/inittask.go). Before, every package's task names its
//! dependencies' tasks, and `runtime.doInit` walks them recursively (runtime/proc.go).

use std::collections::HashSet;

use super::GoBinary;
use super::error::BinaryError;
use super::source::{u32_at, u64_at};
use crate::units::VirtAddr;

/// More tasks, or functions in one, than any program has.
const MOST: u64 = 1 << 16;

/// A package's init: what runs before `main.main`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitTask {
    /// Where the task is; what `doInit` is given.
    pub address: VirtAddr,
    /// The package's path, as `GODEBUG=inittrace=1` writes it.
    pub package: String,
    /// The functions that it runs, in order: variables' initialisation, then each `init`.
    pub functions: Vec<VirtAddr>,
    /// Up to Go 1.20 the tasks that must run before.
    pub dependencies: Vec<VirtAddr>,
}

impl GoBinary {
    /// Every init that has functions to run, in the order in which they run. From Go 1.21 on the runtime's own
    /// are among them, at the places that the linker gave them; they run first.
    ///
    /// # Errors
    /// When the version is not known, or the tasks contradict themselves.
    pub fn init_tasks(&self) -> Result<Vec<InitTask>, BinaryError> {
        match self.layout()?.init_tasks {
            Some(field) => self.listed_tasks(field),
            None => self.walked_tasks(),
        }
    }

    /// The task at that address.
    ///
    /// # Errors
    /// When the version is not known, or there is no task.
    pub fn init_task(&self, address: VirtAddr) -> Result<InitTask, BinaryError> {
        let recursive = self.layout()?.init_tasks.is_none();
        let (count_dependencies, count_functions, header) = if recursive {
            let header = self.relocated(address, 24)?;
            (u64_at(&header, 8).unwrap_or(0), u64_at(&header, 16).unwrap_or(0), 24)
        } else {
            let header = self.relocated(address, 8)?;
            (0, u64::from(u32_at(&header, 4).unwrap_or(0)), 8)
        };
        if count_dependencies + count_functions == 0 && !recursive {
            return Err(self.source.malformed("an init task that runs nothing"));
        }
        if count_dependencies > MOST || count_functions > MOST {
            return Err(self.source.malformed("an init task of impossible size"));
        }
        let words = self.relocated(
            VirtAddr(address.0.wrapping_add(header)),
            (count_dependencies + count_functions) * 8,
        )?;
        let mut words = words.chunks_exact(8).map(|word| VirtAddr(u64_at(word, 0).unwrap_or(0)));
        let dependencies = words.by_ref().take(usize::try_from(count_dependencies).unwrap_or(0)).collect();
        let functions: Vec<VirtAddr> = words.collect();
        let mut package = String::new();
        for (index, entry) in functions.iter().enumerate() {
            let function = self.functions().containing(*entry).filter(|function| function.entry == *entry);
            let function =
                function.ok_or_else(|| self.source.malformed("an init task that runs no function"))?;
            if index == 0 {
                package = package_of(&function.name).to_owned();
            }
        }
        Ok(InitTask { address, package, functions, dependencies })
    }

    fn listed_tasks(&self, field: u64) -> Result<Vec<InitTask>, BinaryError> {
        let slice = self.relocated(VirtAddr(self.pclntab.moduledata.0.wrapping_add(field)), 24)?;
        let word = |at| u64_at(&slice, at).unwrap_or(0);
        let (first, len, capacity) = (word(0), word(8), word(16));
        if len == 0 || len > MOST || len != capacity {
            return Err(self.source.malformed("a list of init tasks of impossible length"));
        }
        let list = self.relocated(VirtAddr(first), len * 8)?;
        let tasks = list.chunks_exact(8).map(|word| self.init_task(VirtAddr(u64_at(word, 0).unwrap_or(0))));
        tasks.filter(|task| task.as_ref().map_or(true, |task| !task.functions.is_empty())).collect()
    }

    /// As `runtime.doInit` walks: dependencies first, each task once.
    fn walked_tasks(&self) -> Result<Vec<InitTask>, BinaryError> {
        let mut seen = HashSet::new();
        let mut tasks = Vec::new();
        for root in self.init_roots()? {
            if !seen.insert(root) {
                continue;
            }
            let mut path = vec![(self.init_task(root)?, 0)];
            while let Some((task, next)) = path.last_mut() {
                if let Some(dependency) = task.dependencies.get(*next) {
                    *next += 1;
                    let dependency = *dependency;
                    if seen.len() as u64 > MOST {
                        return Err(self.source.malformed("more init tasks than a program can have"));
                    }
                    if seen.insert(dependency) {
                        path.push((self.init_task(dependency)?, 0));
                    }
                } else if let Some((task, _)) = path.pop()
                    && !task.functions.is_empty()
                {
                    tasks.push(task);
                }
            }
        }
        Ok(tasks)
    }
}

/// The package in a function's name: up to the first dot behind the last slash (runtime/symtab.go,
/// `funcpkgpath`; like Go's own inittrace it leaves escapes such as `%2e` as they are).
fn package_of(function: &str) -> &str {
    let base = function.rfind('/').map_or(0, |slash| slash + 1);
    match function[base..].find('.') {
        Some(dot) => &function[..base + dot],
        None => function,
    }
}

#[cfg(test)]
mod tests {
    use super::package_of;

    #[test]
    fn a_package_ends_at_the_first_dot_behind_the_last_slash() {
        assert_eq!(package_of("net/http.init"), "net/http");
        assert_eq!(package_of("main.init.0"), "main");
        assert_eq!(package_of("gopkg.in/yaml%2ev3.init"), "gopkg.in/yaml%2ev3");
        assert_eq!(package_of("a.b/c.map.init.0"), "a.b/c");
        assert_eq!(package_of("odd"), "odd");
    }
}
