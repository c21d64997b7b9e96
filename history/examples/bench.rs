//! What `scripts/bench-history` measures: takes rows from standard input, as the generator there makes
//! them, and says on standard output what asking costs. Orders come in between, one byte each.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use cmdr_history::{Aggregate, Kind, NameId, Options, Over, Query, Source, Store};
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::Instant;

fn number(input: &mut impl Read) -> io::Result<i64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(i64::from_le_bytes(bytes))
}

fn source(host: i64) -> Source {
    let mut source = [0; 16];
    source[..8].copy_from_slice(&host.to_be_bytes());
    source[15] = 1;
    source
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut input = BufReader::with_capacity(1 << 20, io::stdin().lock());
    let dir = std::env::args().nth(1).ok_or("which folder?")?;
    let store = Store::open(Path::new(&dir), Options::default())?;
    let (hosts, series) = (number(&mut input)?, number(&mut input)? as usize);
    let mut ids: Vec<NameId> = Vec::new();
    for i in 0..series {
        let kind = if number(&mut input)? == 1 { Kind::Counter } else { Kind::Gauge };
        ids.push(store.name(&format!("m{i:02}"), kind, 1).ok_or("a name")?);
    }
    let mut row = vec![0; series * 8];
    let mut values = vec![0i64; series];
    let mut now = 0;
    loop {
        match number(&mut input)? {
            // Rows of all hosts at one time.
            1 => {
                now = number(&mut input)?;
                for host in 0..hosts {
                    input.read_exact(&mut row)?;
                    for (v, bytes) in values.iter_mut().zip(row.chunks_exact(8)) {
                        *v = i64::from_le_bytes(bytes.try_into()?);
                    }
                    store.append(&source(host), now, &ids, &values, now)?;
                }
                store.tick(now)?;
            }
            2 => {
                store.tick(now)?;
                println!("settled {:?}", store.sizes());
            }
            3 => {
                store.checkpoint(now)?;
                println!("checkpoint");
            }
            // A question: one host's series, or the mean of one series over all hosts.
            4 => {
                let (host, name) = (number(&mut input)?, number(&mut input)?);
                let (from, to) = (number(&mut input)?, number(&mut input)?);
                let (sources, names, over) = if host >= 0 {
                    (vec![source(host)], vec!["m*".to_owned()], Over::Each)
                } else {
                    let sources = (0..hosts).map(source).collect();
                    (sources, vec![format!("m{name:02}")], Over::Mean)
                };
                let aggregate = Aggregate::Last;
                let step_ms = 10_000;
                let query =
                    Query { sources, names, from_ms: from, to_ms: to, step_ms, aggregate, over };
                let begun = Instant::now();
                let answer = store.query(&query)?;
                let took = begun.elapsed().as_secs_f64() * 1e3;
                let points: usize = answer.lines.iter().map(|l| l.points.len()).sum();
                println!("{took} {points}");
            }
            _ => return Ok(()),
        }
    }
}
