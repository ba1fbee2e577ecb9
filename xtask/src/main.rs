//! `cargo xtask`: deploys that prove their license first.

fn main() -> std::process::ExitCode {
    xtask::main_impl()
}
