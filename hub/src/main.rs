//! `cmdr-hub`: see [`cmdr_hub::commands`].

fn main() -> std::process::ExitCode {
    cmdr_hub::commands::main()
}
