//! The `acrossk8s` command.

fn main() -> std::process::ExitCode {
    acrossk8s::cli::main()
}
