//! The inits that the linker lined up: read from the file, without running anything.
//!
//! From Go 1.21 on they are a list (cmd/link/internal/ld/inittask.go). Before, every package's task names its
//! dependencies' tasks, and `runtime.doInit` walks them recursively (runtime/proc.go).

use std::collections::HashSet;

use super::error::BinaryError;
use super::source::{u32_at, u64_at};
use super::{GoBinary, code};
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

/// How much of the file tasks may still be read from. In a program they lie side by side, so all of them
/// together are smaller than the file; those of a file made to waste time and memory overlap.
struct Budget(u64);

impl Budget {
    fn take(&mut self, binary: &GoBinary, bytes: u64) -> Result<(), BinaryError> {
        let rest = self.0.checked_sub(bytes);
        self.0 = rest.ok_or_else(|| binary.source.malformed("init tasks of impossible size"))?;
        Ok(())
    }
}

impl GoBinary {
    /// Every init that has functions to run, in the order in which they run: the runtime's own first, then all
    /// others as the linker lined them up. (In arm64 programs the runtime's own stand where the linker put them
    /// among the others.)
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
        self.read_task(address, &mut Budget(self.source.len))
    }

    fn read_task(&self, address: VirtAddr, budget: &mut Budget) -> Result<InitTask, BinaryError> {
        let recursive = self.layout()?.init_tasks.is_none();
        // Up to Go 1.20: state, dependencies, functions, a word each. Then: state and functions in one word.
        let size = if recursive { 24 } else { 8 };
        let header = self.relocated(address, size)?;
        let (state, dependencies, functions) = if recursive {
            (u64_at(&header, 0), u64_at(&header, 8), u64_at(&header, 16))
        } else {
            (u32_at(&header, 0).map(u64::from), Some(0), u32_at(&header, 4).map(u64::from))
        };
        let (Some(0), Some(dependencies @ 0..=MOST), Some(functions @ 0..=MOST)) =
            (state, dependencies, functions)
        else {
            return Err(self.source.malformed("an init task of impossible size"));
        };
        // From Go 1.21 on the linker leaves out the tasks of packages that have nothing to run.
        if functions == 0 && !recursive {
            return Err(self.source.malformed("an init task that runs nothing"));
        }
        let len = (dependencies + functions) * 8;
        budget.take(self, size + len)?;
        let words = self.relocated(VirtAddr(address.0.saturating_add(size)), len)?;
        let mut words = words.chunks_exact(8).map(|word| VirtAddr(u64_at(word, 0).unwrap_or(0)));
        let dependencies = words.by_ref().take(usize::try_from(dependencies).unwrap_or(0)).collect();
        let functions: Vec<VirtAddr> = words.collect();
        if !functions.iter().all(|entry| self.functions().is_entry(*entry)) {
            return Err(self.source.malformed("an init task that runs no function"));
        }
        let first = functions.first().and_then(|entry| self.functions().entered_at(*entry));
        let package = first.map_or(String::new(), |function| package_of(&function.name).to_owned());
        budget.take(self, package.len() as u64)?;
        Ok(InitTask { address, package, functions, dependencies })
    }

    fn listed_tasks(&self, field: u64) -> Result<Vec<InitTask>, BinaryError> {
        let field = VirtAddr(self.pclntab.moduledata.0.wrapping_add(field));
        let Some(listed) = self.task_list(field, MOST) else {
            return Err(self.source.malformed("a list of init tasks of impossible length"));
        };
        let mut tasks = self.runtime_tasks(field);
        // The list holds the runtime's again where something in the program imports the runtime.
        let mut seen: HashSet<VirtAddr> = tasks.iter().map(|task| task.address).collect();
        let own = seen.clone();
        let mut budget = Budget(self.source.len);
        for address in listed {
            if seen.insert(address) {
                tasks.push(self.read_task(address, &mut budget)?);
            } else if !own.contains(&address) {
                return Err(self.source.malformed("a list that names an init task twice"));
            }
        }
        Ok(tasks)
    }

    /// The runtime's own tasks, which `runtime.main` runs before all others: its code refers to their list,
    /// `runtime.runtime_inittasks`, and to no other list of tasks by its address.
    fn runtime_tasks(&self, listed: VirtAddr) -> Vec<InitTask> {
        /// Two in Go 1.21, three in 1.27.
        const MOST_OF_RUNTIME: u64 = 64;
        let mut budget = Budget(self.source.len);
        let references = code::references(self, "runtime.main");
        let lists = references.into_iter().filter(|at| *at != listed);
        let mut tasks = lists.filter_map(|at| {
            let list = self.task_list(at, MOST_OF_RUNTIME).filter(|list| !list.is_empty())?;
            let distinct: HashSet<&VirtAddr> = list.iter().collect();
            if distinct.len() < list.len() {
                return None;
            }
            list.iter().map(|task| self.read_task(*task, &mut budget).ok()).collect::<Option<Vec<InitTask>>>()
        });
        tasks.next().unwrap_or_default()
    }

    /// The elements of a slice of tasks whose header is at that address.
    fn task_list(&self, at: VirtAddr, most: u64) -> Option<Vec<VirtAddr>> {
        let slice = self.relocated(at, 24).ok()?;
        let (first, len, capacity) = (u64_at(&slice, 0)?, u64_at(&slice, 8)?, u64_at(&slice, 16)?);
        if len > most || len != capacity {
            return None;
        }
        // A program without inits but the runtime's: the list has no place, or one that is in no segment
        // (cmd/link/internal/ld/symtab.go).
        if len == 0 {
            return Some(Vec::new());
        }
        let words = self.relocated(VirtAddr(first), len * 8).ok()?;
        words.chunks_exact(8).map(|word| u64_at(word, 0).map(VirtAddr)).collect()
    }

    /// As `runtime.doInit` walks: dependencies first, each task once.
    fn walked_tasks(&self) -> Result<Vec<InitTask>, BinaryError> {
        let mut budget = Budget(self.source.len);
        let mut seen = HashSet::new();
        let mut tasks = Vec::new();
        for root in self.init_roots()? {
            if !seen.insert(root) {
                continue;
            }
            let mut path = vec![(self.read_task(root, &mut budget)?, 0)];
            while let Some((task, next)) = path.last_mut() {
                if let Some(dependency) = task.dependencies.get(*next).copied() {
                    *next += 1;
                    if seen.insert(dependency) {
                        path.push((self.read_task(dependency, &mut budget)?, 0));
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
pub(super) fn package_of(function: &str) -> &str {
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
