//! What `scripts/bench-history` measures, and what `scripts/bench-history-api` fills a hub's history with: takes rows from standard input, as the generator there makes
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

/// Of a host by its number; the first one may have the id of a real host.
fn source(host: i64, first: Option<Source>) -> Source {
    if let Some(first) = first.filter(|_| host == 0) {
        return first;
    }
    let mut source = [0; 16];
    source[..8].copy_from_slice(&host.to_be_bytes());
    source[15] = 1;
    source
}

fn id_of(text: &str) -> Result<Source, Box<dyn std::error::Error>> {
    let pairs = text.as_bytes().chunks(2).map(std::str::from_utf8);
    let bytes = pairs.map(|pair| Ok(u8::from_str_radix(pair?, 16)?));
    let bytes: Result<Vec<u8>, Box<dyn std::error::Error>> = bytes.collect();
    Ok(bytes?.try_into().map_err(|_| "an id has sixteen bytes")?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut input = BufReader::with_capacity(1 << 20, io::stdin().lock());
    let mut words = std::env::args().skip(1);
    let dir = words.next().ok_or("which folder?")?;
    let first = words.next().map(|id| id_of(&id)).transpose()?;
    // `%` in it is the number of a series.
    let called = words.next().unwrap_or_else(|| "m%".to_owned());
    let store = Store::open(Path::new(&dir), Options::default())?;
    let (hosts, series) = (number(&mut input)?, number(&mut input)? as usize);
    let mut ids: Vec<NameId> = Vec::new();
    for i in 0..series {
        let kind = if number(&mut input)? == 1 { Kind::Counter } else { Kind::Gauge };
        ids.push(store.name(&called.replace('%', &format!("{i:02}")), kind, 1).ok_or("a name")?);
    }
    let mut row = vec![0; series * 8];
    let mut values = vec![0i64; series];
    let mut now = 0;
    loop {
        // Nothing more to read is the end, as a 0 is.
        match number(&mut input).unwrap_or(0) {
            // Rows of all hosts at one time.
            1 => {
                now = number(&mut input)?;
                for host in 0..hosts {
                    input.read_exact(&mut row)?;
                    for (v, bytes) in values.iter_mut().zip(row.chunks_exact(8)) {
                        *v = i64::from_le_bytes(bytes.try_into()?);
                    }
                    store.append(&source(host, first), now, &ids, &values, now)?;
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
                    (vec![source(host, first)], vec![called.replace('%', "*")], Over::Each)
                } else {
                    let sources = (0..hosts).map(|host| source(host, first)).collect();
                    (sources, vec![called.replace('%', &format!("{name:02}"))], Over::Mean)
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
            _ => return Ok(store.finish(now)?),
        }
    }
}
