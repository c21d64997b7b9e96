//! `cmdr-fall app|task`: takes the terminal as the client does, then panics in the app, which ends it,
//! or in a task, which the screen outlives until Enter or any key ends it.

use anyhow::Context as _;
use cmdr_tui::terminal::Guard;
use cmdr_tui::terminal::flow::Flow;
use std::io::{Read as _, Write as _};

fn main() -> anyhow::Result<()> {
    let task = std::env::args().nth(1).as_deref() == Some("task");
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("a runtime")?;
    runtime.block_on(async {
        let guard = Guard::take(Flow::stdout(), false).context("taking the terminal")?;
        print("the screen is up")?;
        assert!(task, "the app fell");
        let fallen = tokio::spawn(async { panic!("a task fell") }).await;
        anyhow::ensure!(fallen.is_err(), "the task did not fall");
        print("and stays")?;
        std::io::stdin().read_exact(&mut [0]).context("waiting for a key")?;
        drop(guard);
        Ok(())
    })
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    write!(out, "{text}\r\n").and_then(|()| out.flush()).context("drawing")
}
