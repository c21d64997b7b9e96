//! The figures of programs and containers that go out every ten seconds: means since they were asked for before.

use super::Collector;
use crate::cgroup::Counters;
use crate::names::Id;
use crate::sample::Kind;
use crate::tops::pick;

/// Groups and containers of the figures.
const FIGURES: (usize, usize) = (30, 100);

/// The heaviest groups and all containers, since these were asked for before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Programs: name, permille of one processor on average, resident bytes now.
    pub groups: Vec<(String, u32, u64)>,
    /// Containers: id, permille of one processor on average, bytes now.
    pub containers: Vec<(String, u32, u64)>,
}

impl Collector {
    /// The heaviest programs and all containers on average since this was asked before; of programs those that there were
    /// then already.
    pub fn figures(&mut self) -> Figures {
        let ms = std::mem::take(&mut self.figures_since).max(1);
        let mean = |used: &mut u64| u32::try_from(std::mem::take(used) / ms).unwrap_or(u32::MAX);
        let means: Vec<(Id, u32, u64)> = self
            .programs
            .iter_mut()
            .map(|(id, sum)| (id, mean(&mut sum.used), sum))
            .filter_map(|(id, cpu, sum)| {
                let lasted = std::mem::replace(&mut sum.lasts, true);
                lasted.then_some((id, cpu, sum.memory))
            })
            .collect();
        let all: Vec<_> = means
            .into_iter()
            .filter_map(|(id, cpu, memory)| {
                let name = self.programs.get(id)?.0;
                Some((String::from_utf8_lossy(name).into_owned(), cpu, memory))
            })
            .collect();
        let half = FIGURES.0 / 2;
        let picked = pick(&all, half, |(_, cpu, memory)| [u64::from(*cpu), *memory]);
        let mut groups: Vec<_> = picked.into_iter().map(|place| all[place].clone()).collect();
        groups.sort();
        let mut containers = Vec::new();
        for (_, placed) in self.places.iter_mut() {
            let used = mean(&mut placed.sum.used);
            if placed.place.kind == Some(Kind::Container) && placed.sum.count > 0 {
                let counted = placed.counters.as_mut().and_then(Counters::since_given);
                let told = placed.counters.as_ref().and_then(|c| c.now.memory);
                let memory = told.unwrap_or(placed.sum.memory);
                containers.push((placed.place.name.clone(), counted.unwrap_or(used), memory));
            }
        }
        containers.sort_by_key(|(_, cpu, memory)| std::cmp::Reverse((*cpu, *memory)));
        containers.truncate(FIGURES.1);
        containers.sort();
        Figures { groups, containers }
    }
}
