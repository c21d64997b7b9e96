//! Temperatures. Sensors are listed once; their files stay open.

use crate::text::{Kept, signed, small};
use cmdr_protocol::metrics::Temperature;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(5);
const MOST: usize = 32;

/// All sensors.
#[derive(Debug)]
pub(super) struct Sensors {
    files: Vec<(String, Kept)>,
    newest: Vec<Temperature>,
    looked: Option<Instant>,
}

impl Sensors {
    pub(super) fn new(sys_root: &Path) -> Self {
        let mut sensors = hwmon(&sys_root.join("class/hwmon"));
        if sensors.is_empty() {
            sensors = zones(&sys_root.join("class/thermal"));
        }
        sensors.truncate(MOST);
        Self { files: sensors, newest: Vec::new(), looked: None }
    }

    pub(super) fn sample(&mut self, buffer: &mut Vec<u8>, now: Instant) -> Vec<Temperature> {
        let is_due =
            self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= EVERY);
        if is_due && !self.files.is_empty() {
            self.looked = Some(now);
            self.newest.clear();
            for (name, kept) in &self.files {
                // A sensor that sleeps or is gone gives an error; it is left out meanwhile.
                let Some(milli) = kept.read(buffer).ok().and_then(signed) else { continue };
                let tenths = i32::try_from(milli / 100).unwrap_or(0);
                self.newest.push(Temperature { name: name.clone(), tenths });
            }
        }
        self.newest.clone()
    }
}

fn entries(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

fn hwmon(dir: &Path) -> Vec<(String, Kept)> {
    let mut sensors = Vec::new();
    for chip in entries(dir, "hwmon") {
        let name = small(&chip.join("name"));
        for input in entries(&chip, "temp") {
            let Some(file) = input.file_name().and_then(|f| f.to_str()) else { continue };
            let Some(stem) = file.strip_suffix("_input") else { continue };
            let label = small(&chip.join(format!("{stem}_label")));
            let full =
                if label.is_empty() { format!("{name} {stem}") } else { format!("{name} {label}") };
            sensors.extend(Kept::open(&input).map(|kept| (short(full.trim()), kept)));
        }
    }
    sensors
}

fn zones(dir: &Path) -> Vec<(String, Kept)> {
    let zones = entries(dir, "thermal_zone").into_iter();
    zones
        .filter_map(|zone| {
            let kept = Kept::open(&zone.join("temp"))?;
            Some((short(&small(&zone.join("type"))), kept))
        })
        .collect()
}

fn short(name: &str) -> String {
    cmdr_protocol::display::clean_to_width(name, 40)
}
